"""One message to the outside world: real servers on loopback, certificates that are looked at, answers of all kinds."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import pytest

from alerts.notify.destinations import Allowed, allowed_from
from alerts.notify.messages import Addressee, trial_message
from alerts.notify.outcomes import Failed
from alerts.notify.sending import mail, webhooks
from alerts.notify.sending.sender import Sender, open_sender
from alerts.notify.standard_webhooks import key_of, secret_from
from alerts.notify.targets import Mail, Service, Webhook
from fakes.certificates import Authority
from fakes.http_receiver import HttpReceiver, an_http_receiver
from fakes.smtp_relay import SmtpRelay, a_relay
from plant.errors import BadDocument
from plant.settings import Settings

pytestmark = pytest.mark.anyio

LOOPBACK: Final = "127.0.0.0/8,::1/128"
OPEN: Final = allowed_from(LOOPBACK)
NOW: Final = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
SECRETS: Final = tuple(secret_from(letter * 32) for letter in (b"n", b"o"))
MESSAGE: Final = trial_message("msg_1", Addressee(receiver_id=1, name="duty", language="zh"), at=NOW)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Whose certificates this process believes, and nobody else's."""
    made = Authority(tmp_path / "ca")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.ca))
    return made


def server_tls(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server())
    return context


@asynccontextmanager
async def sending(**settings: str) -> AsyncIterator[Sender]:
    async with open_sender(Settings(notify_networks=LOOPBACK, **settings)) as sender:  # type: ignore[arg-type]
        yield sender


async def post(receiver: HttpReceiver | str, *, allowed: Allowed = OPEN) -> Failed | None:
    url = receiver if isinstance(receiver, str) else receiver.url
    async with webhooks.client() as http:
        target = Webhook(url=url, secrets=SECRETS, ends=(None, None))
        return await webhooks.post(http, target, MESSAGE.message_id, MESSAGE.payload, allowed=allowed, now=NOW)


async def test_a_webhook_gets_the_message_as_it_was_written_signed_with_every_secret() -> None:
    async with an_http_receiver() as receiver:
        assert await post(receiver) is None
    (request,) = receiver.requests
    assert request.line == "POST /hook HTTP/1.1"
    assert request.body.decode() == MESSAGE.payload
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    signed = f"msg_1.{int(NOW.timestamp())}.".encode() + request.body
    wanted = [base64.b64encode(hmac.new(key_of(one), signed, hashlib.sha256).digest()).decode() for one in SECRETS]
    assert request.headers["webhook-signature"] == " ".join(f"v1,{one}" for one in wanted)


async def test_the_name_is_asked_once_and_tls_goes_by_it(authority: Authority) -> None:
    async with an_http_receiver(tls=server_tls(authority)) as receiver:
        receiver.host = "localhost"
        assert await post(receiver) is None
    assert receiver.requests[0].headers["host"] == f"localhost:{receiver.port}"


async def test_a_certificate_of_another_name_is_not_believed(authority: Authority) -> None:
    async with an_http_receiver(tls=server_tls(authority)) as receiver:
        failed = await post(f"https://127.0.0.2:{receiver.port}/hook")
    assert failed is not None
    assert receiver.requests == []


async def test_a_certificate_of_an_unknown_authority_is_not_believed(tmp_path: Path) -> None:
    async with an_http_receiver(tls=server_tls(Authority(tmp_path / "other"))) as receiver:
        failed = await post(receiver)
    assert failed == Failed(reason="cannot be reached: ConnectError")


async def test_redirects_are_not_followed() -> None:
    async with an_http_receiver() as other, an_http_receiver(307) as receiver:
        receiver.headers = {"location": other.url}
        failed = await post(receiver)
    assert failed is not None
    assert "redirects" in failed.reason
    assert other.requests == []


async def test_who_asks_for_patience_gets_it() -> None:
    async with an_http_receiver(503) as receiver:
        receiver.headers = {"retry-after": "77"}
        assert await post(receiver) == Failed(reason="answered 503", retry_after_s=77.0)


