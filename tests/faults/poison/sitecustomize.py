"""Makes the engine of a worker under test die, as a native library does, on the patch named by POISON.

Python imports this by itself when its folder is on PYTHONPATH.
"""

import hashlib
import os
import signal
from typing import Any

from ml import engine

_predict = engine.LiteRTEngine.predict


def _predict_or_die(self: engine.LiteRTEngine, pixels: Any) -> engine.EngineOutput:
    if any(hashlib.sha256(patch.tobytes()).hexdigest() == os.environ["POISON"] for patch in pixels):
        os.kill(os.getpid(), signal.SIGKILL)
    return _predict(self, pixels)


engine.LiteRTEngine.predict = _predict_or_die  # type: ignore[method-assign]  # that is the fault
