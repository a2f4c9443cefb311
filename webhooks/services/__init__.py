"""Every write to webhooks and deliveries, once. Keyword-only, one transaction each."""

from webhooks.services.announce import advance, announce
from webhooks.services.deliver import deliver, sweep
from webhooks.services.manage import (
    WEBHOOKS_PER_USER,
    change_secret,
    create_webhook,
    delete_webhook,
    redeliver,
    send_test,
    set_active,
)
from webhooks.services.tidy import tidy

__all__ = [
    "WEBHOOKS_PER_USER",
    "advance",
    "announce",
    "change_secret",
    "create_webhook",
    "delete_webhook",
    "deliver",
    "redeliver",
    "send_test",
    "set_active",
    "sweep",
    "tidy",
]
