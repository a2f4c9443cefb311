"""The current answer beside its patch, kept by the database: docs/adr/0015-the-answer-beside-the-patch.md."""

from django.db import migrations, models

# Who finishes an answer holds its prediction, who makes another one current waits for that: none of both is missed.
KEEP = """
CREATE FUNCTION predictions_tell_patch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE predictions_patch
    SET probability = NEW.probability,
        is_positive = NEW.probability >= NEW.threshold,
        doubt = abs(NEW.probability - NEW.threshold),
        is_flagged = NEW.flags <> '{}'
    WHERE id = NEW.patch_id AND current_prediction_id = NEW.id;
    RETURN NULL;
END $$;

-- Of a whole statement at once: a stack of answers is one statement.
CREATE FUNCTION predictions_tell_patches() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM made WHERE probability IS NOT NULL)
        AND NOT EXISTS (SELECT FROM before WHERE probability IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    UPDATE predictions_patch AS patch
    SET probability = made.probability,
        is_positive = made.probability >= made.threshold,
        doubt = abs(made.probability - made.threshold),
        is_flagged = CASE WHEN made.probability IS NOT NULL THEN made.flags <> '{}' END
    FROM made JOIN before USING (id)
    WHERE patch.id = made.patch_id AND patch.current_prediction_id = made.id
        AND (made.probability, made.threshold, made.flags)
            IS DISTINCT FROM (before.probability, before.threshold, before.flags);
    RETURN NULL;
END $$;

CREATE FUNCTION predictions_read_answer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT probability, probability >= threshold, abs(probability - threshold),
        CASE WHEN probability IS NOT NULL THEN flags <> '{}' END
    INTO NEW.probability, NEW.is_positive, NEW.doubt, NEW.is_flagged
    FROM predictions_prediction WHERE id = NEW.current_prediction_id FOR SHARE;
    RETURN NEW;
END $$;

CREATE TRIGGER predictions_answer_made AFTER INSERT ON predictions_prediction
FOR EACH ROW WHEN (NEW.probability IS NOT NULL) EXECUTE FUNCTION predictions_tell_patch();

CREATE TRIGGER predictions_answers_changed AFTER UPDATE ON predictions_prediction
REFERENCING OLD TABLE AS before NEW TABLE AS made
FOR EACH STATEMENT EXECUTE FUNCTION predictions_tell_patches();

CREATE TRIGGER predictions_current_changed BEFORE UPDATE OF current_prediction_id ON predictions_patch
FOR EACH ROW WHEN (NEW.current_prediction_id IS DISTINCT FROM OLD.current_prediction_id)
EXECUTE FUNCTION predictions_read_answer();
"""
KEEP_NO_MORE = """
DROP TRIGGER predictions_current_changed ON predictions_patch;
DROP TRIGGER predictions_answers_changed ON predictions_prediction;
DROP TRIGGER predictions_answer_made ON predictions_prediction;
DROP FUNCTION predictions_read_answer();
DROP FUNCTION predictions_tell_patches();
DROP FUNCTION predictions_tell_patch();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("predictions", "0009_predict_and_forget"),
    ]

    operations = [
        migrations.AddField(
            model_name="patch",
            name="doubt",
            field=models.FloatField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="patch",
            name="is_flagged",
            field=models.BooleanField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="patch",
            name="is_positive",
            field=models.BooleanField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="patch",
            name="probability",
            field=models.FloatField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="patch",
            name="reviewers_say",
            field=models.CharField(
                blank=True,
                choices=[
                    ("positive", "IDC"),
                    ("negative", "no IDC"),
                    ("split", "as many IDC as no IDC"),
                    ("undecided", "neither"),
                ],
                db_default="",
                default="",
                editable=False,
                max_length=9,
            ),
        ),
        migrations.RunSQL(KEEP, KEEP_NO_MORE),
    ]
