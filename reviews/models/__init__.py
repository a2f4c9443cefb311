"""What people say of patches, how they came to be asked, and what was counted of the answers, week by week."""

from reviews.models.draw import Draw, Outcome, Reason
from reviews.models.ground_truth import GroundTruth
from reviews.models.report import Report, ReportOutcome, ReportReason
from reviews.models.review import Answer, Review
from reviews.models.week import Week

__all__ = [
    "Answer",
    "Draw",
    "GroundTruth",
    "Outcome",
    "Reason",
    "Report",
    "ReportOutcome",
    "ReportReason",
    "Review",
    "Week",
]
