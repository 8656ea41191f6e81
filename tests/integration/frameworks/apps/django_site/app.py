# SPDX-License-Identifier: BSD-2-Clause
"""One project, by ASGI and by WSGI; its database is made anew."""

from __future__ import annotations

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "apps.django_site.settings"

from django.apps import apps
from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

asgi = get_asgi_application()
wsgi = get_wsgi_application()

call_command("migrate", run_syncdb=True, verbosity=0)
# There are models only now.
User = apps.get_model("auth", "User")
User.objects.create_superuser("root", password="toor")
