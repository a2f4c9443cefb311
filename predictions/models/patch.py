from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Exists, Func, OuterRef, Q
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


class PatchQuerySet(models.QuerySet["Patch"]):
    def in_gallery(self) -> PatchQuerySet:
        """Public, not hidden, answered, and not flagged by the gate unless staff admitted it."""
        return self.filter(
            Q(current_prediction__flags=[]) | Q(admitted_at__isnull=False),
            visibility=Visibility.PUBLIC,
            hidden_at__isnull=True,
            current_prediction__status="succeeded",
        )

    def with_answer(self) -> PatchQuerySet:
        """With the current prediction and its model, as lists show them."""
        answer = "current_prediction__model_version"
        return self.select_related(answer).defer(f"{answer}__card", "current_prediction__embedding")

    def visible_to(self, user: User | AnonymousUser) -> PatchQuerySet:
        """What `user` may look at: their own, what is public and not hidden, and everything for staff.

        Reviewers also see what they have answered with its owner's leave; before that, the queue shows them the
        picture alone.
        """
        shared = Q(visibility=Visibility.PUBLIC, hidden_at__isnull=True)
        if not user.is_authenticated:
            return self.filter(shared)
        if user.is_staff:
            return self.all()
        if user.is_reviewer:
            shared |= Q(allows_review=True, hidden_at__isnull=True, pk__in=user.reviews.values("patch"))
        return self.filter(shared | Q(owner=user))

    def reviewable_by(self, user: User | AnonymousUser) -> PatchQuerySet:
        """What `user` may be asked about: public or with its owner's leave, never hidden, never one's own."""
        if not user.is_authenticated or not user.is_reviewer:
            return self.none()
        return self.filter(MAY_BE_REVIEWED).exclude(owner=user)

    def with_is_reviewed(self) -> PatchQuerySet:
        """Each with `is_reviewed`: whether a reviewer has said what it shows."""
        from reviews.models import Review

        return self.annotate(is_reviewed=Exists(Review.objects.filter(patch=OuterRef("pk"))))


class Patch(models.Model):
    """One uploaded image, as 50x50 RGB pixels. The same pixels of the same owner are one row.

    sha256: of the 7,500 bytes of pixels. um_per_pixel: of the source, as the user states it.
    quality: what the decoder noted, {"notes": [...]}. original_name: for the owner's eyes only.
    allows_review: the owner lets reviewers look at it although it is private. review_key: random and never
    changed; reviewers meet patches in its order, which makes what they have met a fair sample of all.
    is_to_be_forgotten: its owner wants only the answer kept; private for good, and the pixels go with the answer.
    pixels_dropped_at: since when there is no PatchImage any more.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="patches")
    sha256 = models.CharField(max_length=64)
    source_width = models.PositiveSmallIntegerField()
    source_height = models.PositiveSmallIntegerField()
    um_per_pixel = models.FloatField(null=True, blank=True)
    original_name = models.CharField(max_length=255)
    visibility = models.CharField(max_length=7, choices=Visibility.choices, default=Visibility.PRIVATE)
    hidden_at = models.DateTimeField(null=True, blank=True)
    hidden_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    admitted_at = models.DateTimeField(null=True, blank=True)
    admitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    quality = models.JSONField(default=dict)
    source = models.CharField(max_length=3, choices=Source.choices)
    current_prediction = models.ForeignKey(
        "predictions.Prediction", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
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
        indexes = [
            models.Index(fields=["owner", "-id"], name="patch_history"),
            models.Index(
                fields=["-id"], condition=Q(visibility="public", hidden_at__isnull=True), name="patch_gallery"
            ),
            models.Index(fields=["review_key", "id"], condition=MAY_BE_REVIEWED, name="patch_review_order"),
            models.Index(
                fields=["id"],
                condition=Q(is_to_be_forgotten=True, pixels_dropped_at__isnull=True),
                name="patch_to_forget",
            ),
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
