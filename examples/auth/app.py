# SPDX-License-Identifier: BSD-2-Clause
"""Knows who asks, and nothing of passwords: nginx says it."""

from flask import Flask, render_template_string, request

PAGE = """
<!doctype html>
<title>Secrets</title>
<h1>Hello {{ request.remote_user }}</h1>
<ul>{% for line in lines %}<li>{{ line }}</li>{% endfor %}</ul>
<form method="post"><input name="line"> <button>Tell</button></form>
"""

app = Flask(__name__)
lines: list[str] = []


@app.route("/", methods=["GET", "POST"])
def secrets():
    if request.method == "POST":
        lines.append(f"{request.remote_user}: {request.form['line']}")
    return render_template_string(PAGE, lines=lines)
