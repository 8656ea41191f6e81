# SPDX-License-Identifier: BSD-2-Clause

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
import time
from collections.abc import Iterator
from typing import Any

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    after_this_request,
    flash,
    g,
    get_flashed_messages,
    jsonify,
    make_response,
    redirect,
    render_template_string,
    request,
    send_file,
    send_from_directory,
    session,
    stream_with_context,
    url_for,
)
from flask.typing import ResponseReturnValue as Answer
from flask.views import MethodView
from werkzeug.exceptions import HTTPException

from .notes import FOLDER, Notes, digest, make_file

notes = Notes()
FILE = make_file("flask.bin", 1_000_000)
site = Blueprint("site", __name__)
api = Blueprint("api", __name__, url_prefix="/api")


# -- requests


@site.get("/seen/<name>")
def seen(name: str) -> str:
    return notes.has(name)


@site.post("/json")
def said() -> Answer:
    return jsonify(said=request.get_json())


@site.post("/form")
def form() -> Answer:
    return jsonify(list(request.form.items(multi=True)))


@site.post("/upload")
def upload() -> Answer:
    answer: dict[str, Any] = dict(request.form.items())
    for name, file in request.files.items():
        content = file.read()
        answer[name] = [
            file.filename,
            file.content_type,
            len(content),
            digest(content),
        ]
    return answer


@site.route("/body", methods=["GET", "POST", "PUT"])
def body() -> Answer:
    data = request.get_data()
    return jsonify(len(data), digest(data), request.content_length)


@site.post("/body-stream")
def body_stream() -> str:
    """By pieces, as a large upload is taken."""
    found = hashlib.sha256()
    while piece := request.stream.read(10_000):
        found.update(piece)
    return found.hexdigest()


@site.post("/body-lines")
def body_lines() -> Answer:
    return jsonify([len(line) for line in request.stream])


@site.post("/body-ignored")
def body_ignored() -> Answer:
    return "too large", 413


@site.post("/limited")
def limited() -> Answer:
    request.max_content_length = 1000
    return jsonify(len(request.get_data()))


@site.get("/query")
def query() -> Answer:
    return jsonify(request.args.getlist("a"))


@site.get("/headers")
def headers() -> Answer:
    return jsonify(
        request.headers.get("X-Animal"),
        request.cookies.get("a"),
        request.headers.get("User-Agent"),
    )


@site.get("/number/<int:number>")
def number(number: int) -> Answer:
    return jsonify(number)


@site.get("/name/<name>")
def name(name: str) -> Answer:
    return jsonify(name)


@site.get("/path/<path:rest>")
def path(rest: str) -> Answer:
    return jsonify(rest)


@site.get("/folder/")
def folder() -> str:
    return "folder"


@site.get("/urls")
def urls() -> Answer:
    return jsonify(
        url=request.url,
        root=request.url_root,
        script_root=request.script_root,
        path=request.path,
        number=url_for("site.number", number=7),
        outside=url_for("api.who", _external=True),
        client=request.remote_addr,
        secure=request.is_secure,
    )


@site.get("/environ")
def environ() -> Answer:
    names = [
        "REQUEST_METHOD",
        "SCRIPT_NAME",
        "PATH_INFO",
        "QUERY_STRING",
        "SERVER_PROTOCOL",
        "wsgi.url_scheme",
        "wsgi.multithread",
    ]
    return jsonify({name: request.environ[name] for name in names})


# -- answers


@site.get("/text")
def text() -> Answer:
    return "naïve ☃", 201, {"X-More": "yes"}


@site.get("/no-content")
def no_content() -> Answer:
    return "", 204


@site.get("/set-cookies")
def set_cookies() -> Answer:
    answer = make_response("set")
    answer.set_cookie("one", "1", httponly=True)
    answer.set_cookie("two", "2", max_age=60)
    answer.delete_cookie("three")
    return answer


@site.get("/redirect")
def away() -> Answer:
    return redirect(url_for("site.number", number=3), 303)


@site.get("/stream")
def stream() -> Answer:
    def lines() -> Iterator[str]:
        for number in range(1000):
            yield f"{number}\n"

    return Response(lines(), mimetype="text/plain")


