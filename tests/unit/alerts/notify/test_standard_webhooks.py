"""Signatures that the specification's own libraries accept, and what is no secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.notify.standard_webhooks import headers, key_of, secret_from

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_the_example_of_the_reference_libraries_is_signed_as_they_sign_it() -> None:
    signed = headers(MESSAGE, b'{"test": 2432232314}', [SECRET], at_s=1614265330)
    assert signed == {
        "webhook-id": MESSAGE,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_a_secret_changes_both_sign_the_newest_first() -> None:
    other = secret_from(b"x" * 32)
    both = headers(MESSAGE, b"{}", [other, SECRET], at_s=1)["webhook-signature"].split(" ")
    assert both == [headers(MESSAGE, b"{}", [one], at_s=1)["webhook-signature"] for one in (other, SECRET)]


@given(st.binary(min_size=24, max_size=64), st.binary(max_size=200), st.integers(0, 2**33))
def test_whoever_has_the_secret_can_check_id_time_and_body(key: bytes, body: bytes, at_s: int) -> None:
    signed = headers("msg_1", body, [secret_from(key)], at_s=at_s)
    content = f"{signed['webhook-id']}.{signed['webhook-timestamp']}.".encode() + body
    version, _, signature = signed["webhook-signature"].partition(",")
    assert version == "v1"
    assert hmac.compare_digest(base64.b64decode(signature), hmac.new(key, content, hashlib.sha256).digest())


@pytest.mark.parametrize(
    ("secret", "fault"),
    [
        pytest.param("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "must begin with whsec_", id="without_its_prefix"),
        pytest.param("whsec_***", "must be base64", id="no_base64"),
        pytest.param(secret_from(b"x" * 23), "stands for 23", id="too_short"),
        pytest.param(secret_from(b"x" * 65), "stands for 65", id="too_long"),
    ],
)
def test_what_is_no_secret_is_refused_and_not_repeated(secret: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        key_of(secret)
    assert secret.removeprefix("whsec_") not in str(caught.value)


def test_an_id_with_a_full_stop_is_refused_for_it_divides_what_is_signed() -> None:
    with pytest.raises(ValueError, match="letters"):
        headers("msg.1", b"{}", [SECRET], at_s=1)


def test_what_the_manual_shows_to_receivers_checks_what_we_send() -> None:
    manual = (Path(__file__).resolve().parents[4] / "docs" / "notify.md").read_text(encoding="utf-8")
    code = manual.partition("```python\n")[2].partition("```")[0]
    shown: dict[str, Any] = {}
    exec(code, shown)
    signed = headers("msg_1", b"{}", [secret_from(b"n" * 32), SECRET], at_s=1_700_000_000)
    assert shown["is_genuine"](SECRET, signed, b"{}")
    assert not shown["is_genuine"](SECRET, signed, b"{ }")
    assert not shown["is_genuine"](secret_from(b"x" * 32), signed, b"{}")
