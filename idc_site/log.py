"""What the log leaves out."""

import logging


def without_traceback_of_refusals(record: logging.LogRecord) -> bool:
    """A request that is refused (400 to 499) is one line, and no error of the site, though Django's log of suspicious
    ones says so. Tracebacks would hide those that tell of a fault."""
    if getattr(record, "status_code", 500) < 500:
        record.exc_info = record.exc_text = None
        if record.levelno > logging.WARNING:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True