@site.get("/stream-large")
def stream_large() -> Answer:
    parts = (bytes([number]) * 10_000 for number in range(200))
    return Response(parts, headers={"Content-Length": "2000000"})


@site.get("/stream-context")
def stream_context() -> Answer:
    g.word = "kept"

    def parts() -> Iterator[str]:
        yield request.args["a"]
        yield g.word

    return Response(stream_with_context(parts()))


@site.get("/slow")
def slow() -> Answer:
    """Until the client has gone."""

    def parts() -> Iterator[bytes]:
        try:
            while True:
                yield b"part\n"
                time.sleep(0.01)
        finally:
            notes.note("slow-closed")

    answer = Response(parts(), mimetype="text/event-stream")
    answer.call_on_close(lambda: notes.note("slow-called"))
    return answer


@site.get("/breaks")
def breaks() -> Answer:
    def parts() -> Iterator[bytes]:
        yield b"begun"
        raise RuntimeError("in the middle")

    return Response(parts())


@site.get("/file")
def file() -> Answer:
    return send_file(FILE, mimetype="application/x-bytes")


@site.get("/download")
def download() -> Answer:
    return send_file(FILE, as_attachment=True, download_name="Übersicht.bin")


@site.get("/memory")
def memory() -> Answer:
    return send_file(io.BytesIO(b"from memory"), mimetype="text/plain")


@site.get("/directory/<path:name>")
def directory(name: str) -> Answer:
    return send_from_directory(FOLDER, name)


@site.get("/etag")
def etag() -> Answer:
    answer = make_response("the same")
    answer.add_etag()
    answer.cache_control.max_age = 60
    return answer.make_conditional(request)


@site.get("/template")
def template() -> str:
    return render_template_string(
        "<a href={{ url_for('site.file') }}>{{ name }}</a>", name="<you>"
    )


@site.get("/async")
async def in_a_loop() -> str:
    await asyncio.sleep(0.001)
    return "async"


class View(MethodView):
    def get(self) -> str:
        return "got"

    def delete(self) -> Answer:
        return "", 204


site.add_url_rule("/view", view_func=View.as_view("view"))


# -- around requests


@api.before_request
def before() -> Answer | None:
    g.begun = ["before"]
    if request.args.get("stop"):
        return "stopped", 403
    return None


@api.after_request
def after(answer: Response) -> Response:
    answer.headers["X-After"] = "yes"
    return answer


@api.teardown_request
def teardown(error: BaseException | None) -> None:
    notes.note(f"teardown-{type(error).__name__}")


@api.get("/who")
def who() -> Answer:
    @after_this_request
    def more(answer: Response) -> Response:
        answer.headers["X-This"] = "yes"
        return answer

    return jsonify(g.begun)


@api.get("/crash")
def crash() -> Answer:
    raise ZeroDivisionError("by nothing")


class OursError(Exception):
    pass


@api.get("/ours")
def ours() -> Answer:
    raise OursError("ours")


@api.errorhandler(OursError)
def handle(error: OursError) -> Answer:
    return jsonify(handled=str(error)), 409


@site.get("/abort/<int:status>")
def aborts(status: int) -> Answer:
    abort(status, "because")


@site.app_errorhandler(418)
def teapot(error: HTTPException) -> Answer:
    return f"pot: {error.description}", 418, {"X-Pot": "tea"}


# -- sessions, and threads


@site.get("/session")
def count() -> Answer:
    session["count"] = session.get("count", 0) + 1
    return jsonify(session["count"])


@site.post("/flash")
def flash_one() -> Answer:
    flash(request.form["message"])
    return redirect(url_for("site.flashed"))


@site.get("/flashed")
def flashed() -> Answer:
    return jsonify(get_flashed_messages())


two = threading.Barrier(2, timeout=10)


@site.get("/two")
def both() -> Answer:
    """Answers when two requests are in here."""
    g.mine = request.args["a"]
    two.wait()
    return jsonify(g.mine)


def make() -> Flask:
    app = Flask(__name__, static_folder=None)
    app.secret_key = "secret"
    app.register_blueprint(site)
    app.register_blueprint(api)
    return app
