"""Every write, once: page, API and admin call the same functions. Keyword-only, one transaction each."""

from predictions.services.activate import (
    activate,
    activate_after_trial,
    has_been_active,
    register_model,
    trial_that_counts,
)
from predictions.services.explain import explain
from predictions.services.moderate import admit, hide, show_again
from predictions.services.opinion import ask
from predictions.services.queue import retry, sweep
from predictions.services.quota import left_today, most_a_day, used_today
from predictions.services.retain import expire, kept_days, overdue, set_retention
from predictions.services.runs import advance_runs, cancel_run, start_rerun, start_rerun_of, start_shadow
from predictions.services.share import (
    allow_review,
    note_batch_opening,
    note_export,
    note_opening,
    set_visibility,
    share_again,
)
from predictions.services.stacks import drain
from predictions.services.submit import Submission, submit
from predictions.services.withdraw import withdraw

__all__ = [
    "Submission",
    "activate",
    "activate_after_trial",
    "admit",
    "advance_runs",
    "allow_review",
    "ask",
    "cancel_run",
    "drain",
    "expire",
    "explain",
    "has_been_active",
    "hide",
    "kept_days",
    "left_today",
    "most_a_day",
    "note_batch_opening",
    "note_export",
    "note_opening",
    "overdue",
    "register_model",
    "retry",
    "set_retention",
    "set_visibility",
    "share_again",
    "show_again",
    "start_rerun",
    "start_rerun_of",
    "start_shadow",
    "submit",
    "sweep",
    "trial_that_counts",
    "used_today",
    "withdraw",
]
