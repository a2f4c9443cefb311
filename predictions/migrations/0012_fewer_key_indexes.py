"""The new indexes of patches stand in for those of their foreign keys: an answer costs no more entries than before."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def to_user(**options: object) -> models.ForeignKey:
    return models.ForeignKey(to=settings.AUTH_USER_MODEL, db_index=False, **options)


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("predictions", "0011_answers_filled_in"),
    ]

    operations = [
        migrations.AlterField(
            model_name="patch",
            name="owner",
            field=to_user(on_delete=django.db.models.deletion.CASCADE, related_name="patches"),
        ),
        *(
            migrations.AlterField(
                model_name="patch",
                name=name,
                field=to_user(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+"),
            )
            for name in ("admitted_by", "hidden_by")
        ),
    ]
