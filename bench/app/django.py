# SPDX-License-Identifier: BSD-2-Clause
"""A project in one file."""

from __future__ import annotations

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from .payload import HELLO


def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse(HELLO, content_type="text/plain")


urlpatterns = [path("hello", hello)]

settings.configure(
    ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of a benchmark"
)
app = get_wsgi_application()
