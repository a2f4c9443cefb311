from django.urls import path

from accounts import data_views

app_name = "data"
urlpatterns = [
    path("", data_views.data, name="home"),
    path("retention/", data_views.retention, name="retention"),
    path("exports/", data_views.ask, name="ask"),
    path("exports/<uuid:export_id>/", data_views.progress, name="progress"),
    path("exports/<uuid:export_id>/archive.zip", data_views.download, name="download"),
    path("erase/", data_views.erase, name="erase"),
]
