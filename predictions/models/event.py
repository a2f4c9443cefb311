from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class Event(models.Model):
    """What was done, by whom, to what. Written in the transaction it tells of, and never changed.

    subject: uuid of a patch, prediction, batch, run, webhook, delivery or export, the name of a model version,
    `user <id>`, `token <uuid>`, what a file was of, or "account" for what is of nobody any more. payload holds nothing
    personal, and the actor becomes anonymous when the account goes.
    """

    class Kind(models.TextChoices):
        SUBMITTED = "submitted", _("submitted")
        SHARED = "shared", _("shared")
        MADE_PRIVATE = "made_private", _("made private")
        WITHDRAWN = "withdrawn", _("deleted by its owner")
        EXPIRED = "expired", _("deleted after the time its owner set")
        HIDDEN = "hidden", _("hidden")
        ADMITTED = "admitted", _("admitted to the gallery")
        RETRIED = "retried", _("retried")
        EXPLAINED = "explained", _("asked for a map")
        ASKED = "asked", _("asked another model")
        TO_BE_FORGOTTEN = "to_be_forgotten", _("to be forgotten")
        KEPT_AFTER_ALL = "kept_after_all", _("kept after all")
        OPENED = "opened", _("opened by staff")  # a private patch, or a batch
        REVIEW_ALLOWED = "review_allowed", _("opened to reviewers")
        REVIEW_ENDED = "review_ended", _("closed to reviewers")
        REVIEWED = "reviewed", _("reviewed")
        REVIEW_CHANGED = "review_changed", _("review changed")
        REVIEW_SKIPPED = "review_skipped", _("review skipped")
        TRUTH_STATED = "truth_stated", _("ground truth stated")
        TRUTH_WITHDRAWN = "truth_withdrawn", _("ground truth taken back")
        REPORTED = "reported", _("reported")
        REPORT_SETTLED = "report_settled", _("report settled")
        SHOWN_AGAIN = "shown_again", _("shown again")
        REGISTERED = "registered", _("registered")
        ACTIVATED = "activated", _("activated")
        RUN_STARTED = "run_started", _("run started")
        RUN_CANCELLED = "run_cancelled", _("run stopped")
        WEBHOOK_MADE = "webhook_made", _("webhook made")
        WEBHOOK_PAUSED = "webhook_paused", _("webhook paused")
        WEBHOOK_RESUMED = "webhook_resumed", _("webhook resumed")
        WEBHOOK_SECRET = "webhook_secret", _("webhook given a new secret")
        WEBHOOK_TESTED = "webhook_tested", _("webhook tested")
        WEBHOOK_DELETED = "webhook_deleted", _("webhook deleted")
        REDELIVERED = "redelivered", _("delivery sent again")
        USER_CLOSED = "user_closed", _("account closed by staff")
        USER_OPENED = "user_opened", _("account opened again by staff")
        QUOTA_SET = "quota_set", _("quota set")
        ROLES_SET = "roles_set", _("roles set")
        TOKEN_REVOKED = "token_revoked", _("token revoked by staff")
        EXPORTED = "exported", _("file taken by staff")
        MFA_RESET = "mfa_reset", _("second factors removed")
        EXPORT_ASKED = "export_asked", _("asked for all of their data")
        RETENTION_SET = "retention_set", _("time set for private patches")
        ERASED = "erased", _("account erased")

    kind = models.CharField(max_length=20, choices=Kind.choices)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    subject = models.CharField(max_length=80, db_index=True)
    payload = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now(), db_index=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"
