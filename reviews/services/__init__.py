"""Every write of reviews, once: page and API call the same functions. Keyword-only, one transaction each."""

from reviews.services.answer import answer_draw, change_review, review_patch, skip_draw
from reviews.services.draw import next_draws
from reviews.services.reports import dismiss_report, hide_reported, report
from reviews.services.truth import state_truth, withdraw_truth
from reviews.services.weeks import count_weeks

__all__ = [
    "answer_draw",
    "change_review",
    "count_weeks",
    "dismiss_report",
    "hide_reported",
    "next_draws",
    "report",
    "review_patch",
    "skip_draw",
    "state_truth",
    "withdraw_truth",
]
