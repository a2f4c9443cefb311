"""Every address of the site."""

from allauth.mfa.recovery_codes.views import view_recovery_codes
from allauth.mfa.totp.views import activate_totp
from django.contrib import admin
from django.urls import include, path
from django.views.decorators.cache import never_cache

from accounts import views as accounts
from idc_site import api_docs, health
from predictions import list_views, model_views, views
from reviews import evidence_views

urlpatterns = [
    # First what is asked for most: addresses are tried one after the other.
    path("api/v1/", include("idc_site.api_urls")),
    path("", views.home, name="home"),
    path("gallery/", list_views.gallery, name="gallery"),
    path("gallery/export.csv", list_views.gallery_export, {"kind": "csv"}, name="gallery-csv"),
    path("gallery/export.json", list_views.gallery_export, {"kind": "json"}, name="gallery-json"),
    path("predictions/", include("predictions.urls")),
    path("batches/<uuid:batch_id>/", views.batch, name="batch"),
    path("batches/<uuid:batch_id>/progress/", views.batch_progress, name="batch-progress"),
    path("models/", model_views.model_list, name="models"),
    path("models/<str:version>/", model_views.model_detail, name="model"),
    path("models/<str:version>/card.json", model_views.model_card, name="model-card"),
    path("models/<str:version>/<str:kind>-<str:scheme>.svg", model_views.model_chart, name="model-chart"),
    path("models/<str:version>/evidence/", evidence_views.evidence, name="evidence"),
    path("models/<str:version>/evidence/<str:table>.csv", evidence_views.table_csv, name="evidence-csv"),
    path("models/<str:version>/evidence/<str:kind>-<str:scheme>.svg", evidence_views.chart, name="evidence-chart"),
    path("models/<str:version>/trial/", include("reviews.trial_urls")),
    path("reviews/", include("reviews.urls")),
    path("examples/<int:number>.png", views.example, name="example"),
    path("accounts/tokens/", accounts.tokens, name="tokens"),
    path("accounts/tokens/<uuid:token_id>/revoke/", accounts.revoke, name="revoke-token"),
    path("accounts/data/", include("accounts.data_urls")),
    path("accounts/webhooks/", include("webhooks.urls")),
    # What shows a secret is kept in no cache, which allauth says of other pages alone.
    path("accounts/2fa/totp/activate/", never_cache(activate_totp)),
    path("accounts/2fa/recovery-codes/", never_cache(view_recovery_codes)),
    path("accounts/2fa/", include("allauth.mfa.urls")),
    path("accounts/sessions/", include("allauth.usersessions.urls")),
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    path("api/schema/", api_docs.SchemaDocument.as_view(), name="api-schema"),
    path("api/docs/", api_docs.SwaggerPage.as_view(), name="api-docs"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
]

handler400 = "idc_site.errors.bad_request"
handler403 = "idc_site.errors.permission_denied"
handler404 = "idc_site.errors.not_found"
handler500 = "idc_site.errors.server_error"
