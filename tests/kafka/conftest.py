# SPDX-License-Identifier: BSD-2-Clause

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest

from tests.integration.nginx import Nginx

from .broker import FetchError, KafkaBroker
from .cluster import Cluster
from .secure import SecureBroker

number = itertools.count()


def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> None:
    """Without a broker to be had, one error: the others are the same."""
    if call.excinfo and call.excinfo.errisinstance(FetchError):
        pytest.exit(str(call.excinfo.value))


@pytest.fixture(scope="session")
def secure_broker() -> Iterator[SecureBroker]:
    properties = {
        # Not one: that the module's topics have one is its own doing.
        "num.partitions": "3",
        # Nobody kills it; a busy machine must not fence it.
        "broker.session.timeout.ms": "30000",
    }
    with SecureBroker(properties) as running:
        yield running


@pytest.fixture(scope="session")
def broker(secure_broker: SecureBroker) -> KafkaBroker:
    """One that stays up for all tests."""
    return secure_broker


@pytest.fixture(scope="module")
def frail_broker() -> Iterator[KafkaBroker]:
    """One for tests that break it."""
    with KafkaBroker() as running:
        yield running


@pytest.fixture
def frail(frail_broker: KafkaBroker) -> Iterator[KafkaBroker]:
    """Runs before and after each test, whatever a test has done to it."""
    yield frail_broker
    if frail_broker.running():
        frail_broker.resume()
    else:
        frail_broker.start()


@pytest.fixture
def cluster(broker: KafkaBroker) -> Cluster:
    return Cluster(broker.address)


@pytest.fixture
def topic() -> str:
    """A name that no other test uses."""
    return f"topic-{os.getpid()}-{next(number)}"


@pytest.fixture(scope="module")
def server() -> Iterator[Nginx]:
    with Nginx(server=PAGES) as nginx:
        yield nginx


@pytest.fixture
def nginx(server: Nginx) -> Iterator[Nginx]:
    """The file's server; its worker must outlive each test."""
    with server.watch():
        yield server


PAGES = """
location = /other {
    content_by_lua_block { ngx.print("alive") }
}
"""
