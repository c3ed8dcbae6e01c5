"""Makes the tables of the outbox."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """The tables `totango_outbox` and `totango_outbox_relay`."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="OutboxEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("v", models.SmallIntegerField()),
                ("service_id", models.CharField(max_length=64)),
                ("event", models.TextField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "db_table": "totango_outbox",
                "indexes": [
                    models.Index(fields=["service_id", "id"], name="totango_outbox_service_id")
                ],
            },
        ),
        migrations.CreateModel(
            name="OutboxRelay",
            fields=[
                (
                    "service_id",
                    models.CharField(max_length=64, primary_key=True, serialize=False),
                ),
                ("holder", models.CharField(max_length=32)),
                ("beat", models.BigIntegerField()),
            ],
            options={"db_table": "totango_outbox_relay"},
        ),
    )
