from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import Func, Q
from django.db.models.functions import Now, Random
from django.db.models.lookups import Exact
from django.utils.translation import gettext_lazy as _

from ml.images import PATCH_BYTES, PATCH_SIDE, encode_png, from_bytes

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User


class Visibility(models.TextChoices):
    PRIVATE = "private", _("private")
    PUBLIC = "public", _("public")


class Source(models.TextChoices):
    WEB = "web", _("web page")
    API = "api", _("API")


FORGET = "forget"  # beside Visibility, what a person may choose at the upload: private, and only the answer is kept

MAY_BE_REVIEWED = Q(
    Q(visibility=Visibility.PUBLIC) | Q(allows_review=True), hidden_at__isnull=True, pixels_dropped_at__isnull=True
)


class ReviewersSay(models.TextChoices):
    """What the reviewers of a patch say together: what most of those say who name either class."""

    POSITIVE = "positive", _("IDC")
    NEGATIVE = "negative", _("no IDC")
    SPLIT = "split", _("as many IDC as no IDC")
    UNDECIDED = "undecided", _("neither")


IS_SHARED = Q(visibility=Visibility.PUBLIC, hidden_at__isnull=True)
IS_ANSWERED = Q(probability__isnull=False)
IS_REVIEWED = ~Q(reviewers_say="")
FEW = {
    "waiting": Q(probability__isnull=True),
    "flagged": Q(is_flagged=True),
    "public": Q(visibility=Visibility.PUBLIC),
    "reviewed": IS_REVIEWED,
}


def of_closed_accounts() -> Q:
    """Patches of those who cannot sign in. IN (SELECT ...), no join: lists go on walking their own index."""
    return Q(owner__in=get_user_model().objects.filter(is_active=False))


def of_erased_accounts() -> Q:
    """Patches that are about to be removed."""
    return Q(owner__in=get_user_model().objects.filter(erased_at__isnull=False))


