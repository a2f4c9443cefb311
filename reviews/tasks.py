"""What Celery runs: no arguments, one service call each."""

from celery import shared_task

from reviews import services


@shared_task
def weeks_task() -> None:
    services.count_weeks()
