"""The API, version 1."""

from django.urls import path

from predictions.api import actions, batches, me, public, receipts, views
from reviews.api import reports
from reviews.api import views as reviews
from webhooks.api import views as webhooks

app_name = "api"
urlpatterns = [
    path("predictions/", views.PredictionList.as_view(), name="predictions"),
    path("predictions/<uuid:prediction_id>/", views.PredictionDetail.as_view(), name="prediction"),
    path("predictions/<uuid:prediction_id>/image.png", views.PredictionImage.as_view(), name="image"),
    path("predictions/<uuid:prediction_id>/heatmap.png", views.PredictionHeatmap.as_view(), name="heatmap"),
    path("predictions/<uuid:prediction_id>/receipt/", receipts.PredictionReceipt.as_view(), name="receipt"),
    path("predictions/<uuid:prediction_id>/share/", actions.Share.as_view(), name="share"),
    path("predictions/<uuid:prediction_id>/unshare/", actions.Unshare.as_view(), name="unshare"),
    path("predictions/<uuid:prediction_id>/retry/", actions.Retry.as_view(), name="retry"),
    path("predictions/<uuid:prediction_id>/rerun/", actions.Rerun.as_view(), name="rerun"),
    path("predictions/<uuid:prediction_id>/ground-truth/", reviews.GroundTruthDetail.as_view(), name="ground-truth"),
    path("reviews/", reviews.ReviewList.as_view(), name="reviews"),
    path("reviews/next/", reviews.ReviewNext.as_view(), name="review-next"),
    path("reviews/draws/<uuid:draw_id>/image.png", reviews.ReviewImage.as_view(), name="review-image"),
    path("reviews/draws/<uuid:draw_id>/skip/", reviews.ReviewSkip.as_view(), name="review-skip"),
    path("reviews/<uuid:review_id>/", reviews.ReviewDetail.as_view(), name="review"),
    path("batches/<uuid:batch_id>/", batches.BatchDetail.as_view(), name="batch"),
    path("batches/<uuid:batch_id>/predictions.csv", batches.BatchCsv.as_view(), name="batch-csv"),
    path("gallery/", public.Gallery.as_view(), name="gallery"),
    path("gallery/<uuid:prediction_id>/reports/", reports.ReportList.as_view(), name="reports"),
    path("models/", public.ModelList.as_view(), name="models"),
    path("models/<str:version>/", public.ModelDetail.as_view(), name="model"),
    path("me/", me.Me.as_view(), name="me"),
    path("webhooks/", webhooks.WebhookList.as_view(), name="webhooks"),
    path("webhooks/<uuid:webhook_id>/", webhooks.WebhookDetail.as_view(), name="webhook"),
    path("webhooks/<uuid:webhook_id>/secret/", webhooks.WebhookSecret.as_view(), name="webhook-secret"),
    path("webhooks/<uuid:webhook_id>/test/", webhooks.WebhookTest.as_view(), name="webhook-test"),
    path("webhooks/<uuid:webhook_id>/deliveries/", webhooks.WebhookDeliveries.as_view(), name="webhook-deliveries"),
    path(
        "webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>/redeliver/",
        webhooks.DeliveryRedeliver.as_view(),
        name="webhook-redeliver",
    ),
]
