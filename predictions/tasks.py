"""What Celery runs: no arguments, one service call each."""

from celery import shared_task

from predictions import services
from predictions.services import chores


@shared_task
def drain_task() -> None:
    services.drain()


@shared_task
def chores_task() -> None:
    chores.tidy()
