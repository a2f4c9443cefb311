"""What can go wrong, each with a sentence for people and an exit code for scripts."""

from __future__ import annotations

from typing import ClassVar


class IdcError(Exception):
    """Its text is a whole sentence and never holds a token."""

    exit_code: ClassVar[int]


class WrongUse(IdcError):
    """The call itself is wrong: its input, its options, an address, a journal of another run."""

    exit_code = 2


class ServerFailed(IdcError):
    """The server cannot be reached or gives no sound answer, after all tries."""

    exit_code = 3


class NotFound(ServerFailed):
    """The server does not know what was asked for, or not as this user's."""


class NotAllowed(IdcError):
    """No token, an unknown one, or one without the scope."""

    exit_code = 4


class QuotaExceeded(IdcError):
    """No more patches today."""

    exit_code = 5


class Interrupted(IdcError):
    """Somebody pressed Ctrl-C."""

    exit_code = 130
