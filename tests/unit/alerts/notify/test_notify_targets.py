"""Where receivers are: what is taken, what is shown, what is never shown."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from alerts.notify.destinations import Allowed, allowed_from
from alerts.notify.sending import services
from alerts.notify.standard_webhooks import secret_from
from alerts.notify.targets import (
    ENCRYPTED,
    HOSTED,
    PLAIN,
    Service,
    Target,
    Webhook,
    checked_mail,
    checked_service,
    checked_webhook,
    document_of,
    target_from,
)
from plant.errors import BadDocument

OPEN = Allowed()
OLD, NEW, NEWEST = (secret_from(letter * 32) for letter in (b"a", b"b", b"c"))
URL = "https://example.com/hooks/T0KEN?key=K3Y"

#: One URL of each service that matters to the people this is for.
TAKEN = (
    "dingtalk://0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "dingtalk://SEC0123456789@0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/13800000000",
    "feishu://0a1b2c3d-0000-1111-2222-333344445555",
    "lark://0a1b2c3d-0000-1111-2222-333344445555",
    "wecombot://0a1b2c3d-0000-1111-2222-333344445555",
    "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/%23alerts",
    "tgram://123456789:AAabcdefghijklmnopqrstuvwxyz012345678/1234567",
    "mmosts://mattermost.example.com/3ccdd113474722377935511fc85d3dd4",
    "rockets://user:password@rocket.example.com/%23alerts",
    "workflows://prod.example.com:443/643e69f83c8944438d68119179a10a64/KODuebWbDGYFr0z0eu-6Rj8aUKz7108W3wrNJZxFE5A",
    "ntfys://ntfy.example.com/stackwatch",
    "matrixs://user:password@matrix.example.com/%23room?discovery=no",
    "zulip://bot@works/a6k4m8p2q9r7s5t3u1v0w8x6y4z2a1b3",
    "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "pagerduty://0123456789abcdef0123456789abcdef@0123456789abcdef0123",
)


@pytest.mark.parametrize("url", TAKEN, ids=lambda url: url.partition(":")[0])
def test_services_that_people_use_are_taken_and_known_to_apprise(url: str) -> None:
    assert checked_service(url, OPEN).url == url
    assert services.service_of(url) is not None


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("syslog://", id="this_machine"),
        pytest.param("dbus://", id="its_desktop"),
        pytest.param("mqtt://127.0.0.1/topic", id="our_own_broker"),
        pytest.param("mailto://user:password@example.com", id="mail_has_its_own_kind"),
        pytest.param("json://10.0.0.1/", id="unencrypted"),
        pytest.param("mmost://mattermost.example.com/3ccdd113474722377935511fc85d3dd4", id="unencrypted_chat"),
        pytest.param("jsons://example.com/?redirect=yes", id="would_follow_redirects"),
        pytest.param("jsons://example.com/?Verify=no", id="would_not_look_at_certificates"),
        pytest.param("jsons://example.com/?a=1;redirect=yes", id="would_follow_redirects_behind_a_semicolon"),
        pytest.param("jsons://example.com/?%20verify=no", id="would_not_look_at_certificates_behind_a_space"),
        pytest.param("jsons://u@10.0.0.1@example.com/", id="two_hosts_of_which_each_reads_another"),
        pytest.param(TAKEN[5] + "?template=/etc/passwd", id="would_read_our_files"),
        pytest.param(TAKEN[5] + "?x=1;Template=http://10.0.0.1/", id="would_fetch_for_them"),
        pytest.param(TAKEN[0] + "?optional=yes", id="would_call_a_failure_success"),
        pytest.param("matrixs://user:password@example.com/%23room", id="its_server_would_say_where_to_send"),
        pytest.param("matrixs://u:p@example.com/%23r?discovery=no&discovery=yes", id="takes_it_back"),
        pytest.param("jsons://[:::]/", id="no_address"),
        pytest.param("dingtalk", id="no_url"),
        pytest.param("jsons:///path", id="no_host"),
        pytest.param("", id="nothing"),
    ],
)
def test_services_that_no_message_goes_to(url: str) -> None:
    with pytest.raises(BadDocument):
        checked_service(url, OPEN)


def test_a_server_of_ones_own_may_be_unencrypted_where_networks_are_listed() -> None:
    service = checked_service("json://10.0.0.1:8080/hook", allowed_from("10.0.0.0/8"))
    assert (service.host, service.encrypted) == ("10.0.0.1", False)


def test_the_host_of_a_service_with_an_address_of_its_own_is_none_of_ours() -> None:
    assert Service(url="dingtalk://abc").host is None
    assert Service(url="jsons://example.com/x").host == "example.com"
    # Of Zulip only what has no full stop is at an address of its own.
    assert Service(url="zulip://bot@works/token").host == "works.zulipchat.com"
    assert Service(url="zulip://bot@10.0.0.1/token").host == "10.0.0.1"
    assert {*HOSTED} & {*ENCRYPTED, *PLAIN} == set()


@pytest.mark.parametrize("url", [url for url in TAKEN if Service(url=url).host is not None])
def test_apprise_and_we_read_the_same_host(url: str) -> None:
    made = services.service_of(url)
    assert made is not None
    assert (made.host, made.verify_certificate, made.redirects) == (urlsplit(url).hostname, True, False)


def test_nothing_that_is_shown_holds_a_secret() -> None:
    webhook = checked_webhook(URL, OLD, OPEN)
    assert webhook.shown() == {"url": "https://example.com/***", "secrets": 1}
    assert Service(url="dingtalk://T0KEN/1380").shown() == {"url": "dingtalk://***"}
    assert Service(url="jsons://user:pw@example.com/T0KEN").shown() == {"url": "jsons://example.com***"}


def test_a_refusal_repeats_neither_url_nor_secret() -> None:
    with pytest.raises(BadDocument) as caught:
        checked_webhook("http://example.com/T0KEN", "whsec_short", OPEN)
    assert [fault.path for fault in caught.value.faults] == ["url", "secret"]
    assert "T0KEN" not in str(caught.value)
    assert "whsec_short" not in str(caught.value)


@pytest.mark.parametrize(
    "target",
    [checked_webhook(URL, OLD, OPEN), checked_mail(["a@example.com", "b@example.com"]), Service(url=TAKEN[0])],
    ids=["webhook", "mail", "apprise"],
)
def test_what_is_sealed_is_read_again(target: Target) -> None:
    kind = {"Webhook": "webhook", "Mail": "mail"}.get(type(target).__name__, "apprise")
    assert target_from(kind, json.loads(json.dumps(document_of(target)))) == target


@pytest.mark.parametrize("to", [[], ["nobody"], ["a@b\r\nBcc: c@d"], ["a@example.com"] * 21, ["a b@example.com"]])
def test_wrong_mail_addresses_are_refused(to: list[str]) -> None:
    with pytest.raises(BadDocument):
        checked_mail(to)


def test_a_new_secret_signs_first_and_the_old_one_for_a_while_beside_it() -> None:
    webhook = Webhook(url=URL, secrets=(OLD,)).rotated(NEW, now_s=1_000, keep_s=60)
    assert webhook.secrets_at(1_059) == [NEW, OLD]
    assert webhook.secrets_at(1_060) == [NEW]


def test_a_secret_that_leaked_can_be_ended_at_once() -> None:
    assert Webhook(url=URL, secrets=(OLD,)).rotated(NEW, now_s=1_000, keep_s=0).secrets_at(1_000) == [NEW]


def test_of_two_changes_in_a_row_the_last_two_secrets_sign() -> None:
    webhook = Webhook(url=URL, secrets=(OLD,)).rotated(NEW, now_s=0, keep_s=60).rotated(NEWEST, now_s=10, keep_s=60)
    assert webhook.secrets_at(20) == [NEWEST, NEW]