async def test_a_receiver_that_says_nothing_is_left_after_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "DEADLINE_S", 0.2)
    async with an_http_receiver(0) as receiver:
        assert await post(receiver) == Failed(reason="no answer within 0.2 s")


async def test_nobody_there_is_a_failure_like_another() -> None:
    async with an_http_receiver() as receiver:
        pass
    assert await post(receiver) == Failed(reason="cannot be reached: ConnectError")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
async def test_this_machine_gets_no_message_unless_its_network_is_listed(host: str) -> None:
    async with an_http_receiver() as receiver:
        failed = await post(f"https://{host}:{receiver.port}/hook", allowed=Allowed())
    assert failed is not None
    assert "STACKWATCH_NOTIFY_NETWORKS" in failed.reason
    assert receiver.requests == []


async def test_a_name_that_nobody_has_is_a_failure_like_another() -> None:
    failed = await post("https://nobody.invalid/hook")
    assert failed == Failed(reason="the host nobody.invalid has no address just now")


async def test_a_mail_says_the_same_under_a_name_that_it_keeps() -> None:
    async with (
        a_relay() as relay,
        sending(mail_url=f"smtp://127.0.0.1:{relay.port}", mail_from="watch@example.com") as sender,
    ):
        target = Mail(to=("a@example.com", "b@example.com"))
        assert await sender.send(target, MESSAGE.message_id, MESSAGE.payload, now=NOW) is None
    (taken,) = relay.taken
    data = json.loads(MESSAGE.payload)["data"]
    assert (taken.sender, taken.to) == ("watch@example.com", ("a@example.com", "b@example.com"))
    assert taken.mail["Subject"] == data["subject"]
    assert taken.mail["Message-ID"] == "<msg_1@example.com>"
    assert taken.mail["Auto-Submitted"] == "auto-generated"
    assert taken.mail.get_content().strip() == data["text"]


async def test_mail_is_encrypted_from_the_first_byte_or_by_starttls_and_the_password_only_then(
    authority: Authority,
) -> None:
    tls = server_tls(authority)
    for scheme, relay, first in (
        ("smtps", SmtpRelay(password="pw"), tls),
        ("smtp", SmtpRelay(password="pw", starttls=tls), None),
    ):
        async with (
            a_relay(relay, tls=first),
            sending(mail_url=f"{scheme}://watch:pw@localhost:{relay.port}", mail_from="watch@example.com") as sender,
        ):
            assert await sender.send(Mail(to=("a@example.com",)), "msg_1", MESSAGE.payload, now=NOW) is None
        assert [(taken.encrypted, taken.user) for taken in relay.taken] == [(True, "watch")]


async def test_a_relay_elsewhere_that_offers_no_encryption_gets_no_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail.Relay, "here", property(lambda _: False))
    async with (
        a_relay() as relay,
        sending(mail_url=f"smtp://127.0.0.1:{relay.port}", mail_from="watch@example.com") as sender,
    ):
        failed = await sender.send(Mail(to=("a@example.com",)), "msg_1", MESSAGE.payload, now=NOW)
    assert failed == Failed(reason="the mail relay cannot be used: SMTPNotSupportedError")
    assert relay.taken == []


async def test_a_mail_that_anybody_took_is_not_sent_to_them_again() -> None:
    relay = SmtpRelay(refuses=frozenset({"gone@example.com"}))
    async with (
        a_relay(relay),
        sending(mail_url=f"smtp+plain://127.0.0.1:{relay.port}", mail_from="watch@example.com") as sender,
    ):
        some = await sender.send(Mail(to=("a@example.com", "gone@example.com")), "m", MESSAGE.payload, now=NOW)
        none = await sender.send(Mail(to=("gone@example.com",)), "m", MESSAGE.payload, now=NOW)
        relay.says_no = True
        later = await sender.send(Mail(to=("a@example.com",)), "m", MESSAGE.payload, now=NOW)
    assert some is None
    assert none == Failed(reason="the mail relay refused every address: 550")
    assert later == Failed(reason="the mail relay answered 451")


