from django.db import migrations, models


class Migration(migrations.Migration):
    """Counters of all kinds in the place of those of wrong tokens, which are forgotten: they are of the last minute."""

    dependencies = [("accounts", "0002_tokens")]

    operations = [
        migrations.DeleteModel(name="WrongGuesses"),
        migrations.CreateModel(
            name="Counter",
            fields=[
                ("key", models.CharField(max_length=200, primary_key=True, serialize=False)),
                ("since", models.DateTimeField()),
                ("number", models.PositiveIntegerField()),
            ],
        ),
        # Every request counts: without a write-ahead log that costs no wait for the disk. A full page would keep
        # updates from staying on their page.
        migrations.RunSQL(
            "ALTER TABLE accounts_counter SET UNLOGGED; ALTER TABLE accounts_counter SET (fillfactor = 50)",
            migrations.RunSQL.noop,
        ),
        migrations.AddField(
            model_name="apitoken", name="patches_per_day", field=models.PositiveIntegerField(null=True)
        ),
    ]
