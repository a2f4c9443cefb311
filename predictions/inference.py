"""The one seam to the engines: used by workers only, never by a web process."""

from __future__ import annotations

import threading

from django.conf import settings

from ml.card import ModelError, card_from_dict
from ml.engine import THREADS, Engine, load_engine
from predictions.models import ModelVersion

MAX_LOADED = 3
# Patches per second from which a network has one core and the gate the other: a second thread would take half as much
# again of a core, as it spins between small layers, and hold the gate up for as long as it helps the engine.
QUICK = 1000
_loaded: dict[str, tuple[Engine, bool]] = {}  # by identity of the network, oldest first, and whether it is lean
_lock = threading.Lock()


def get_engine(model_version: ModelVersion) -> Engine:
    """The engine of a registered version, loaded once; its bytes are those that were registered.

    Any but the active version's is lean, so that a worker holds several; an activation loads it anew.

    Raises:
        ModelError: the files are missing, altered or misshapen. It is tried again at the next call.
    """
    with _lock:
        key, is_lean = model_version.sha256, not model_version.is_active
        engine, was_lean = _loaded.get(key, (None, False))
        if engine is None or was_lean != is_lean:
            engine = _load(model_version, is_lean=is_lean)
            _loaded.pop(key, None)
            if not is_lean:  # what was active before makes room; it is loaded anew, as a lean one, if it is asked
                for other in [other for other, (_, is_other_lean) in _loaded.items() if not is_other_lean]:
                    del _loaded[other]
            while len(_loaded) >= MAX_LOADED:
                _loaded.pop(next(iter(_loaded)))
            _loaded[key] = engine, is_lean
        return engine


def _load(model_version: ModelVersion, *, is_lean: bool) -> Engine:
    card = card_from_dict(model_version.card)
    if card.identity != model_version.sha256:
        raise ModelError(f"The registered card of {model_version} is not that of its network. Register it again.")
    folder = settings.MODELS_DIR / model_version.version
    threads = 1 if card.speed["stack_of_64_per_second"] > QUICK else THREADS
    return load_engine(folder, card, kind=settings.ENGINE, is_lean=is_lean, threads=threads)


def loaded_hashes() -> list[str]:
    return sorted(_loaded)
