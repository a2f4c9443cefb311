"""Staff look at everything and change nothing but through the actions, each a call of a service."""

from predictions.admin import events, models, patches

__all__ = ["events", "models", "patches"]
