"""Fills in the answers of patches that are there, in pieces and outside one transaction: the site goes on meanwhile."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

AT_ONCE = 20_000  # ids, so that no row is held for longer than a moment
FILL = """
UPDATE predictions_patch AS patch
SET probability = answer.probability,
    is_positive = answer.probability >= answer.threshold,
    doubt = abs(answer.probability - answer.threshold),
    is_flagged = answer.flags <> '{}'
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


IS_ANSWERED = models.Q(probability__isnull=False)
IS_SHARED = models.Q(visibility="public", hidden_at__isnull=True)
IS_REVIEWED = ~models.Q(reviewers_say="")
INDEXES = [
    models.Index(fields=["owner", "created_at", "id"], name="patch_history_newest"),
    models.Index(
        fields=["owner", "is_positive", "created_at", "id"], condition=IS_ANSWERED, name="patch_history_label"
    ),
    models.Index(fields=["owner", "probability", "id"], condition=IS_ANSWERED, name="patch_history_prob"),
    models.Index(fields=["owner", "doubt", "id"], condition=IS_ANSWERED, name="patch_history_doubt"),
    models.Index(
        fields=["owner", "created_at", "id"],
        condition=models.Q(probability__isnull=True),
        name="patch_history_waiting",
    ),
    models.Index(
        fields=["owner", "created_at", "id"], condition=models.Q(is_flagged=True), name="patch_history_flagged"
    ),
    models.Index(
        fields=["owner", "created_at", "id"], condition=models.Q(visibility="public"), name="patch_history_public"
    ),
    models.Index(fields=["owner", "created_at", "id"], condition=IS_REVIEWED, name="patch_history_reviewed"),
    models.Index(fields=["owner", "probability", "id"], condition=models.Q(is_flagged=True), name="patch_flagged_prob"),
    models.Index(fields=["owner", "doubt", "id"], condition=models.Q(is_flagged=True), name="patch_flagged_doubt"),
    models.Index(fields=["created_at", "id"], condition=IS_SHARED, name="patch_gallery_newest"),
    models.Index(
        fields=["is_positive", "created_at", "id"], condition=IS_SHARED & IS_ANSWERED, name="patch_gallery_label"
    ),
    models.Index(fields=["probability", "id"], condition=IS_SHARED & IS_ANSWERED, name="patch_gallery_prob"),
    models.Index(fields=["doubt", "id"], condition=IS_SHARED & IS_ANSWERED, name="patch_gallery_doubt"),
    models.Index(fields=["created_at", "id"], condition=IS_SHARED & IS_REVIEWED, name="patch_gallery_reviewed"),
    models.Index(fields=["hidden_by"], condition=models.Q(hidden_by__isnull=False), name="patch_hidden_by"),
    models.Index(fields=["admitted_by"], condition=models.Q(admitted_by__isnull=False), name="patch_admitted_by"),
]


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("predictions", "0010_answer_beside_patch"),
    ]

    operations = [
        # An index of a large table takes longer than a web request may.
        migrations.RunSQL("SET statement_timeout = 0", migrations.RunSQL.noop),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
        *(AddIndexConcurrently(model_name="patch", index=index) for index in INDEXES),
        RemoveIndexConcurrently(model_name="patch", name="patch_history"),
        RemoveIndexConcurrently(model_name="patch", name="patch_gallery"),
        migrations.RunSQL("RESET statement_timeout", migrations.RunSQL.noop),
    ]
