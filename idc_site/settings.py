"""Settings, all from the environment; `.env.example` lists every variable.

`make run` writes var/local.env, so that `manage.py` in the same folder uses the same database and key.
What is missing or makes no sense stops the process with a sentence that names the variable.
"""

from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

import django_stubs_ext
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from environs import Env, validate

BASE_DIR = Path(__file__).resolve().parent.parent
LOCAL_ENVIRONMENT = BASE_DIR / "var" / "local.env"

django_stubs_ext.monkeypatch()

env = Env()
env.read_env(LOCAL_ENVIRONMENT, recurse=False)


def required(name: str, what_it_is: str) -> str:
    """A variable without a default.

    Raises:
        ImproperlyConfigured: it is not set.
    """
    value: str = env.str(name, "").strip()
    if not value:
        raise ImproperlyConfigured(f"Set {name} ({what_it_is}); see .env.example. `make run` sets it by itself.")
    return value


# --- where the site is -------------------------------------------------------------------------------
SITE_URL: str = env.str("SITE_URL", "http://127.0.0.1:8000").rstrip("/")
_site = urlsplit(SITE_URL)
if _site.scheme not in ("http", "https") or not _site.hostname:
    raise ImproperlyConfigured(f"SITE_URL must be an address such as https://idc.example.org, not {SITE_URL!r}.")
IS_HTTPS = _site.scheme == "https"
_LOCAL_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
# One machine that only its user reaches, as `make run` makes it: what is for development alone asks for this.
IS_LOCAL = not IS_HTTPS and _site.hostname in ("127.0.0.1", "localhost", "::1")
SECRET_KEY = required("SECRET_KEY", "a long random string")
DEBUG = False
ALLOWED_HOSTS = [_site.hostname, *([] if IS_HTTPS else _LOCAL_HOSTS), *env.list("EXTRA_HOSTS", [])]
CSRF_TRUSTED_ORIGINS = [SITE_URL]
# How many proxies of ours stand before the site: only as many X-Forwarded-For entries are believed.
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXIES", 0, validate=validate.Range(min=0, max=5))
if IS_HTTPS and ALLAUTH_TRUSTED_PROXY_COUNT:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- applications ------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.forms",
    "idc_site.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "csp",
    "django_filters",
    "django_htmx",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "rest_framework",
    "accounts",
    "predictions",
    "reviews",
    "webhooks",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "idc_site.middleware.PolicyMiddleware",  # before all that answers by itself
    "idc_site.middleware.PrivateMiddleware",
    "idc_site.middleware.RequestSizeMiddleware",
    "idc_site.rate_limits.RateLimitMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "idc_site.middleware.AddressMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "idc_site.urls"
CSRF_FAILURE_VIEW = "idc_site.errors.csrf_failure"
WSGI_APPLICATION = "idc_site.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "idc_site.context_processors.site",
            ]
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SILENCED_SYSTEM_CHECKS: list[str] = []

# --- database, cache, files --------------------------------------------------------------------------
required("DATABASE_URL", "postgresql://user:password@host/database")
DATABASES = {"default": env.dj_db_url("DATABASE_URL", conn_max_age=60, conn_health_checks=True)}
if DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
    raise ImproperlyConfigured("DATABASE_URL must name a PostgreSQL database: the queue needs its row locks.")
DATABASES["default"]["ENGINE"] = "idc_site.postgres"  # Django's own, with two differences
STATEMENT_TIMEOUT_MS = env.int("STATEMENT_TIMEOUT_MS", 15_000, validate=validate.Range(min=100))
DATABASES["default"].setdefault("OPTIONS", {})
DATABASES["default"]["OPTIONS"].setdefault("connect_timeout", 5)
DATABASES["default"]["OPTIONS"]["options"] = (
    f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c idle_in_transaction_session_timeout=30000"
)
# Shared between web processes (sign-in limits count there), and apart from the broker.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "site_cache"}}
SESSION_ENGINE = "django.contrib.sessions.backends.db"
MESSAGE_STORAGE = "idc_site.messages.SaidOnce"
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = env.path("STATIC_ROOT", BASE_DIR / "var" / "static")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# --- people ------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "predictions:new"
LOGOUT_REDIRECT_URL = "home"
MAIL_IS_CONFIGURED = bool(env.str("EMAIL_URL", ""))
if MAIL_IS_CONFIGURED:
    vars().update(env.dj_email_url("EMAIL_URL"))
    DEFAULT_FROM_EMAIL = required("DEFAULT_FROM_EMAIL", "who mails come from")
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if MAIL_IS_CONFIGURED else "none"
# Without mail nobody can prove that an address is theirs: it stays the one they signed up with.
ACCOUNT_MAX_EMAIL_ADDRESSES = None if MAIL_IS_CONFIGURED else 1
ACCOUNT_CONFIRM_EMAIL_ON_GET = False
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_DEFAULT_HTTP_PROTOCOL = _site.scheme
ACCOUNT_EMAIL_SUBJECT_PREFIX = "IDC Finder: "
# Without a second factor, staff see and do what anybody does (User.sees_all), and the admin sends them to set one up.
STAFF_NEEDS_MFA = env.bool("STAFF_NEEDS_MFA", not IS_LOCAL)
MFA_ADAPTER = "accounts.adapter.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "IDC Finder"
MFA_ALLOW_UNVERIFIED_EMAIL = not MAIL_IS_CONFIGURED
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = IS_LOCAL  # browsers take localhost alone without HTTPS

