"""The addresses of the shop."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.home),
    path("sign-in", views.sign_in),
    path("sign-out", views.sign_out),
    path("write", views.write),
    path("share/<int:number>", views.share),
    path("upgrade", views.upgrade),
]
