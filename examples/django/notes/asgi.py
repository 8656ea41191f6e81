# SPDX-License-Identifier: BSD-2-Clause
import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notes.settings")

application = get_asgi_application()
