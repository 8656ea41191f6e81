# SPDX-License-Identifier: BSD-2-Clause
"""s:pipe() before a filter of another module, c/filter.c."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import NewNginx
from ..nginx import Nginx
from ..pipes import (
    HTTP,
    SERVER,
    answer_of,
    ask,
    rest_of,
    settle,
    take,
    url,
)

SECOND = """
location = /second {
    content_by_lua_block {
        ngx.thread.spawn(function() ngx.sleep(0.1) end)
        require("pipes").run()
    }
}
location = /captured {
    content_by_lua_block {
        ngx.header.content_type = "test/late"
        require("pipes").pipe("send", "parts=4 size=10 sleep=20")
    }
}
"""


@pytest.fixture(scope="module")
def server(new_nginx: NewNginx, libs: Path) -> Iterator[Nginx]:
    main = f"load_module {libs}/libfilter.so;\n"
    with new_nginx(main=main, server=SERVER + SECOND, http=HTTP) as nginx:
        yield nginx


LATE = """
ngx.header.content_type = "test/late"
pipe("{}", "parts={} size=10 sleep={}")
"""


@pytest.mark.valgrind
@pytest.mark.parametrize(("method", "parts"), [("send", 2), ("endless", 0)])
@pytest.mark.parametrize("sleep", [0, 20])
@pytest.mark.parametrize("uri", ["/run", "/second", "/rewrite", "/abort"])
def test_a_filter_ends_the_request(
    nginx: Nginx, uri: str, method: str, parts: int, sleep: int
) -> None:
    """Lua's context is gone: what waits there never is resumed."""
    code = LATE.format(method, parts, sleep)
    answer = answer_of(ask(nginx, uri, code))
    assert answer.status == 415
    assert b"415 Unsupported Media Type" in answer.read()
    settle(nginx)
    take(nginx, 0)


@pytest.mark.valgrind
def test_a_filter_ends_a_captured_request(nginx: Nginx) -> None:
    """And with it the whole, as nginx does it."""
    code = 'ngx.location.capture("/captured") ngx.print("more")'
    assert b"more" not in rest_of(ask(nginx, "/run", code))
    settle(nginx)


@pytest.mark.valgrind
def test_a_filter_that_swallows_all(nginx: Nginx) -> None:
    code = LATE.format("send", 1, 20)
    assert (
        rest_of(ask(nginx, "/run", code, more="Connection: close\r\n")) == b""
    )
    assert take(nginx) == [10]


def test_a_filter_that_holds_the_header_back_in_http_1_0(
    nginx: Nginx,
) -> None:
    code = LATE.format("send", 1, 20)
    assert rest_of(ask(nginx, "/run", code, version="1.0")) == b""
    assert take(nginx) == [None, "the header is held back in HTTP/1.0"]


@pytest.mark.parametrize("size", [1 << 30, 5_000_000_005])
def test_a_part_in_buffers_of_a_gib(nginx: Nginx, size: int) -> None:
    """Filters may count a buffer's bytes in 32 bits, as zlib does."""
    code = f"""
        ngx.header.content_type = "test/sizes"
        pipe("mapped", "size={size}")
        """
    sizes = [int(line) for line in nginx.get(url("/run", code)).text.split()]
    assert max(sizes) == 1 << 30
    assert sum(sizes) == size
    assert take(nginx) == [size]
