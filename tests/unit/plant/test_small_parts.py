"""The broker's address, delays, log lines and errors."""

from __future__ import annotations

import json
import logging
import logging.config
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant.broker import BrokerAddress, broker_address, broker_of
from plant.errors import BadDocument, Fault, IllegalTransition, PlantError
from plant.logs import JsonLines, logging_config
from plant.retry import delay_s
from plant.settings import Settings


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (
            "mqtt://broker",
            BrokerAddress(host="broker", port=1883),
        ),
        (
            "mqtts://me:p%40ss@broker:8884",
            BrokerAddress(host="broker", port=8884, username="me", password="p@ss", tls=True),
        ),
        ("mqtts://[::1]", BrokerAddress(host="::1", port=8883, tls=True)),
    ],
)
def test_the_address_of_a_broker_is_taken_apart(url: str, address: BrokerAddress) -> None:
    assert broker_address(url) == address


def test_the_nodes_of_a_cluster_are_tried_in_turn_under_one_name() -> None:
    address = broker_address("mqtts://me:p,ss@a:1,b,[::1]:5", ca_file="ca.pem")
    assert [(node.host, node.port) for node in address.nodes] == [("a", 1), ("b", 8883), ("::1", 5)]
    assert address.node(4) == BrokerAddress(
        host="b", port=8883, username="me", password="p,ss", tls=True, ca_file="ca.pem"
    )
    assert broker_address("mqtt://broker").node(7) == broker_address("mqtt://broker")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "broker:1883",
        "http://broker",
        "mqtt://",
        "mqtt://broker:port",
        "mqtt://b:99999",
        "mqtt://a,,b",
        "mqtt://a,mqtt://b",
    ],
)
def test_what_is_no_address_of_a_broker_is_refused(url: str) -> None:
    with pytest.raises(BadDocument, match="broker's address"):
        broker_address(url)


def test_a_password_is_in_no_message_and_no_repr() -> None:
    assert "secret" not in repr(broker_address("mqtt://me:secret@broker"))
    with pytest.raises(BadDocument) as refused:
        broker_address("http://me:secret@broker")
    assert "secret" not in str(refused.value)


def test_the_files_of_tls_come_from_the_settings() -> None:
    named = Settings(mqtt_url="mqtts://broker", mqtt_ca_file="ca.pem", mqtt_cert_file="me.pem", mqtt_key_file="me.key")
    assert broker_of(named) == BrokerAddress(
        host="broker", port=8883, tls=True, ca_file="ca.pem", cert_file="me.pem", key_file="me.key"
    )


@given(st.integers(0, 10_000), st.integers())
def test_a_delay_lies_between_a_quarter_of_its_ceiling_and_the_ceiling(attempt: int, seed: int) -> None:
    delay = delay_s(attempt, Random(seed), first_s=0.2, ceiling_s=15.0)
    ceiling = min(15.0, 0.2 * 2 ** min(attempt, 30))
    assert ceiling / 4 <= delay <= ceiling


def a_record(**extra: object) -> logging.LogRecord:
    return logging.getLogger("test").makeRecord(
        "ingestor.serve", logging.INFO, "file.py", 1, "batch_written", (), None, extra=extra
    )


def test_a_log_line_is_one_object_with_the_event_and_its_fields() -> None:
    line = json.loads(JsonLines().format(a_record(rows=500, site="唐山")))
    assert line.pop("at").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "ingestor.serve",
        "event": "batch_written",
        "rows": 500,
        "site": "唐山",
    }


def test_what_a_library_leaves_on_a_record_for_itself_is_no_field_of_its_line() -> None:
    line = json.loads(JsonLines().format(a_record(rows=500, _library_timestamp_ns=1)))
    assert set(line) == {"at", "level", "logger", "event", "rows"}


def test_a_field_that_json_does_not_know_is_written_as_text() -> None:
    line = json.loads(JsonLines().format(a_record(what={1}, why=ValueError("x"))))
    assert (line["what"], line["why"]) == ("{1}", "x")


def test_an_exception_is_a_field_of_its_line() -> None:
    try:
        raise ValueError("seen")
    except ValueError as error:
        record = a_record()
        record.exc_info = (type(error), error, error.__traceback__)
    text = JsonLines().format(record)
    assert "\n" not in text
    assert "ValueError: seen" in json.loads(text)["exception"]


def test_the_configuration_writes_json_lines_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logging.config.dictConfig(logging_config("WARNING"))
        logging.getLogger("plant.test").info("not_shown")
        logging.getLogger("plant.test").warning("seen", extra={"n": 1})
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [json.loads(line)["event"] for line in captured.err.splitlines()] == ["seen"]


def test_every_fault_of_a_document_is_a_line_of_its_message() -> None:
    error = BadDocument("works.toml", [Fault("site[0].code", "is required"), Fault("", "is odd")])
    assert str(error) == "works.toml: site[0].code: is required\nworks.toml: is odd"
    assert isinstance(error, PlantError)


def test_an_illegal_transition_says_what_state_it_met() -> None:
    assert str(IllegalTransition("case c1", "lifted", "serve", "no order")) == (
        "case c1 is lifted: it does not allow 'serve' (no order)"
    )
