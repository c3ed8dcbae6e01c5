"""The tables of the outbox: the same as SQLAlchemy's. The relay reads them by SQL of its own."""

from __future__ import annotations

from django.db import models


class OutboxEvent(models.Model):
    """An event that was tracked in a transaction, until the relay has it."""

    id = models.BigAutoField(primary_key=True)
    v = models.SmallIntegerField()
    service_id = models.CharField(max_length=64)
    event = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "totango_outbox"
        indexes = (models.Index(fields=("service_id", "id"), name="totango_outbox_service_id"),)

    def __str__(self) -> str:
        return f"{self.service_id} {self.pk}"


class OutboxRelay(models.Model):
    """Which relay leads for a service id."""

    service_id = models.CharField(max_length=64, primary_key=True)
    holder = models.CharField(max_length=32)
    beat = models.BigIntegerField()

    class Meta:
        db_table = "totango_outbox_relay"

    def __str__(self) -> str:
        return str(self.service_id)
