"""The pages. A view says what happened; whose it was is known."""

from typing import Any

from django.contrib.auth import login, logout
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from totango_sdk.integrations.django import totango

from .models import Document


def home(request: HttpRequest) -> HttpResponse:
    """Show the documents, or who there is to sign in as."""
    if not request.user.is_authenticated:
        return render(request, "shop/sign_in.html", {"people": User.objects.all()})
    return _documents(request)


def _documents(request: HttpRequest, **found: Any) -> HttpResponse:
    documents = Document.objects.filter(workspace=request.user.member.workspace)
    return render(request, "shop/documents.html", {"documents": documents, **found})


@require_POST
def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in as one of the people of the demonstration."""
    user = get_object_or_404(User, pk=request.POST["person"])
    login(request, user)
    totango.track("Signed in", module="Accounts")
    return redirect("/")


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """Sign out."""
    logout(request)
    return redirect("/")


@login_required
@require_POST
def write(request: HttpRequest) -> HttpResponse:
    """Write a document. A form that is shown again answers 200 too, so the view says what it did."""
    title = request.POST.get("title", "").strip()
    if not title:
        return _documents(request, problem="A document needs a title.")
    with transaction.atomic():
        Document.objects.create(workspace=request.user.member.workspace, title=title[:60])
        totango.track("Document written")
    return redirect("/")


@login_required
@require_POST
@totango.tracked("Document shared", module="Sharing")
def share(request: HttpRequest, number: int) -> HttpResponse:
    """Share a document. One that is not there answers 404, and nothing was shared."""
    document = get_object_or_404(Document, pk=number, workspace=request.user.member.workspace)
    document.is_shared = True
    document.save()
    return redirect("/")


@login_required
@require_POST
def upgrade(request: HttpRequest) -> HttpResponse:
    """Change the plan, which is an attribute of the account."""
    workspace = request.user.member.workspace
    workspace.plan = "Pro"
    workspace.save()
    totango.set_account_attributes({"id": str(workspace.pk), "Plan": workspace.plan})
    return redirect("/")
