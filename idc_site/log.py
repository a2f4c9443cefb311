"""What the log leaves out."""

import logging


def without_traceback_of_refusals(record: logging.LogRecord) -> bool:
    """For Django's log of requests: a 403 or 404 is an answer. Its traceback would hide those that tell of a fault."""
    if getattr(record, "status_code", 500) < 500:
        record.exc_info = None
    return True
