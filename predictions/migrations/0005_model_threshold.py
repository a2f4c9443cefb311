import django.db.models.fields.json
from django.db import migrations, models
from django.db.models.functions import Cast


def number(path: str) -> models.GeneratedField:
    expression = Cast(django.db.models.fields.json.KT(path), models.FloatField())
    return models.GeneratedField(expression=expression, output_field=models.FloatField(), db_persist=True)


class Migration(migrations.Migration):
    """Numbers of the card that lists and workers need, beside it: so they need not read all of it."""

    dependencies = [("predictions", "0004_usage_and_idempotency")]

    operations = [
        migrations.AddField("modelversion", "threshold", number("card__threshold")),
        migrations.AddField("modelversion", "likeness_limit", number("card__likeness__limit")),
    ]
