"""Workspaces, who is a member, and their documents."""

from django.conf import settings
from django.db import models


class Workspace(models.Model):
    """A customer."""

    name = models.CharField(max_length=100)
    plan = models.CharField(max_length=20, default="Free")

    def __str__(self) -> str:
        return str(self.name)


class Member(models.Model):
    """A person in a workspace."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)

    def __str__(self) -> str:
        return str(self.user)


class Document(models.Model):
    """Something that is written and shared."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    title = models.CharField(max_length=60)
    is_shared = models.BooleanField(default=False)

    def __str__(self) -> str:
        return str(self.title)
