from django.urls import path

from reviews import trial_views

app_name = "trial"

urlpatterns = [
    path("", trial_views.trial, name="trial"),
    path("progress/", trial_views.progress, name="progress"),
    path("start/", trial_views.start, name="start"),
    path("rerun/", trial_views.rerun, name="rerun"),
    path("<uuid:run_id>/stop/", trial_views.stop, name="stop"),
    path("activate/", trial_views.activate, name="activate"),
    path("changed/", trial_views.changed, name="changed"),
    path("<str:share>.csv", trial_views.table_csv, name="csv"),
    path("<str:kind>-<str:scheme>.svg", trial_views.chart, name="chart"),
]
