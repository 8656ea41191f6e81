# SPDX-License-Identifier: BSD-2-Clause

from __future__ import annotations

import asyncio
import hashlib
import io
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timezone
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.core.signals import request_finished, request_started
from django.db import connection, transaction
from django.dispatch import receiver
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.template import RequestContext, Template
from django.urls import include, path, re_path, reverse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import (
    cache_control,
    cache_page,
    never_cache,
)
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import condition, etag, require_POST
from django.views.decorators.vary import vary_on_headers

from ..notes import Notes, digest, make_file
from .shop.models import Order

notes = Notes()
FILE = make_file("django.bin", 1_000_000)
MODIFIED = datetime(2020, 1, 1, tzinfo=timezone.utc)
Views = Callable[[HttpRequest], Any]


@receiver(request_started)
def started(**_: Any) -> None:
    notes.note("started")


@receiver(request_finished)
def finished(**_: Any) -> None:
    notes.note("finished")


def count_requests(get_response: Views) -> Views:
    def middleware(request: HttpRequest) -> Any:
        answer = get_response(request)
        answer["X-Counted"] = "yes"
        return answer

    return middleware


# -- requests


def seen(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse(notes.has(name))


def signals(request: HttpRequest) -> HttpResponse:
    return JsonResponse(
        [notes.count("started"), notes.count("finished")], safe=False
    )


@csrf_exempt
def form(request: HttpRequest) -> HttpResponse:
    return JsonResponse(dict(request.POST.lists()))


@csrf_exempt
def upload(request: HttpRequest) -> HttpResponse:
    answer: dict[str, Any] = dict(request.POST.items())
    for name, file in request.FILES.items():
        found = hashlib.sha256()
        for piece in file.chunks():
            found.update(piece)
        answer[name] = [
            file.name,
            file.content_type,
            file.size,
            found.hexdigest(),
            isinstance(file, TemporaryUploadedFile),
        ]
    return JsonResponse(answer)


@csrf_exempt
def body(request: HttpRequest) -> HttpResponse:
    return JsonResponse([len(request.body), digest(request.body)], safe=False)


@csrf_exempt
def body_lines(request: HttpRequest) -> HttpResponse:
    return JsonResponse([len(line) for line in request], safe=False)


@csrf_exempt
def body_ignored(request: HttpRequest) -> HttpResponse:
    return HttpResponse("too large", status=413)


def params(request: HttpRequest, **found: Any) -> HttpResponse:
    return JsonResponse({name: str(found[name]) for name in found})


def query(request: HttpRequest) -> HttpResponse:
    return JsonResponse(request.GET.getlist("a"), safe=False)


def headers(request: HttpRequest) -> HttpResponse:
    said = [
        request.headers.get("X-Animal"),
        request.COOKIES.get("a"),
        request.META.get("HTTP_USER_AGENT"),
        request.content_type,
    ]
    return JsonResponse(said, safe=False)


def urls(request: HttpRequest) -> HttpResponse:
    return JsonResponse(
        {
            "path": request.path,
            "path_info": request.path_info,
            "full": request.get_full_path(),
            "absolute": request.build_absolute_uri(),
            "number": reverse("number", kwargs={"number": 7}),
            "inner": reverse("inner:urls"),
            "client": request.META.get("REMOTE_ADDR"),
            "secure": request.is_secure(),
        }
    )


# -- answers


def set_cookies(request: HttpRequest) -> HttpResponse:
    answer = HttpResponse("set")
    answer.set_cookie("one", "1", httponly=True)
    answer.set_signed_cookie("two", "2")
    answer.delete_cookie("three")
    return answer


def signed(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.get_signed_cookie("two"))


def away(request: HttpRequest) -> HttpResponse:
    return redirect("number", number=3)


def lines() -> Iterator[str]:
    for number in range(1000):
        yield f"{number}\n"


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(lines(), content_type="text/plain")


async def async_stream(request: HttpRequest) -> StreamingHttpResponse:
    async def each() -> AsyncIterator[str]:
        for number in range(1000):
            await asyncio.sleep(0)
            yield f"{number}\n"

    return StreamingHttpResponse(each(), content_type="text/plain")


def slow(request: HttpRequest) -> StreamingHttpResponse:
    """Until the client has gone."""

    def parts() -> Iterator[bytes]:
        try:
            while True:
                yield b"part\n"
                time.sleep(0.01)
        finally:
            notes.note(f"slow-closed-{request.GET['by']}")

    return StreamingHttpResponse(parts())


async def async_slow(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"part\n"
                await asyncio.sleep(0.01)
        finally:
            notes.note(f"async-slow-closed-{request.GET['by']}")

    return StreamingHttpResponse(parts())


async def waits(request: HttpRequest) -> HttpResponse:
    """Django cancels a view whose client has gone."""
    notes.note("waits")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        notes.note("cancelled")
        raise
    return HttpResponse("nobody reads this")


def breaks(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        yield b"begun"
        raise RuntimeError("in the middle")

    return StreamingHttpResponse(parts())


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(FILE.open("rb"))


def download(request: HttpRequest) -> FileResponse:
    return FileResponse(
        FILE.open("rb"), as_attachment=True, filename="Übersicht.bin"
    )


def memory(request: HttpRequest) -> FileResponse:
    return FileResponse(io.BytesIO(b"from memory"), content_type="text/plain")


async def in_a_loop(request: HttpRequest) -> HttpResponse:
    async def double(number: int) -> int:
        await asyncio.sleep(0.001)
        return 2 * number

    found = await asyncio.gather(*map(double, range(5)))
    return JsonResponse(found, safe=False)


def template(request: HttpRequest) -> HttpResponse:
    page = Template("<a href={% url 'number' 1 %}>{{ name }}</a>")
    return HttpResponse(
        page.render(RequestContext(request, {"name": "<you>"}))
    )


class OurView(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("got")


@method_decorator(csrf_exempt, name="dispatch")
class AsyncView(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("got")

    async def put(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.body, status=201)


def no_content(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204)


def error(request: HttpRequest, kind: str) -> HttpResponse:
    kinds: dict[str, Exception] = {
        "missing": Http404("no such"),
        "denied": PermissionDenied(),
        "suspicious": SuspiciousOperation("odd"),
        "crash": ZeroDivisionError("by nothing"),
    }
    raise kinds[kind]


async def async_error(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError("by nothing, in a loop")


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    return HttpResponse("none here", status=404)


def handler500(request: HttpRequest) -> HttpResponse:
    return HttpResponse("broken", status=500)


# -- decorators


@condition(
    etag_func=lambda request: '"v1"',
    last_modified_func=lambda request: MODIFIED,
)
def conditional(request: HttpRequest) -> HttpResponse:
    return HttpResponse("version 1")


@csrf_exempt
@etag(lambda request: '"v1"')
def guarded(request: HttpRequest) -> HttpResponse:
    return HttpResponse("written", headers=request.GET.dict())


@cache_control(max_age=60, public=True)
@vary_on_headers("X-Animal")
def cached_by_clients(request: HttpRequest) -> HttpResponse:
    return HttpResponse("cached")


@never_cache
def never(request: HttpRequest) -> HttpResponse:
    return HttpResponse("never")


@cache_page(60)
def cached(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(time.monotonic_ns()))


@gzip_page
def gzipped(request: HttpRequest) -> HttpResponse:
    return HttpResponse("text " * 1000)


@csrf_exempt
@require_POST
def only_post(request: HttpRequest) -> HttpResponse:
    return HttpResponse("posted")


# -- sessions, users, the database


def session(request: HttpRequest) -> HttpResponse:
    count = request.session.get("count", 0) + 1
    request.session["count"] = count
    return JsonResponse(count, safe=False)


async def async_session(request: HttpRequest) -> HttpResponse:
    count = await asyncio.to_thread(request.session.get, "count", 0)
    return JsonResponse(count, safe=False)


def token(request: HttpRequest) -> HttpResponse:
    return HttpResponse(get_token(request))


def protected(request: HttpRequest) -> HttpResponse:
    return HttpResponse("allowed")


def leave_message(request: HttpRequest) -> HttpResponse:
    messages.info(request, request.GET["text"])
    return redirect("messages")


def left_messages(request: HttpRequest) -> HttpResponse:
    said = [str(message) for message in messages.get_messages(request)]
    return JsonResponse(said, safe=False)


@login_required(login_url="/in")
def private(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username())


def order(request: HttpRequest, number: int) -> HttpResponse:
    with transaction.atomic():
        Order.objects.create(number=number)
    cache.set("last", number)
    return JsonResponse(
        Order.objects.filter(number=number).count(), safe=False
    )


async def async_order(request: HttpRequest, number: int) -> HttpResponse:
    await Order.objects.acreate(number=number)
    found = [
        order.number async for order in Order.objects.filter(number=number)
    ]
    return JsonResponse(found, safe=False)


def rolled_back(request: HttpRequest) -> HttpResponse:
    try:
        with transaction.atomic():
            Order.objects.create(number=-1)
            raise LookupError
    except LookupError:
        pass
    there = Order.objects.filter(number=-1).exists()
    return JsonResponse([there, connection.in_atomic_block], safe=False)


inner = ([path("urls", urls, name="urls")], "inner")
urlpatterns = [
    path("seen/<name>", seen),
    path("signals", signals),
    path("form", form),
    path("upload", upload),
    path("body", body),
    path("body-lines", body_lines),
    path("body-ignored", body_ignored),
    path("query", query),
    path("headers", headers),
    path("number/<int:number>", params, name="number"),
    path("name/<name>", params),
    path("slug/<slug:slug>", params),
    path("uuid/<uuid:id>", params),
    path("path/<path:rest>", params),
    re_path(r"^year/(?P<year>[0-9]{4})/$", params),
    path("urls", urls),
    path("inner/", include(inner)),
    path("set-cookies", set_cookies),
    path("signed", signed),
    path("redirect", away),
    path("stream", stream),
    path("async-stream", async_stream),
    path("slow", slow),
    path("async-slow", async_slow),
    path("waits", waits),
    path("breaks", breaks),
    path("file", file),
    path("download", download),
    path("memory", memory),
    path("in-a-loop", in_a_loop),
    path("template", template),
    path("view", OurView.as_view()),
    path("async-view", AsyncView.as_view()),
    path("no-content", no_content),
    path("error/<kind>", error),
    path("async-error", async_error),
    path("conditional", conditional),
    path("guarded", guarded),
    path("cached-by-clients", cached_by_clients),
    path("never", never),
    path("cached", cached),
    path("gzipped", gzipped),
    path("only-post", only_post),
    path("session", session),
    path("async-session", async_session),
    path("token", token),
    path("protected", protected),
    path("leave-message", leave_message),
    path("messages", left_messages, name="messages"),
    path("private", private),
    path("order/<int:number>", order),
    path("async-order/<int:number>", async_order),
    path("rolled-back", rolled_back),
    path("admin/", admin.site.urls),
]