async def test_without_a_relay_mail_says_what_to_set() -> None:
    async with sending() as sender:
        failed = await sender.send(Mail(to=("a@example.com",)), "m", MESSAGE.payload, now=NOW)
    assert failed == Failed(reason="no mail relay is known: set STACKWATCH_MAIL_URL")


@pytest.mark.parametrize(
    ("url", "sender"),
    [
        pytest.param("http://example.com", "a@example.com", id="another_scheme"),
        pytest.param("smtps://", "a@example.com", id="no_host"),
        pytest.param("smtp+plain://u:p@example.com", "a@example.com", id="a_password_in_the_open"),
        pytest.param("smtps://example.com", "", id="nobody_who_sends"),
    ],
)
def test_wrong_settings_of_mail_are_refused_at_the_start(url: str, sender: str) -> None:
    with pytest.raises(BadDocument):
        mail.relay_from(url, sender)


def test_a_relay_never_shows_its_password() -> None:
    assert "hunter2" not in repr(mail.relay_from("smtps://u:hunter2@example.com", "a@example.com"))


async def test_apprise_delivers_to_a_server_of_ones_own() -> None:
    async with an_http_receiver(200) as receiver, sending() as sender:
        target = Service(url=f"json://127.0.0.1:{receiver.port}/hook")
        assert await sender.send(target, "m", MESSAGE.payload, now=NOW) is None
    (request,) = receiver.requests
    data = json.loads(MESSAGE.payload)["data"]
    assert (request.json["title"], request.json["message"]) == (data["subject"], data["text"])


@pytest.mark.parametrize(
    ("status", "failed"),
    [
        pytest.param(403, Failed(reason="the service answered 403"), id="refused"),
        pytest.param(410, Failed(reason="the service answered 410", gone=True), id="gone"),
    ],
)
async def test_apprise_tells_the_answer_and_none_of_its_words(status: int, failed: Failed) -> None:
    async with an_http_receiver(status) as receiver, sending() as sender:
        assert (
            await sender.send(Service(url=f"json://127.0.0.1:{receiver.port}/T0KEN"), "m", MESSAGE.payload, now=NOW)
            == failed
        )


async def test_apprise_follows_no_redirect_to_where_nobody_may_go() -> None:
    async with an_http_receiver(200) as other, an_http_receiver(307) as receiver, sending() as sender:
        receiver.headers = {"location": other.url}
        assert await sender.send(Service(url=f"json://127.0.0.1:{receiver.port}/"), "m", MESSAGE.payload, now=NOW)
    assert other.requests == []


async def test_apprise_gets_no_message_for_this_machine_unless_its_network_is_listed() -> None:
    async with an_http_receiver() as receiver, open_sender(Settings()) as sender:
        failed = await sender.send(Service(url=f"jsons://localhost:{receiver.port}/"), "m", MESSAGE.payload, now=NOW)
    assert failed is not None
    assert "STACKWATCH_NOTIFY_NETWORKS" in failed.reason
    assert receiver.requests == []


async def test_slow_services_do_not_keep_webhooks_waiting() -> None:
    async with an_http_receiver(0) as slow, an_http_receiver() as quick, sending() as sender:
        waiting = asyncio.create_task(
            sender.send(Service(url=f"json://127.0.0.1:{slow.port}/"), "m", MESSAGE.payload, now=NOW), name="slow"
        )
        webhook = Webhook(url=quick.url, secrets=SECRETS[:1])
        assert await sender.send(webhook, "m", MESSAGE.payload, now=NOW) is None
        assert not waiting.done()
        assert await waiting == Failed(reason="the service cannot be reached, or did not take it")


def test_the_client_asks_no_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    client = webhooks.client()
    assert isinstance(client, httpx.AsyncClient)
    assert not client.trust_env
