# SPDX-License-Identifier: BSD-2-Clause

from __future__ import annotations

from flask import Flask, Response

from .payload import HELLO


def hello() -> Response:
    return Response(HELLO, mimetype="text/plain")


app = Flask(__name__)
app.add_url_rule("/hello", view_func=hello)
