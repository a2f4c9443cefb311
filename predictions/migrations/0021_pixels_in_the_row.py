"""The 7,500 bytes of a patch stay in its row, of which one fills a page: cut into four pieces elsewhere, as PostgreSQL
does with more than 2,000 bytes, they took half as long again to write. What is stored already stays where it is."""

from django.db import migrations

IN_THE_ROW = """
ALTER TABLE predictions_patchimage ALTER COLUMN pixels SET STORAGE MAIN;
ALTER TABLE predictions_patchimage SET (toast_tuple_target = 8160);
"""
CUT = """
ALTER TABLE predictions_patchimage ALTER COLUMN pixels SET STORAGE EXTENDED;
ALTER TABLE predictions_patchimage RESET (toast_tuple_target);
"""


class Migration(migrations.Migration):
    dependencies = [("predictions", "0020_prefixes_of_other_indexes")]

    operations = [migrations.RunSQL(IN_THE_ROW, CUT)]
