"""Where messages may go, and where they must not be made to knock."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from alerts.notify.destinations import Allowed, Forbidden, allowed_from, check_url
from plant.errors import BadDocument

NOWHERE = Allowed()


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "::1", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1", "::", "fec0::1"),
    ],
)
def test_addresses_inside_are_forbidden_in_every_disguise(address: str) -> None:
    with pytest.raises(Forbidden):
        NOWHERE.check_address(ip_address(address), encrypted=True)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_the_public_internet_is_open_to_what_is_encrypted_only(address: str) -> None:
    NOWHERE.check_address(ip_address(address), encrypted=True)
    with pytest.raises(Forbidden, match="https"):
        NOWHERE.check_address(ip_address(address), encrypted=False)


def test_networks_that_are_listed_are_open_also_unencrypted_and_no_others() -> None:
    allowed = allowed_from("10.1.0.0/16, ::1/128,")
    for inside in ("10.1.2.3", "::1", "::ffff:10.1.2.3"):
        allowed.check_address(ip_address(inside), encrypted=False)
    with pytest.raises(Forbidden):
        allowed.check_address(ip_address("10.2.0.1"), encrypted=True)


def test_every_wrong_network_is_named() -> None:
    with pytest.raises(BadDocument) as caught:
        allowed_from("10.1.0.1/16, here, 10.0.0.0/8")
    assert len(caught.value.faults) == 2


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://example.com/hook", id="not_encrypted"),
        pytest.param("https://127.0.0.1/hook", id="this_machine"),
        pytest.param("https://[::1]/hook", id="this_machine_ipv6"),
        pytest.param("https://169.254.169.254/latest/meta-data", id="a_cloud_and_its_secrets"),
        pytest.param("https://user:pw@example.com/", id="with_a_password"),
        pytest.param("ftp://example.com/", id="another_scheme"),
        pytest.param("file:///etc/passwd", id="a_file"),
        pytest.param("https:///path", id="no_host"),
        pytest.param("https://example.com:99999/", id="no_port"),
        pytest.param("https://exa mple.com/", id="a_space"),
        pytest.param("https://example.com/\r\nX: y", id="a_line_of_its_own"),
        pytest.param("https://example.com/" + "x" * 2_000, id="too_long"),
    ],
)
def test_urls_that_no_message_goes_to(url: str) -> None:
    with pytest.raises(Forbidden):
        check_url(url, NOWHERE)


def test_a_url_of_the_public_internet_is_taken() -> None:
    assert check_url("https://example.com:8443/hook?x=1", NOWHERE).port == 8443


def test_a_name_may_be_unencrypted_only_where_networks_are_listed_for_its_address_is_not_known_yet() -> None:
    assert check_url("http://bus.intranet/hook", allowed_from("10.0.0.0/8")).hostname == "bus.intranet"
