"""A site for the tests of the Django integration: in this process, and served by real servers."""

import os

SECRET_KEY = "of the tests"
ALLOWED_HOSTS = ["*"]
DEBUG = False
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("SITE_DB", ":memory:")}}
if port := os.environ.get("SITE_POSTGRES"):
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "postgres",
        "HOST": "127.0.0.1",
        "PORT": port,
        "CONN_MAX_AGE": 60,
    }
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "rest_framework.authtoken",
    "totango_sdk.integrations.django",
]
MIDDLEWARE = [
    "totango_sdk.integrations.django.TotangoMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "django_site.urls"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
TOTANGO = {
    "SERVICE_ID": "SP-1234-01",
    "MODULE": "Site",
    "IDENTITY": os.environ.get("SITE_IDENTITY", "django_site.who.who"),
}
if os.environ.get("SITE_OUTBOX"):
    TOTANGO["OUTBOX"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
