"""The one seam to the engines: used by workers only, never by a web process."""

from __future__ import annotations

import threading

from django.conf import settings

from ml.card import ModelError, card_from_dict
from ml.engine import Engine, load_engine
from predictions.models import ModelVersion

MAX_LOADED = 3
_loaded: dict[str, Engine] = {}  # by identity of the network, oldest first
_lock = threading.Lock()


def get_engine(model_version: ModelVersion) -> Engine:
    """The engine of a registered version, loaded once; its bytes are those that were registered.

    Raises:
        ModelError: the files are missing, altered or misshapen. It is tried again at the next call.
    """
    with _lock:
        if model_version.sha256 not in _loaded:
            engine = _load(model_version)
            while len(_loaded) >= MAX_LOADED:
                _loaded.pop(next(iter(_loaded)))
            _loaded[model_version.sha256] = engine
        return _loaded[model_version.sha256]


def _load(model_version: ModelVersion) -> Engine:
    card = card_from_dict(model_version.card)
    if card.identity != model_version.sha256:
        raise ModelError(f"The registered card of {model_version} is not that of its network. Register it again.")
    return load_engine(settings.MODELS_DIR / model_version.version, card, kind=settings.ENGINE)


def loaded_hashes() -> list[str]:
    return sorted(_loaded)
