"""Sends folders of patches to an IDC Finder site and reads its answers.

from idc_finder_client import Client

with Client() as client:
    client.predict("patches").write_csv("answers.csv")
"""

from __future__ import annotations

from idc_finder_client.client import Client
from idc_finder_client.errors import IdcError, Interrupted, NotAllowed, QuotaExceeded, ServerFailed, WrongUse
from idc_finder_client.results import Result, Results
from idc_finder_client.run import Progress

__all__ = [
    "Client",
    "IdcError",
    "Interrupted",
    "NotAllowed",
    "Progress",
    "QuotaExceeded",
    "Result",
    "Results",
    "ServerFailed",
    "WrongUse",
]
