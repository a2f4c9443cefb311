"""What Celery runs: no arguments, one service call each."""

from celery import shared_task

from predictions import services
from predictions.services import chores
from predictions.services.wake import heard


@shared_task
def drain_task() -> None:
    heard()
    services.drain()


@shared_task
def chores_task() -> None:
    chores.tidy()
