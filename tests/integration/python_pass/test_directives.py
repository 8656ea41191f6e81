# SPDX-License-Identifier: BSD-2-Clause
"""What `nginx -t` takes, and what it says of the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .site import Site, refused, taken


def at(arguments: str, more: str = "") -> str:
    return f"location / {{ python_pass {arguments}; {more} }}"


@pytest.mark.parametrize(
    "arguments",
    [
        "app:app",
        "pkg.mod:app",
        "app:obj.attribute.app",
        "app:make()",
        "app:obj.make()",
        "_a1:_b2",
        "/srv/app/app:app",
        "/app:app",
        '"/srv/with space/pkg.mod:make()"',
        "/srv/ap:p/app:app",
        "bücher:größe",
        "app:app asgi",
        "app:app wsgi name=shop root_path=/shop",
        "app:app name=shop",
        'app:app "name=my shop"',
        "app:app root_path=/a/b",
        "app:app root_path=",
        "app:app name=x root_path=/a asgi",
    ],
)
def test_taken(arguments: str) -> None:
    taken(at(arguments))


TAKES = '"python_pass" directive takes "[/directory/]module:attribute"'


@pytest.mark.parametrize(
    "arguments",
    [
        '""',
        "app",
        "app:",
        ":app",
        "/srv/app/",
        "/srv/app/app",
        "/srv/app/:app",
        "srv/app:app",
        "./app:app",
        "app:app:app",
        "app:app()()",
        "app:()",
        "app:app(1)",
        "app.py:app()x",
        "my-app:app",
        "app:my-app",
        "1app:app",
        "app:1app",
        "a..b:app",
        ".app:app",
        "app.:app",
        "app:.app",
        "app:app.",
        '"app: app"',
        '" app:app"',
        "http://app:8000",
    ],
)
def test_malformed(arguments: str) -> None:
    assert TAKES in refused(at(arguments))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", 'invalid number of arguments in "python_pass" directive'),
        ("$app:app", '"python_pass" directive takes no variables'),
        ("app:app name=$host", '"python_pass" directive takes no variables'),
        ("app:app rsgi", 'invalid parameter "rsgi"'),
        ("app:app ASGI", 'invalid parameter "ASGI"'),
        ("app:app name=", 'invalid parameter "name="'),
        ("app:app workers=2", 'invalid parameter "workers=2"'),
        ("app:app asgi wsgi", 'duplicate parameter "wsgi"'),
        ("app:app asgi asgi", 'duplicate parameter "asgi"'),
        ("app:app name=a name=b", 'duplicate parameter "name=b"'),
        (
            "app:app root_path=/a root_path=/b",
            'duplicate parameter "root_path=/b"',
        ),
        (
            "app:app root_path= root_path=/b",
            'duplicate parameter "root_path=/b"',
        ),
        ("app:app root_path=api", "has a root_path that does not begin with"),
        ("app:app root_path=/", "has a root_path that does not begin with"),
        ("app:app root_path=/a/", "has a root_path that does not begin with"),
    ],
)
def test_refused(arguments: str, said: str) -> None:
    assert said in refused(at(arguments))


@pytest.mark.parametrize(
    "other", ["python_pass app:app;", "python_pass b:b;", "ffi_pass lib;"]
)
def test_two_in_one_location(other: str) -> None:
    """As nginx has it: of one module, twice; of others the last one counts."""
    assert "is duplicate" in refused(at("app:app", other))
    taken(at("app:app", "proxy_pass http://127.0.0.1:1;"))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("/a/app:app", "/b/app:app"),
        ("/a/app:app", "app:app"),
        ("app:x", "/a/app:y name=z"),
        ("/a/pkg:app", "/b/pkg.mod:app"),
        ("/a/pkg.mod.sub:app", "/b/pkg.mod:app"),
    ],
)
def test_one_name_in_two_directories(one: str, two: str) -> None:
    server = f"location /a {{ python_pass {one}; }} {at(two)}"
    said = refused(server)
    assert "are modules of one name in two directories" in said
    assert one.split()[0] in said
    assert two.split()[0] in said


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("/a/app:app", "/a/app:other"),
        ("/a/app:app", "/b/apps:app"),
        ("/a/ns.one:app", "/b/ns.two:app"),
        ("app:app", "app:app"),
        ("app:app asgi", "app:app wsgi"),
        ("app:app name=a", "app:app name=b"),
    ],
)
def test_not_one_name_in_two_directories(one: str, two: str) -> None:
    taken(f"location /a {{ python_pass {one}; }} {at(two)}")


HTTP_ONLY = [
    "python_path /srv;",
    "python_venv /srv;",
    "python_threads 4;",
    "python_max_queue 4;",
    "python_env A b;",
    "python_env_file f;",
]


@pytest.mark.parametrize("directive", HTTP_ONLY)
def test_one_interpreter_a_worker(directive: str) -> None:
    for server in (directive, at("app:app", directive)):
        assert "directive is not allowed here" in refused(server)


@pytest.mark.parametrize(
    ("http", "said"),
    [
        ("python_threads 0;", "value must be between 1 and 1024"),
        ("python_threads 1025;", "value must be between 1 and 1024"),
        ("python_threads x;", "invalid number"),
        ("python_threads 1; python_threads 1;", "is duplicate"),
        ("python_max_queue 0;", "value must be between 1 and 1000000"),
        ("python_venv a; python_venv b;", "is duplicate"),
        ("python_path;", "invalid number of arguments"),
        ("python_path /a:/b;", "has a directory with a colon in it"),
        ("python_env A;", "invalid number of arguments"),
        ('python_env "" x;', "has a name that no variable can have"),
        ("python_env A=B x;", "has a name that no variable can have"),
        ('python_env "A B" x;', "has a name that no variable can have"),
        ("python_env_file none;", "No such file or directory"),
        ("python_env_file {prefix};", "is no file of at most 1 MiB"),
        ("python_param A;", "invalid number of arguments"),
        ("python_param A $no_such_thing;", 'unknown "no_such_thing" variable'),
    ],
)
def test_others(http: str, said: str) -> None:
    assert said in refused(http=http)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"A=1\nB\n", 2),
        (b"=1", 1),
        (b"A = 1", 1),
        (b"A=1\n\n# x\nA B=1\n", 4),
        (b"A=1\0", 1),
        (b"A\0=1", 1),
        (b"export \n", 1),
        (b"\xff\xfe\0A\0=", 1),
    ],
)
def test_a_line_of_an_env_file(
    tmp_path: Path, content: bytes, line: int
) -> None:
    file = tmp_path / "env"
    file.write_bytes(content)
    said = refused(http=f"python_env_file {file};")
    assert f'"{file}" has no "NAME=value" in line {line}' in said


def test_an_env_file_that_is_too_large(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_bytes(b"#" * (1024 * 1024 + 1))
    assert "at most 1 MiB" in refused(http=f"python_env_file {file};")


def test_an_env_file_that_is_a_fifo(tmp_path: Path) -> None:
    """It does not hold up nginx."""
    file = tmp_path / "env"
    os.mkfifo(file)
    assert "at most 1 MiB" in refused(http=f"python_env_file {file};")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all")
def test_an_env_file_that_may_not_be_read(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("A=1")
    file.chmod(0)
    assert "Permission denied" in refused(http=f"python_env_file {file};")


def test_it_starts_nothing_to_test_a_configuration() -> None:
    site = Site(at("app:app"), apps={"app.py": "open('imported', 'w')"})
    ok, said = site.test_configuration()
    assert ok
    assert "cannot load" not in said
