"""`pytest` with `DJANGO_SETTINGS_MODULE=shop.settings`, pytest-django and the fixture of totango-sdk."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import TestCase

from .models import Document, Member, Workspace


class DocumentTests(TestCase):
    """What the pages track."""

    @pytest.fixture(autouse=True)
    def _events(self, totango_events: Any) -> None:
        self.events = totango_events

    def setUp(self) -> None:
        """Sign in."""
        workspace = Workspace.objects.create(name="Acme")
        user = User.objects.create(username="marlo", email="marlo@x.com")
        Member.objects.create(user=user, workspace=workspace)
        self.account = str(workspace.pk)
        self.document = Document.objects.create(workspace=workspace, title="Plans")
        self.client.force_login(user)

    def test_writing_is_tracked(self) -> None:
        self.client.post("/write", {"title": "Notes"})
        self.events.assert_tracked("Document written", account=self.account, user="marlo@x.com")

    def test_a_form_that_is_shown_again_is_not(self) -> None:
        self.client.post("/write", {"title": ""})
        assert self.events.events == []

    def test_sharing_what_is_not_there_is_not(self) -> None:
        self.client.post("/share/0")
        assert self.events.events == []
        self.client.post(f"/share/{self.document.pk}")
        self.events.assert_tracked("Document shared", module="Sharing")
