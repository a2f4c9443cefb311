from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        from accounts import signals, worker  # noqa: F401  (connect to signals of allauth and Celery)
