"""`manage.py demo`: the shop beside a sandbox."""

import argparse
import contextlib
import os
from typing import Any

from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand

from shop.models import Document, Member, Workspace
from totango_sdk.testing import sandbox_server

PEOPLE = (("Marlo", "Stanfield", "Stanfield Ltd"), ("Avon", "Barksdale", "Barksdale Inc"))


class Command(BaseCommand):
    """Makes two people in two workspaces, and serves the shop."""

    help = "Runs the shop, and a sandbox to look at."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take a port."""
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *, port: int, **_: Any) -> None:
        """Run until Ctrl-C."""
        call_command("migrate", verbosity=0, run_syncdb=True)
        if not User.objects.exists():
            _make_people()
        with contextlib.ExitStack() as stack:
            if "TOTANGO_ENDPOINT" not in os.environ:
                sandbox = stack.enter_context(sandbox_server())
                os.environ["TOTANGO_ENDPOINT"] = sandbox.endpoint
                self.stdout.write(f"The sandbox is at {sandbox.url}")
            self.stdout.write(f"The shop is at http://127.0.0.1:{port}/")
            self.stdout.flush()
            call_command("runserver", f"127.0.0.1:{port}", use_reloader=False)


def _make_people() -> None:
    for first, last, company in PEOPLE:
        workspace = Workspace.objects.create(name=company)
        email = f"{first}@{last}.com".lower()
        user = User.objects.create(username=email, email=email, first_name=first, last_name=last)
        Member.objects.create(user=user, workspace=workspace)
        Document.objects.create(workspace=workspace, title="Plans for the quarter")
