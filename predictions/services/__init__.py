"""Every write, once: page, API and admin call the same functions. Keyword-only, one transaction each."""

from predictions.services.activate import activate, register_model
from predictions.services.explain import explain
from predictions.services.moderate import admit, hide
from predictions.services.opinion import ask
from predictions.services.queue import drain, retry, sweep
from predictions.services.quota import left_today, used_today
from predictions.services.retain import expire, kept_days, overdue, set_retention
from predictions.services.share import allow_review, note_opening, set_visibility
from predictions.services.submit import Submission, submit
from predictions.services.withdraw import withdraw

__all__ = [
    "Submission",
    "activate",
    "admit",
    "allow_review",
    "ask",
    "drain",
    "expire",
    "explain",
    "hide",
    "kept_days",
    "left_today",
    "note_opening",
    "overdue",
    "register_model",
    "retry",
    "set_retention",
    "set_visibility",
    "submit",
    "sweep",
    "used_today",
    "withdraw",
]
