"""The settings of the shop."""

import os
import tempfile

SECRET_KEY = "for a demonstration on this machine only"
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
ROOT_URLCONF = "shop.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_URL = "/"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "totango_sdk.integrations.django",
    "shop",
]
MIDDLEWARE = [
    "totango_sdk.integrations.django.TotangoMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "shop.customers.security_policy",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get(
            "SHOP_DATABASE", os.path.join(tempfile.gettempdir(), "shop.sqlite3")
        ),
    }
}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
            ]
        },
    }
]

TOTANGO = {
    "SERVICE_ID": "SP-1234-01",
    "MODULE": "Documents",
    "IDENTITY": "shop.customers.who",
    "NONCE": "shop.customers.nonce",
}
