import io
from typing import Any

import numpy as np
from django.db import migrations, models
from PIL import Image

import predictions.models.patch

AT_ONCE = 1000


def unpack(apps: Any, schema_editor: Any) -> None:
    """The pixels of the PNGs that were stored until now. They are ours, so nothing needs to be checked again."""
    images = apps.get_model("predictions", "PatchImage").objects
    last = 0
    while rows := list(images.filter(pk__gt=last).order_by("pk")[:AT_ONCE]):
        for row in rows:
            row.pixels = np.asarray(Image.open(io.BytesIO(row.png)), np.uint8).tobytes()
        images.bulk_update(rows, ["pixels"])
        last = rows[-1].pk


class Migration(migrations.Migration):
    """Pixels instead of PNGs: see docs/adr/0007-pixels-are-stored.md."""

    dependencies = [("predictions", "0002_explanation")]

    operations = [
        migrations.AddField(model_name="patchimage", name="pixels", field=models.BinaryField(null=True)),
        # Pixels of tissue hardly shrink, so nothing is tried. A row fits its page, and needs no second table.
        migrations.RunSQL(
            "ALTER TABLE predictions_patchimage ALTER COLUMN pixels SET STORAGE EXTERNAL;"
            "ALTER TABLE predictions_patchimage SET (toast_tuple_target = 8160)",
            migrations.RunSQL.noop,
        ),
        migrations.RunPython(unpack, elidable=True),
        migrations.RemoveField(model_name="patchimage", name="png"),
        migrations.AlterField(model_name="patchimage", name="pixels", field=models.BinaryField()),
        migrations.AddConstraint(
            model_name="patchimage",
            constraint=models.CheckConstraint(
                condition=models.lookups.Exact(predictions.models.patch.OctetLength("pixels"), 7500),
                name="predictions_patchimage_is_whole",
            ),
        ),
    ]
