# SPDX-License-Identifier: BSD-2-Clause
"""TLS, and SCRAM over TLS: right, and wrong in all sorts of ways."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.integration.nginx import Nginx

from .calls import CONSUME, Kafka
from .secure import PASSWORD, USER, SecureBroker, make_ca

PRODUCE = {"type": "produce", "msg": "x"}
WRONG = "wrong-horse"

# More than a request of the tests may take: what fails has failed at once.
TIMEOUT_MS = 50_000


def scram(broker: SecureBroker, password: str = PASSWORD) -> dict[str, Any]:
    return {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(broker.ca),
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": USER,
        "sasl.password": password,
    }


def tls(ca: Path) -> dict[str, Any]:
    return {"security.protocol": "SSL", "ssl.ca.location": str(ca)}


def test_tls(nginx: Nginx, secure_broker: SecureBroker, topic: str) -> None:
    kafka = Kafka(
        nginx,
        secure_broker.tls_address,
        topic,
        librdkafka=tls(secure_broker.ca),
    )
    kafka.produce("hello")
    assert kafka.consume()["value"] == "hello"


def test_scram(nginx: Nginx, secure_broker: SecureBroker, topic: str) -> None:
    since = len(nginx.log())
    kafka = Kafka(
        nginx,
        secure_broker.scram_address,
        topic,
        librdkafka=scram(secure_broker),
    )
    kafka.produce("hello")
    assert kafka.consume()["value"] == "hello"
    assert PASSWORD not in nginx.log(since)


def assert_refused(kafka: Kafka, servers: str, topic: str, why: str) -> None:
    """Soon, with what is wrong; and the log stays readable."""
    nginx = kafka.nginx
    since = len(nginx.log())
    for answer in kafka.calls([PRODUCE, CONSUME]):
        assert answer.status == 2, answer
        assert answer.body
        assert re.search(why, answer.body), answer.body
        assert topic in answer.body
        assert servers in answer.body
        assert WRONG not in answer.body
    nginx.lua("ngx.sleep(2)")
    for answer in kafka.calls([CONSUME, PRODUCE]):
        assert answer.status == 2, answer
        assert re.search(why, answer.body or ""), answer.body
    log = nginx.log(since)
    # It would go on in what the log has of the next test.
    kafka.unload()
    assert re.search(why, log)
    assert WRONG not in log
    assert len(re.findall(r"ffi\.kafka: ", log)) <= 6, log


def test_wrong_password(
    nginx: Nginx, secure_broker: SecureBroker, topic: str
) -> None:
    servers = secure_broker.scram_address
    kafka = Kafka(
        nginx,
        servers,
        topic,
        timeout=TIMEOUT_MS,
        librdkafka=scram(secure_broker, WRONG),
    )
    assert_refused(kafka, servers, topic, "(?i)authentication failed")


def test_wrong_ca(
    nginx: Nginx, secure_broker: SecureBroker, topic: str, tmp_path: Path
) -> None:
    servers = secure_broker.tls_address
    kafka = Kafka(
        nginx,
        servers,
        topic,
        timeout=TIMEOUT_MS,
        librdkafka=tls(make_ca(tmp_path, "other")),
    )
    assert_refused(kafka, servers, topic, "certificate verify failed")


def test_no_tls_where_tls_is_spoken(
    nginx: Nginx, secure_broker: SecureBroker, topic: str
) -> None:
    servers = secure_broker.tls_address
    kafka = Kafka(nginx, servers, topic, timeout=TIMEOUT_MS)
    assert_refused(kafka, servers, topic, "security.protocol")


def test_tls_where_none_is_spoken(
    nginx: Nginx, secure_broker: SecureBroker, topic: str
) -> None:
    servers = secure_broker.address
    kafka = Kafka(
        nginx,
        servers,
        topic,
        timeout=TIMEOUT_MS,
        librdkafka=tls(secure_broker.ca),
    )
    assert_refused(kafka, servers, topic, "(?i)ssl")
