import asyncio
import os
import threading
import uuid

from django.contrib.auth import authenticate, login, logout
from django.contrib.auth.models import Group
from django.db import transaction
from django.http import HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template import engines
from django.urls import path
from rest_framework.authentication import TokenAuthentication
from rest_framework.response import Response
from rest_framework.views import APIView

from totango_sdk.integrations.django import totango


def track(request, name):
    totango.track(name)
    return HttpResponse(str(os.getpid()))


async def atrack(request, name):
    await asyncio.sleep(0)
    await totango.atrack(name)
    return HttpResponse(str(os.getpid()))


async def acarry(request):
    return HttpResponse(f"{await totango.acarry()}|{await totango.asnippet()}")


async def track_async(request, name):
    totango.track(name)
    return HttpResponse(name)


def quiet(request):
    return HttpResponse(",".join(thread.name for thread in threading.enumerate()))


@totango.tracked("Done", module="Decorated")
def done(request, status):
    if status == 302:
        return HttpResponseRedirect("/quiet")
    if status == 500:
        raise ValueError(status)
    return HttpResponse(str(status), status=status)


@totango.tracked("Done later")
async def adone(request, status):
    return HttpResponse(str(status), status=status)


def stream(request):
    def lines():
        yield "a"
        totango.track("streamed")
        yield "b"

    return StreamingHttpResponse(lines())


async def astream(request):
    async def lines():
        yield "a"
        await asyncio.sleep(0)
        await totango.atrack("streamed")
        yield "b"

    return StreamingHttpResponse(lines())


def sign_in(request):
    totango.track("before")
    login(request, authenticate(request, username="avon", password="secret"))
    totango.track("after")
    logout(request)
    totango.track("left")
    return HttpResponse("in")


def save(request, how):
    """Save a group, and track it, in a transaction that ends as `how` says."""
    with transaction.atomic():
        Group.objects.create(name=uuid.uuid4().hex)
        totango.track("kept")
        try:
            with transaction.atomic():
                Group.objects.create(name=uuid.uuid4().hex)
                totango.track("inner")
                if how == "inner":
                    raise ValueError(how)
        except ValueError:
            pass
        if how == "outer":
            transaction.set_rollback(True)
        if how == "callback":
            transaction.on_commit(lambda: 1 / 0)
    totango.track("behind")
    return HttpResponse("saved")


def order(request, name):
    """Save an order, and say so, in one transaction."""
    with transaction.atomic():
        Group.objects.create(name=name)
        totango.set_account_attributes({"id": name.split("-")[0], "Order": name})
    return HttpResponse(name)


def fail(request):
    Group.objects.create(name=uuid.uuid4().hex)
    totango.track("gone")
    raise ValueError("on purpose")


@totango.tracked("Saved")
def tracked_save(request, how):
    with transaction.atomic():
        Group.objects.create(name=uuid.uuid4().hex)
    if how == "outer":
        transaction.set_rollback(True)
    return HttpResponse("saved")


def page(request):
    template = engines["django"].from_string(
        "{% load totango %}{% totango_snippet %}|{% totango_snippet nonce='abc' %}"
    )
    return HttpResponse(template.render({}, request))


def identify(request):
    thread = threading.Thread(target=totango.track, args=("from a thread",))
    thread.start()
    thread.join()
    totango.identify("Other", "other@x.com")
    totango.track("as another")
    return HttpResponse("ok")


class Api(APIView):
    authentication_classes = (TokenAuthentication,)

    def get(self, request):
        totango.track("by token")
        return Response({"user": request.user.username})


urlpatterns = [
    path("track/<name>", track),
    path("atrack/<name>", atrack),
    path("acarry", acarry),
    path("track-async/<name>", track_async),
    path("quiet", quiet),
    path("done/<int:status>", done),
    path("adone/<int:status>", adone),
    path("stream", stream),
    path("astream", astream),
    path("login", sign_in),
    path("save/<how>", save),
    path("tracked-save/<how>", tracked_save),
    path("order/<name>", order),
    path("fail", fail),
    path("page", page),
    path("identify", identify),
    path("api", Api.as_view()),
]
