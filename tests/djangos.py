"""Django in this process, with the site of `django_site`. Import it before anything that needs Django's models."""

from __future__ import annotations

import django
from django.conf import settings
from django_site import settings as site

if not settings.configured:
    settings.configure(**{name: getattr(site, name) for name in dir(site) if name.isupper()})
    django.setup()
