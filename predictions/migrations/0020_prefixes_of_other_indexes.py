"""The index of a constraint finds a foreign key it begins with: an index of the key alone is written for nothing."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def key_of(model: str, name: str, to: str, related_name: str) -> migrations.AlterField:
    cascade = django.db.models.deletion.CASCADE
    field = models.ForeignKey(to=to, on_delete=cascade, related_name=related_name, db_index=False)
    return migrations.AlterField(model_name=model, name=name, field=field)


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("predictions", "0019_what_is_tried_again"),
    ]

    operations = [
        key_of("batch", "owner", settings.AUTH_USER_MODEL, "batches"),
        key_of("batchitem", "batch", "predictions.batch", "items"),
        key_of("prediction", "patch", "predictions.patch", "predictions"),
    ]
