"""What the site is measured against: a Flask page that asks the network within the request, as that of 2020 did.

The same .keras file; nothing is checked, stored or queued.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flask import Flask, request
from PIL import Image

from ml.backend import keras
from ml.card import KERAS_FILE, MODELS, default_version
from ml.images import PATCH_SIDE

application = Flask(__name__)
_model: Any = keras.saving.load_model(MODELS / default_version() / KERAS_FILE, compile=False)
_place = [output.shape[-1] for output in _model.outputs].index(1)  # of the probability; the other is the embedding
_model.predict(np.zeros((1, PATCH_SIDE, PATCH_SIDE, 3)), verbose=0)  # compiled before anybody asks


@application.get("/")
def page() -> str:
    return "ready"


@application.post("/predict")
def predict() -> dict[str, float]:
    pixels = np.asarray(Image.open(request.files["image"]).convert("RGB"), np.float32)
    answers = _model.predict(pixels[None], verbose=0)
    return {"probability": float(answers[_place][0, 0])}
