"""The app: what Django is told of when the project starts."""

from __future__ import annotations

from django.apps import AppConfig


class TotangoConfig(AppConfig):
    """`totango_sdk.integrations.django` in `INSTALLED_APPS`."""

    name = "totango_sdk.integrations.django"
    label = "totango"
    verbose_name = "Totango"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Have the settings checked, and signals heard."""
        from django.core.checks import register

        from .checks import check_settings
        from .signals import connect

        register(check_settings)
        connect()
