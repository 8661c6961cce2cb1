from __future__ import annotations

import pytest

from stackwatch.local.mqtt_probe import connect_packet


def test_a_connect_without_credentials_reads_as_the_standard_says() -> None:
    assert connect_packet("ab", None, None) == b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x0a\x00\x02ab"


def test_a_connect_with_credentials_carries_them_in_order() -> None:
    packet = connect_packet("ab", "u", "pw")
    assert packet == b"\x10\x15\x00\x04MQTT\x04\xc2\x00\x0a\x00\x02ab\x00\x01u\x00\x02pw"


@pytest.mark.parametrize(
    ("size", "length"), [(127 - 12, b"\x7f"), (128 - 12, b"\x80\x01"), (16_384 - 12, b"\x80\x80\x01")]
)
def test_a_long_connect_spreads_its_length_over_bytes(size: int, length: bytes) -> None:
    assert connect_packet("x" * size, None, None)[1 : 1 + len(length)] == length
