"""Fills in the answers of patches that are there, in pieces and outside one transaction: the site goes on meanwhile."""

from django.conf import settings
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

AT_ONCE = 20_000  # ids, so that no row is held for longer than a moment
FILL = """
UPDATE predictions_patch AS patch
SET probability = answer.probability,
    is_positive = answer.probability >= answer.threshold,
    doubt = abs(answer.probability - answer.threshold)
FROM predictions_prediction AS answer
WHERE answer.id = patch.current_prediction_id AND answer.probability IS NOT NULL AND patch.probability IS NULL
    AND patch.id BETWEEN %s AND %s
"""


def fill(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM predictions_patch")
        (last,) = cursor.fetchone()
        for first in range(1, last + 1, AT_ONCE):
            cursor.execute(FILL, [first, first + AT_ONCE - 1])


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("predictions", "0009_answer_beside_patch"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        # An index of a large table takes longer than a web request may.
        migrations.RunSQL("SET statement_timeout = 0", migrations.RunSQL.noop),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
        AddIndexConcurrently(
            model_name="patch",
            index=models.Index(
                condition=models.Q(("probability__isnull", False)),
                fields=["owner", "probability", "id"],
                name="patch_history_prob",
            ),
        ),
        AddIndexConcurrently(
            model_name="patch",
            index=models.Index(
                condition=models.Q(("probability__isnull", False)),
                fields=["owner", "doubt", "id"],
                name="patch_history_doubt",
            ),
        ),
        AddIndexConcurrently(
            model_name="patch",
            index=models.Index(
                condition=models.Q(
                    ("hidden_at__isnull", True), ("visibility", "public"), ("probability__isnull", False)
                ),
                fields=["probability", "id"],
                name="patch_gallery_prob",
            ),
        ),
        AddIndexConcurrently(
            model_name="patch",
            index=models.Index(
                condition=models.Q(
                    ("hidden_at__isnull", True), ("visibility", "public"), ("probability__isnull", False)
                ),
                fields=["doubt", "id"],
                name="patch_gallery_doubt",
            ),
        ),
        AddIndexConcurrently(
            model_name="patch",
            index=models.Index(
                condition=models.Q(("reviewers_say", ""), _negated=True),
                fields=["owner", "-id"],
                name="patch_reviewed",
            ),
        ),
        migrations.RunSQL("RESET statement_timeout", migrations.RunSQL.noop),
    ]
