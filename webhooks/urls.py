"""The pages of one's own webhooks, under /accounts/webhooks/."""

from django.urls import include, path

from webhooks import views

app_name = "webhooks"

webhook_urls = [
    path("", views.detail, name="detail"),
    path("active/", views.change_active, name="active"),
    path("test/", views.send_test, name="test"),
    path("secret/", views.change_secret, name="secret"),
    path("delete/", views.delete, name="delete"),
    path("deliveries/<uuid:delivery_id>/redeliver/", views.redeliver, name="redeliver"),
]

urlpatterns = [
    path("", views.webhooks, name="list"),
    path("<uuid:webhook_id>/", include(webhook_urls)),
]
