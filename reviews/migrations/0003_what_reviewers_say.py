"""What the reviewers of each patch say together; from now on reviews.services.answer keeps it."""

from django.db import migrations

FILL = """
UPDATE predictions_patch AS patch
SET reviewers_say = CASE
    WHEN said.positive > said.negative THEN 'positive'
    WHEN said.positive < said.negative THEN 'negative'
    WHEN said.positive > 0 THEN 'split'
    ELSE 'undecided'
END
FROM (
    SELECT patch_id, count(*) FILTER (WHERE answer = 'positive') AS positive,
        count(*) FILTER (WHERE answer = 'negative') AS negative
    FROM reviews_review GROUP BY patch_id
) AS said
WHERE patch.id = said.patch_id
"""


class Migration(migrations.Migration):
    dependencies = [
        ("predictions", "0011_answers_filled_in"),
        ("reviews", "0002_reviewers"),
    ]

    operations = [migrations.RunSQL(FILL, migrations.RunSQL.noop)]