# --- API ---------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.ApiTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.HasScope"],
    "DEFAULT_THROTTLE_CLASSES": ["idc_site.rate_limits.PerMinute"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["idc_site.parsers.FormParser", "idc_site.parsers.BoundedJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "idc_site.negotiation.OneForm",
    "DEFAULT_METADATA_CLASS": "idc_site.negotiation.MethodsAlone",
    "DEFAULT_SCHEMA_CLASS": "idc_site.api_schema.Schema",
    "EXCEPTION_HANDLER": "idc_site.api_errors.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "STRICT_JSON": True,
    "URL_FORMAT_OVERRIDE": None,
}
KNOX_TOKEN_MODEL = "accounts.ApiToken"
MIGRATION_MODULES = {"knox": None}  # its own token table would stay empty beside ours
REST_KNOX = {
    "TOKEN_MODEL": "accounts.ApiToken",
    "TOKEN_PREFIX": "idc_",
    "TOKEN_TTL": timedelta(days=90),
    "AUTH_HEADER_PREFIX": "Bearer",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "IDC Finder",
    "DESCRIPTION": (
        "How likely does a patch of H&E-stained breast tissue show invasive ductal carcinoma (IDC)? "
        "For research and teaching, never a diagnosis.\n\n"
        'Every error has one form: `{"error": {"code", "message", "field"?}}`. '
        "What may change within version 1, and what never, is said in docs/api.md."
    ),
    "VERSION": "1.5.0",  # of the API: the second number is raised by additions, the first by a new /api/vN/
    "LICENSE": {"name": "MIT"},
    "SERVERS": [{"url": "/", "description": "this site"}],
    "TAGS": [
        {"name": "predictions", "description": "Send patches, read answers, share, try again, delete."},
        {"name": "batches", "description": "Patches that were sent together."},
        {"name": "gallery", "description": "What was shared; needs no token."},
        {"name": "models", "description": "The models and their cards; needs no token."},
        {"name": "reviews", "description": "What reviewers are asked and say. For reviewers and signed-in staff."},
        {"name": "webhooks", "description": "Who is told when a batch is done."},
        {"name": "me", "description": "The caller, the limits and what is left of them."},
    ],
    "SCHEMA_PATH_PREFIX": "/api/v[0-9]+",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "AUTHENTICATION_WHITELIST": ["accounts.authentication.ApiTokenAuthentication"],
    "ENUM_NAME_OVERRIDES": {
        "Status": "predictions.models.Status",
        "Visibility": "predictions.models.Visibility",
        "Label": "predictions.filters.LABELS",
        "Scope": "accounts.models.Scope",
        "Answer": "reviews.models.Answer",
        "DefiniteAnswer": "reviews.models.ground_truth.DEFINITE",
        "PauseReason": "webhooks.models.webhook.PauseReason",
        "DeliveryStatus": "webhooks.models.delivery.DeliveryStatus",
        "DeliveryEvent": "webhooks.models.delivery.DeliveryEvent",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {
        "deepLinking": True,
        "defaultModelsExpandDepth": 0,
        "displayRequestDuration": True,
        "persistAuthorization": False,  # a token is not left behind in the browser
        "validatorUrl": None,  # no foreign host is asked
    },
}

# --- limits: shown on the upload page, enforced at every door ----------------------------------------
IMAGES_PER_REQUEST = env.int("IMAGES_PER_REQUEST", 100, validate=validate.Range(min=1, max=1000))
REQUEST_MEGABYTES = env.int("REQUEST_MEGABYTES", 50, validate=validate.Range(min=1, max=1000))
PATCHES_PER_DAY = env.int("PATCHES_PER_DAY", 20_000, validate=validate.Range(min=1))
ZIP_MEGABYTES = env.int("ZIP_MEGABYTES", 200, validate=validate.Range(min=1, max=2000))
ZIP_MEMBERS = env.int("ZIP_MEMBERS", 10_000, validate=validate.Range(min=1, max=50_000))
READS_PER_MINUTE = env.int("READS_PER_MINUTE", 6_000, validate=validate.Range(min=1))
CHANGES_PER_MINUTE = env.int("CHANGES_PER_MINUTE", 6_000, validate=validate.Range(min=1))
# Requests with `Prefer: wait` that one web process keeps waiting; it has WEB_THREADS threads (Procfile) in all.
WAITING_REQUESTS = env.int("WAITING_REQUESTS", 16, validate=validate.Range(min=0))
# A file of a list that its reader has not taken by then is cut off; of an archive, each 10 MB of it.
EXPORT_SECONDS = env.int("EXPORT_SECONDS", 120, validate=validate.Range(min=1))
# No private patch is kept for longer than so many days; 0: as long as its owner wishes.
PRIVATE_PATCHES_DAYS = env.int("PRIVATE_PATCHES_DAYS", 0, validate=validate.Range(min=0, max=36_500))
DATA_UPLOAD_MAX_NUMBER_FILES = IMAGES_PER_REQUEST
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # of all fields that are not files
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# --- model -------------------------------------------------------------------------------------------
MODELS_DIR = env.path("IDC_MODELS", BASE_DIR / "ml" / "models")
ENGINE = env.str("IDC_ENGINE", "litert", validate=validate.OneOf(["litert", "keras"]))
# A claimed prediction belongs to its worker for this long; then another may take it.
LEASE_SECONDS = env.int("LEASE_SECONDS", 30, validate=validate.Range(min=1, max=600))

# --- webhooks ----------------------------------------------------------------------------------------
# Networks of one's own that webhooks may lead into, beside the public addresses.
try:
    _networks: list[str] = env.list("WEBHOOK_ALLOWED_NETWORKS", [])
    WEBHOOK_ALLOWED_NETWORKS = [ip_network(network.strip()) for network in _networks]
except ValueError as error:
    raise ImproperlyConfigured(f"WEBHOOK_ALLOWED_NETWORKS must be networks such as 10.1.0.0/16: {error}.") from error
# For the whole exchange with a receiver, half of it for connecting.
WEBHOOK_TIMEOUT_SECONDS = env.float("WEBHOOK_TIMEOUT_SECONDS", 10, validate=validate.Range(min=0.1, max=30))
# The first pause after a delivery that failed; each of the next is eight times as long, up to six hours.
WEBHOOK_RETRY_SECONDS = env.float("WEBHOOK_RETRY_SECONDS", 10, validate=validate.Range(min=0.1, max=3600))

# --- queue: values that were tried, see docs/adr/0001-the-row-is-the-job.md ------------------------------
REDIS_URL = required("REDIS_URL", "redis://host:6379/0, the broker's own instance")
IS_WORKER = env.bool("IDC_IS_WORKER", False)
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_connect_timeout": 1 if IS_WORKER else 0.5,
    "socket_timeout": 5 if IS_WORKER else 0.5,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "visibility_timeout": 120,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "global_keyprefix": "idc:",
}
CELERY_TASK_PUBLISH_RETRY_POLICY = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.1,
    "interval_max": 0.1,
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "predictions"
CELERY_TASK_ROUTES = {
    "predictions.tasks.chores_task": {"queue": "chores"},
    "reviews.tasks.weeks_task": {"queue": "chores"},
}
CELERY_TASK_SOFT_TIME_LIMIT = 45
CELERY_TASK_TIME_LIMIT = 60
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 60
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"
CELERY_BEAT_SCHEDULE = {
    "chores": {"task": "predictions.tasks.chores_task", "schedule": timedelta(hours=1)},
    "weeks": {"task": "reviews.tasks.weeks_task", "schedule": timedelta(minutes=30)},
}

# --- browser security --------------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "blob:"],  # blob: thumbnails of files that were chosen but not sent
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = IS_HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 31_536_000 if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = IS_HTTPS

# --- language, time, log -----------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["refusals"]}},
    "filters": {
        "refusals": {
            "()": "django.utils.log.CallbackFilter",
            "callback": "ext://idc_site.log.without_traceback_of_refusals",
        }
    },
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", "INFO")},
}
