"""Where what is said on the next page waits until it is seen."""

from __future__ import annotations

from typing import Any

from django.contrib.messages.storage.base import Message
from django.contrib.messages.storage.fallback import FallbackStorage
from django.http import HttpResponseBase


class SaidOnce(FallbackStorage):
    """Django's own, but what waits already is said once.

    Who is refused a file again and again sees no page in between, and would find the same sentence many times over.
    """

    def _store(self, messages: list[Message], response: HttpResponseBase, *args: Any, **options: Any) -> Any:
        once = [message for place, message in enumerate(messages) if message not in messages[:place]]
        return super()._store(once, response, *args, **options)  # type: ignore[misc]  # not in the stubs
