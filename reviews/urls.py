from django.urls import path

from reviews import evidence_views, report_views, views

app_name = "reviews"

urlpatterns = [
    path("", views.home, name="home"),
    path("next/", views.next_patch, name="next"),
    path("<uuid:draw_id>/image.png", views.image, name="image"),
    path("<uuid:draw_id>/answer/", views.answer, name="answer"),
    path("<uuid:draw_id>/skip/", views.skip, name="skip"),
    path("mine/", views.mine, name="mine"),
    path("mine/<uuid:review_id>/", views.review, name="review"),
    path("ground-truth/<uuid:prediction_id>/", views.ground_truth, name="ground-truth"),
    path("report/<uuid:prediction_id>/", report_views.report, name="report"),
    path("evidence/", evidence_views.overview, name="evidence"),
]
