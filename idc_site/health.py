"""For load balancers: does this process live? For operators: can the site do its job, and if not, why?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models.functions import Now
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis import Redis, RedisError

from predictions.models import ModelVersion, Prediction, Priority, Status, WorkerHeartbeat

WORKER_SILENCE = timedelta(seconds=15)
LONGEST_WAIT = timedelta(seconds=60)


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """200 while the process lives and reaches its database."""
    problem = _database()
    return JsonResponse({"alive": not problem}, status=503 if problem else 200)


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when predictions are answered; else 503 and {"problems": {check: sentence}}."""
    checks: dict[str, Callable[[], str]] = {"database": _database, "broker": _broker}
    problems = {name: problem for name, check in checks.items() if (problem := check())}
    if "database" not in problems:
        later: dict[str, Callable[[], str]] = {"migrations": _migrations, "worker": _worker, "queue": _queue}
        for name, check in later.items():
            try:
                problem = check()
            except DatabaseError as error:
                problem = f"Cannot be checked: {_first_line(error)}"
            if problem:
                problems[name] = problem
    return JsonResponse({"ready": not problems, "problems": problems}, status=503 if problems else 200)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        connection.close()
        return f"The database does not answer: {_first_line(error)}"
    return ""


def _broker() -> str:
    try:
        with Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1) as broker:
            broker.ping()
    except RedisError as error:
        return f"The broker does not answer: {_first_line(error)}"
    return ""


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return f"{len(missing)} migrations are missing: run `manage.py migrate`." if missing else ""


def _worker() -> str:
    active = ModelVersion.objects.active()
    if active is None:
        return "No model is active: run `manage.py register_model ml/models/<version> --activate`."
    beating = list(WorkerHeartbeat.objects.filter(seen_at__gte=Now() - WORKER_SILENCE))
    if any(active.sha256 in worker.model_hashes for worker in beating):
        return ""
    if problem := next((worker.problem for worker in beating if worker.problem), ""):
        return f"The worker refuses {active}: {problem}"
    return f"No worker has been seen in the last {WORKER_SILENCE.seconds} s with {active} loaded."


def _queue() -> str:
    is_stuck = Prediction.objects.filter(
        status__in=[Status.QUEUED, Status.RUNNING],
        priority=Priority.INTERACTIVE,
        queued_at__lt=Now() - LONGEST_WAIT,
    ).exists()
    return f"An interactive prediction has waited for more than {LONGEST_WAIT.seconds} s." if is_stuck else ""


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
