import django.db.models.deletion
import django.db.models.functions
from django.conf import settings
from django.db import migrations, models

# What was sent in the last day counts on: of the hour in which its batch was begun, with no token.
COUNT = """
INSERT INTO predictions_usage (owner_id, token, hour, number)
SELECT batch.owner_id, NULL, date_trunc('hour', batch.created_at), count(*)
FROM predictions_batchitem AS item JOIN predictions_batch AS batch ON batch.id = item.batch_id
WHERE item.error_code = '' AND batch.created_at > now() - interval '24 hours'
GROUP BY 1, 3
"""


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("predictions", "0003_pixels"),
    ]

    operations = [
        migrations.CreateModel(
            name="Usage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("token", models.UUIDField(null=True)),
                ("hour", models.DateTimeField()),
                ("number", models.PositiveIntegerField()),
                (
                    "owner",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "usage",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("owner", "hour", "token"), name="predictions_usage_once_an_hour", nulls_distinct=False
                    )
                ],
            },
        ),
        migrations.RunSQL(COUNT, migrations.RunSQL.noop),
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=200)),
                ("fingerprint", models.CharField(max_length=64)),
                ("first", models.PositiveIntegerField()),
                ("last", models.PositiveIntegerField()),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True),
                ),
                (
                    "batch",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="predictions.batch"
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("owner", "key"), name="predictions_idempotencykey_once_per_owner")
                ],
            },
        ),
    ]
