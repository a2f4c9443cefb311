"""The group of those who are invited to review. Its members are chosen by superusers, in the admin."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def make_group(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("auth", "Group").objects.get_or_create(name="reviewers")


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("reviews", "0001_draws_and_reviews"),
    ]

    operations = [migrations.RunPython(make_group, migrations.RunPython.noop)]
