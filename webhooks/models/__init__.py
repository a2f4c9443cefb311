"""What is kept: where people want to be told, and each thing that was told or is to be."""

from webhooks.models.delivery import Delivery, DeliveryEvent, DeliveryStatus
from webhooks.models.webhook import PauseReason, Webhook

__all__ = ["Delivery", "DeliveryEvent", "DeliveryStatus", "PauseReason", "Webhook"]
