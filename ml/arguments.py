"""What the commands of `ml` share: arguments that are checked before any work, errors in one sentence."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def new_file(text: str) -> Path:
    """A file that can be written, refused before the hour of work whose outcome it should hold."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder. Name a file.")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path.parent} is no folder. Make it first.")
    return path


def at_least(least: int) -> Callable[[str], int]:
    """A whole number that is not below `least`."""

    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}.")
        return int(text)

    return number


def in_words(error: Exception) -> str:
    """What a person should read: our own errors say it already, those of the system need their file named."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror}. Check the path, the permissions and the room on the disk."
    return str(error)
