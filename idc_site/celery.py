"""The Celery application. What its processes do when they start is in predictions/worker.py."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "idc_site.settings")

app = Celery("idc_site")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
