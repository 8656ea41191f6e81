# SPDX-License-Identifier: BSD-2-Clause
"""Who may pass: nginx asks /auth before each request, and has them log in."""

import hashlib
import hmac
import os

from flask import Flask, make_response, redirect, request, session

FORM = """
<!doctype html>
<title>Log in</title>
<form method="post" action="/login">
<input name="name" placeholder="name" required>
<input name="password" type="password" placeholder="password">
<button>Log in</button></form>
"""

app = Flask(__name__)
password = os.environ["PASSWORD"]
# all workers have the same one
app.secret_key = hashlib.sha256(b"door" + password.encode()).digest()
app.config.update(SESSION_COOKIE_SAMESITE="Lax")


@app.get("/auth")
def auth():
    if "name" not in session:
        return "", 401
    answer = make_response("", 204)
    answer.headers["X-Guest"] = session["name"]
    return answer


@app.route("/login", methods=["GET", "POST"])
def login():
    if request.method == "POST":
        given = request.form["password"].encode()
        name = request.form["name"]
        known = hmac.compare_digest(given, password.encode())
        if known and name.isascii() and name.isidentifier():
            session["name"] = name
            return redirect("/")
    return FORM, 401
