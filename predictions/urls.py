from django.urls import include, path

from predictions import explanation_views, list_views, receipt_views, views

app_name = "predictions"

prediction_urls = [
    path("", views.detail, name="detail"),
    path("status/", views.status, name="status"),
    path("receipt.json", receipt_views.receipt, name="receipt"),
    path("image.png", views.image, name="image"),
    path("heatmap.png", explanation_views.heatmap, name="heatmap"),
    path("explain/", explanation_views.explain, name="explain"),
    path("explanation/", explanation_views.explanation, name="explanation"),
    path("visibility/", views.change_visibility, name="visibility"),
    path("review/", views.change_review, name="review"),
    path("retry/", views.retry, name="retry"),
    path("ask/", views.ask, name="ask"),
    path("delete/", views.delete, name="delete"),
]

urlpatterns = [
    path("", list_views.history, name="history"),
    path("export.csv", list_views.history_export, {"kind": "csv"}, name="export-csv"),
    path("export.json", list_views.history_export, {"kind": "json"}, name="export-json"),
    path("new/", views.new, name="new"),
    path("<uuid:prediction_id>/", include(prediction_urls)),
]
