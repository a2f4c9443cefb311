"""The API, version 1."""

from django.urls import path

from predictions.api import views

app_name = "api"
urlpatterns = [
    path("predictions/", views.PredictionList.as_view(), name="predictions"),
    path("predictions/<uuid:prediction_id>/", views.PredictionDetail.as_view(), name="prediction"),
    path("predictions/<uuid:prediction_id>/image.png", views.PredictionImage.as_view(), name="image"),
    path("predictions/<uuid:prediction_id>/heatmap.png", views.PredictionHeatmap.as_view(), name="heatmap"),
]
