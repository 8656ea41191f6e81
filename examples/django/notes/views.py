# SPDX-License-Identifier: BSD-2-Clause
"""Each visitor's notes, in a signed cookie."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods


@require_http_methods(["GET", "HEAD", "POST"])
def notes(request: HttpRequest) -> HttpResponse:
    known = request.session.get("notes", [])
    if request.method == "POST":
        request.session["notes"] = [*known, request.POST["note"]]
        return redirect("/")
    return render(request, "notes.html", {"notes": known})
