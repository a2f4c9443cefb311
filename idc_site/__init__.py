"""The site: settings, addresses, health, the Celery application."""

from idc_site.celery import app as celery_app

__all__ = ["celery_app"]
