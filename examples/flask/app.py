# SPDX-License-Identifier: BSD-2-Clause
"""A guest book, in the memory of one worker."""

from flask import Flask, redirect, render_template_string, request

PAGE = """
<!doctype html>
<link rel="stylesheet" href="/static/style.css">
<h1>Guest book</h1>
<ul>{% for guest in guests %}<li>{{ guest }}</li>{% endfor %}</ul>
<form method="post"><input name="guest"> <button>Sign</button></form>
"""

app = Flask(__name__)
guests: list[str] = []


@app.get("/")
def read():
    return render_template_string(PAGE, guests=guests)


@app.post("/")
def sign():
    guests.append(request.form["guest"])
    return redirect("/")