class PatchQuerySet(models.QuerySet["Patch"]):
    def in_gallery(self) -> PatchQuerySet:
        """Public, not hidden, answered, and not flagged by the gate unless staff admitted it."""
        shown = self.filter(Q(is_flagged=False) | Q(admitted_at__isnull=False), IS_SHARED, IS_ANSWERED)
        return shown.exclude(of_closed_accounts())

    def with_answer(self) -> PatchQuerySet:
        """With the current prediction and its model, as lists show them."""
        answer = "current_prediction__model_version"
        return self.select_related(answer).defer(f"{answer}__card", "current_prediction__embedding")

    def visible_to(self, user: User | AnonymousUser) -> PatchQuerySet:
        """What `user` may look at: their own, what is public and not hidden, and everything for staff.

        What belongs to a closed account is for staff alone, and to an erased one for nobody. Reviewers also see what
        they have answered with its owner's leave; before that, the queue shows them the picture alone.
        """
        shared = Q(visibility=Visibility.PUBLIC, hidden_at__isnull=True)
        if not user.is_authenticated:
            return self.filter(shared).exclude(of_closed_accounts())
        if user.sees_all:
            return self.exclude(of_erased_accounts())
        if user.is_reviewer:
            shared |= Q(allows_review=True, hidden_at__isnull=True, pk__in=user.reviews.values("patch"))
        return self.filter(shared | Q(owner=user)).exclude(of_closed_accounts())

    def reportable_by(self, user: User | AnonymousUser) -> PatchQuerySet:
        """What `user` may report to staff: what others share."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(IS_SHARED).exclude(owner=user).exclude(of_closed_accounts())

    def reviewable_by(self, user: User | AnonymousUser) -> PatchQuerySet:
        """What `user` may be asked about: public or with its owner's leave, never hidden, never one's own."""
        if not user.is_authenticated or not user.is_reviewer:
            return self.none()
        return self.filter(MAY_BE_REVIEWED).exclude(owner=user).exclude(of_closed_accounts())


class Patch(models.Model):
    """One uploaded image, as 50x50 RGB pixels. The same pixels of the same owner are one row.

    sha256: of the 7,500 bytes of pixels. um_per_pixel: of the source, as the user states it.
    quality: what the decoder noted, {"notes": [...]}. original_name: for the owner's eyes only.
    allows_review: the owner lets reviewers look at it although it is private. review_key: random and never
    changed; reviewers meet patches in its order, which makes what they have met a fair sample of all.
    is_to_be_forgotten: its owner wants only the answer kept; private for good, and the pixels go with the answer.
    pixels_dropped_at: since when there is no PatchImage any more.
    probability, is_positive, is_flagged, doubt (the distance from the threshold): of the current answer, null without
    one. The database itself keeps them (docs/adr/0015-the-answer-beside-the-patch.md): lists sort and filter by them.
    reviewers_say: empty without a review; reviews.services.answer keeps it.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="patches", db_index=False
    )
    sha256 = models.CharField(max_length=64)
    source_width = models.PositiveSmallIntegerField()
    source_height = models.PositiveSmallIntegerField()
    um_per_pixel = models.FloatField(null=True, blank=True)
    original_name = models.CharField(max_length=255)
    visibility = models.CharField(max_length=7, choices=Visibility.choices, default=Visibility.PRIVATE)
    hidden_at = models.DateTimeField(null=True, blank=True)
    hidden_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", db_index=False
    )
    admitted_at = models.DateTimeField(null=True, blank=True)
    admitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", db_index=False
    )
    quality = models.JSONField(default=dict)
    source = models.CharField(max_length=3, choices=Source.choices)
    current_prediction = models.ForeignKey(
        "predictions.Prediction", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    probability = models.FloatField(null=True, blank=True, editable=False)
    is_positive = models.BooleanField(null=True, blank=True, editable=False)
    doubt = models.FloatField(null=True, blank=True, editable=False)
    is_flagged = models.BooleanField(null=True, blank=True, editable=False)
    reviewers_say = models.CharField(
        max_length=9, choices=ReviewersSay.choices, blank=True, default="", db_default="", editable=False
    )
    allows_review = models.BooleanField(default=False, db_default=False)
    is_to_be_forgotten = models.BooleanField(default=False, db_default=False)
    pixels_dropped_at = models.DateTimeField(null=True, blank=True)
    review_key = models.FloatField(db_default=Random(), editable=False)
    created_at = models.DateTimeField(db_default=Now())

    objects: ClassVar[PatchQuerySet] = PatchQuerySet.as_manager()  # type: ignore[assignment]  # ours is narrower

    class Meta:
        verbose_name_plural = "patches"
        constraints = [
            models.UniqueConstraint(fields=["owner", "sha256"], name="%(app_label)s_%(class)s_pixels_once_per_owner"),
            models.CheckConstraint(
                condition=Q(um_per_pixel__isnull=True) | Q(um_per_pixel__gt=0, um_per_pixel__lte=100),
                name="%(app_label)s_%(class)s_um_per_pixel_in_range",
            ),
            models.CheckConstraint(
                condition=Q(visibility__in=Visibility.values), name="%(app_label)s_%(class)s_visibility_known"
            ),
            models.CheckConstraint(
                condition=Q(is_to_be_forgotten=False) | Q(visibility="private", allows_review=False),
                name="%(app_label)s_%(class)s_forgotten_is_private",
            ),
        ]
        # Each order of history and gallery (predictions/sorting.py) walks an index from where its page begins; what few
        # patches are has one of its own, so that nobody walks past all the others.
        indexes = [
            models.Index(fields=["owner", "created_at", "id"], name="patch_history_newest"),
            models.Index(
                fields=["owner", "is_positive", "created_at", "id"], condition=IS_ANSWERED, name="patch_history_label"
            ),
            models.Index(fields=["owner", "probability", "id"], condition=IS_ANSWERED, name="patch_history_prob"),
            models.Index(fields=["owner", "doubt", "id"], condition=IS_ANSWERED, name="patch_history_doubt"),
            *(
                models.Index(fields=["owner", "created_at", "id"], condition=condition, name=f"patch_history_{name}")
                for name, condition in FEW.items()
            ),
            models.Index(
                fields=["owner", "probability", "id"], condition=Q(is_flagged=True), name="patch_flagged_prob"
            ),
            models.Index(fields=["owner", "doubt", "id"], condition=Q(is_flagged=True), name="patch_flagged_doubt"),
            models.Index(fields=["created_at", "id"], condition=IS_SHARED, name="patch_gallery_newest"),
            models.Index(
                fields=["is_positive", "created_at", "id"],
                condition=IS_SHARED & IS_ANSWERED,
                name="patch_gallery_label",
            ),
            models.Index(fields=["probability", "id"], condition=IS_SHARED & IS_ANSWERED, name="patch_gallery_prob"),
            models.Index(fields=["doubt", "id"], condition=IS_SHARED & IS_ANSWERED, name="patch_gallery_doubt"),
            models.Index(fields=["created_at", "id"], condition=IS_SHARED & IS_REVIEWED, name="patch_gallery_reviewed"),
            models.Index(fields=["-id"], condition=Q(hidden_at__isnull=False), name="patch_hidden"),
            # What is kept for a while only, see services/retain.py.
            models.Index(fields=["owner", "created_at"], condition=Q(visibility="private"), name="patch_private_age"),
            models.Index(fields=["review_key", "id"], condition=MAY_BE_REVIEWED, name="patch_review_order"),
            models.Index(
                fields=["id"],
                condition=Q(is_to_be_forgotten=True, pixels_dropped_at__isnull=True),
                name="patch_to_forget",
            ),
            models.Index(fields=["hidden_by"], condition=Q(hidden_by__isnull=False), name="patch_hidden_by"),
            models.Index(fields=["admitted_by"], condition=Q(admitted_by__isnull=False), name="patch_admitted_by"),
        ]

    def __str__(self) -> str:
        return str(self.uuid)

    @property
    def is_public(self) -> bool:
        return self.visibility == Visibility.PUBLIC

    @property
    def has_pixels(self) -> bool:
        return self.pixels_dropped_at is None

    @property
    def is_hidden(self) -> bool:
        return self.hidden_at is not None

    @property
    def is_shared(self) -> bool:
        return self.is_public and not self.is_hidden

    @property
    def is_pictured(self) -> bool:
        """Whether pages show its picture. What is to be forgotten they do not: it may go before it is fetched."""
        return self.has_pixels and not self.is_to_be_forgotten

    @property
    def shown_um_per_pixel(self) -> float | None:
        return shown_um_per_pixel(self.um_per_pixel, self.source_width, self.source_height)


def shown_um_per_pixel(um_per_pixel: float | None, width: int, height: int) -> float | None:
    """The stated scale of the 50x50 pixels, whose longer side held all of the source's."""
    return None if um_per_pixel is None else um_per_pixel * max(width, height) / PATCH_SIDE


class OctetLength(Func):
    function = "octet_length"
    output_field = models.IntegerField()


class PatchImage(models.Model):
    """The pixels of a patch: 50 rows of 50 times R, G, B. In a table of its own, so that lists never read it."""

    patch = models.OneToOneField(Patch, on_delete=models.CASCADE, primary_key=True, related_name="image")
    pixels = models.BinaryField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Exact(OctetLength("pixels"), PATCH_BYTES),
                name="%(app_label)s_%(class)s_is_whole",
            ),
        ]

    def __str__(self) -> str:
        return str(self.patch_id)

    def png(self) -> bytes:
        """As it is served: nothing but the pixels."""
        return encode_png(from_bytes(self.pixels))
