"""What is written for brokers, without a broker: who is named, what is refused, and where the secrets end up."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ingestor.subscriber import FULL_WINDOW
from plant import topics
from plant.errors import BadDocument
from plant.identifiers import is_identifier
from stackwatch.brokers import mosquitto
from stackwatch.brokers.identities import DELIVERER, INGESTOR, Identity, edges_from, of_register, of_site
from stackwatch.brokers.plan import IN_FLIGHT
from stackwatch.cli import app
from stackwatch.commands.broker_config import BROKERS, CannotWrite, Options, plan_for, write

ROOT = topics.DEFAULT_ROOT
REGISTER = Path(__file__).resolve().parents[3] / "docs" / "examples" / "register.toml"


def options(out: Path, **others: Any) -> Options:
    given = {"tls_cert": "/tls/broker.crt", "tls_key": "/tls/broker.key", "tls_ca": "/tls/ca.crt"} | others
    return Options(out=out, **given)


def written(broker: str, out: Path, *sites: str, root: str = ROOT, **others: Any) -> Mapping[str, str]:
    return BROKERS[broker].files(plan_for(broker, options(out, **others), sites or ("a", "b"), root=root))


def test_a_site_is_one_identity_until_its_edges_are_named() -> None:
    names = [one.name for one in of_register(ROOT, ["b", "a"], [("b", "e2"), ("b", "e1")])]
    assert names == [INGESTOR, DELIVERER, "a", "b.e1", "b.e2"]


def test_an_edge_speaks_and_hears_what_the_contract_gives_it() -> None:
    assert of_site(ROOT, "a", "e1") == Identity(
        "a.e1",
        publish=("ule/v1/a/e1/data", "ule/v1/a/e1/order-ack", "ule/v1/a/e1/state"),
        subscribe=("ule/v1/a/e1/receipt", "ule/v1/a/orders"),
    )
    assert of_site(ROOT, "a").subscribe == ("ule/v1/a/+/receipt", "ule/v1/a/orders")


def test_no_site_and_no_edge_can_be_called_like_a_process_of_ours() -> None:
    for name in (INGESTOR, DELIVERER):
        site, _, edge = name.partition(".")
        assert not is_identifier(name)
        assert not (is_identifier(site) and is_identifier(edge))


def test_the_window_of_a_broker_is_what_an_ingestor_asks_for() -> None:
    assert IN_FLIGHT >= FULL_WINDOW


@pytest.mark.parametrize("name", ["a", "a.", ".e", "a.e.f", "a:e", "a.e+", "c.e1", "a.e\nuser x"])
def test_an_edge_that_is_no_edge_of_a_registered_site_is_refused(name: str) -> None:
    faults: list[Any] = []
    assert edges_from([name], {"a"}, faults) == []
    assert [fault.path for fault in faults] == ["--edge"]


@pytest.mark.parametrize("broker", BROKERS)
def test_every_fault_is_named_at_once(broker: str, tmp_path: Path) -> None:
    with pytest.raises(BadDocument) as refused:
        written(
            broker,
            tmp_path,
            "a",
            root="ule/+",
            tls_ca=None,
            tls_cert="relative.crt",
            tls_key='/tls/"quoted".key',
            tls_crl="/tls/ca.crl" if broker != "mosquitto" else None,
            edges=["q.e"],
            host="0.0.0.0\nallow_anonymous true",
            store="",
            installed_at="here",
        )
    expected = {"STACKWATCH_TOPIC_ROOT", "--edge", "--tls-ca", "--tls-cert", "--tls-key", "--host", "--installed-at"}
    expected |= {"--tls-crl"} if broker != "mosquitto" else set()
    assert {fault.path for fault in refused.value.faults} == expected


def test_an_unknown_broker_and_an_empty_register_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDocument, match="'hive' is no broker we write for; there are mosquitto, nats, emqx"):
        plan_for("hive", options(tmp_path), ["a"], root=ROOT)
    with pytest.raises(BadDocument, match="holds no site"):
        plan_for("nats", options(tmp_path), [], root=ROOT)


def test_a_name_that_no_certificate_can_carry_needs_a_password(tmp_path: Path) -> None:
    site, edge = "s" * 40, "e" * 40
    with pytest.raises(BadDocument, match="has 81 characters; a common name has at most 64"):
        written("nats", tmp_path, site, edges=[f"{site}.{edge}"])
    text = written("nats", tmp_path, site, edges=[f"{site}.{edge}"], passwords=tmp_path / "p.json")["nats.conf"]
    assert f'"{site}.{edge}"' in text


def test_mosquitto_asks_for_certificates_and_goes_by_their_name(tmp_path: Path) -> None:
    files = written("mosquitto", tmp_path, tls_crl="/tls/ca.crl", installed_at="/etc/there")
    lines = files["mosquitto.conf"].splitlines()
    for line in (
        "listener 8883 0.0.0.0",
        "cafile /tls/ca.crt",
        "crlfile /tls/ca.crl",
        "require_certificate true",
        "use_identity_as_username true",
        "allow_anonymous false",
        "acl_file /etc/there/acl",
        "persistence true",
        "max_inflight_messages 2000",
        "message_size_limit 1048576",
    ):
        assert line in lines
    assert "max_queued_messages 0" not in lines  # several releases stop delivering with it
    assert set(files) == {"mosquitto.conf", "acl"}


def test_the_access_list_of_mosquitto_names_each_identity_once(tmp_path: Path) -> None:
    blocks = written("mosquitto", tmp_path, "a", "b", edges=["b.e1"])["acl"].split("\nuser ")[1:]
    by_name = {block.splitlines()[0]: block.split()[1:] for block in blocks}
    assert list(by_name) == [INGESTOR, DELIVERER, "a", "b.e1"]
    assert " ".join(by_name["b.e1"]) == (
        "topic write ule/v1/b/e1/data topic write ule/v1/b/e1/order-ack topic write ule/v1/b/e1/state"
        " topic read ule/v1/b/e1/receipt topic read ule/v1/b/orders"
    )
    assert " ".join(by_name[DELIVERER]) == "topic write ule/v1/+/orders"


def test_mosquitto_gets_passwords_hashed(tmp_path: Path) -> None:
    plan = plan_for("mosquitto", options(tmp_path, tls_ca=None, passwords=tmp_path / "p.json"), ["a"], root=ROOT)
    files = mosquitto.files(plan, salt=lambda: b"twelve bytes")
    assert "password_file" in files["mosquitto.conf"]
    assert "require_certificate" not in files["mosquitto.conf"]
    lines = dict(line.split(":") for line in files["passwords"].splitlines())
    assert set(lines) == {INGESTOR, DELIVERER, "a"}
    _, kind, rounds, salt, digest = lines["a"].split("$")
    assert (kind, base64.b64decode(salt)) == ("7", b"twelve bytes")
    expected = hashlib.pbkdf2_hmac("sha512", plan.passwords["a"].encode(), b"twelve bytes", int(rounds))
    assert base64.b64decode(digest) == expected
    assert not any(password in text for text in files.values() for password in plan.passwords.values())


def test_nats_maps_whole_subjects_and_denies_where_nothing_is_allowed(tmp_path: Path) -> None:
    text = written("nats", tmp_path)["nats.conf"]
    assert "verify_and_map: true" in text
    assert 'user: "CN=a"' in text
    assert "password" not in text
    assert text.count('allowed_connection_types: ["MQTT"]') == 4
    deliverer = text[text.index(f'"CN={DELIVERER}"') : text.index('"CN=a"')]
    assert 'publish: { allow: ["ule.v1.*.orders"] }, subscribe: { deny: [">"] }' in deliverer
    assert "allow: []" not in text


PEERS = ("nats-0:6222", "nats-1:6222", "nats-2:6222")


def test_the_nodes_of_a_nats_cluster_keep_three_copies_and_let_nobody_else_in(tmp_path: Path) -> None:
    password = tmp_path / "cluster-password"
    text = written("nats", tmp_path / "out", peers=PEERS, cluster_password=password)["nats.conf"]
    assert "server_name: $NODE_NAME" in text  # one file for all: each is told its name
    assert "stream_replicas: 3" in text
    secret = password.read_text().strip()
    for peer in PEERS:
        assert f'"nats-route://stackwatch:{secret}@{peer}"' in text
    assert f'authorization {{ user: stackwatch, password: "{secret}"' in text
    assert 'listen: "0.0.0.0:6222"' in text
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    again = written("nats", tmp_path / "again", peers=PEERS, cluster_password=password)["nats.conf"]
    assert f":{secret}@" in again
    alone = written("nats", tmp_path / "alone")["nats.conf"]
    assert "server_name: stackwatch" in alone
    assert "cluster" not in alone.partition("jetstream")[2]
    assert "stream_replicas" not in alone


@pytest.mark.parametrize(
    ("broker", "given", "paths"),
    [
        ("nats", {"peers": PEERS}, ["--cluster-password"]),
        ("nats", {"peers": PEERS[:2], "cluster_password": Path("p")}, ["--peer"]),
        ("nats", {"peers": (PEERS[0],) * 3, "cluster_password": Path("p")}, ["--peer"]),
        ("nats", {"peers": (*PEERS, "a b:1", "host", "h:0"), "cluster_password": Path("p")}, ["--peer"] * 3),
        ("nats", {"cluster_password": Path("p")}, ["--peer"]),
        ("mosquitto", {"peers": PEERS, "cluster_password": Path("p")}, ["--peer"]),
        ("mosquitto", {"sites_per_ingestor": 50}, ["--sites-per-ingestor"]),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(
    broker: str, given: dict[str, Any], paths: list[str], tmp_path: Path
) -> None:
    with pytest.raises(BadDocument) as refused:
        written(broker, tmp_path, **given)
    assert [fault.path for fault in refused.value.faults] == paths


def test_a_cluster_with_passwords_needs_an_authority_all_the_same(tmp_path: Path) -> None:
    given: dict[str, Any] = {"peers": PEERS, "cluster_password": tmp_path / "c", "passwords": tmp_path / "p.json"}
    with pytest.raises(BadDocument, match="--tls-ca: is needed: nodes of a cluster check each other's certificate"):
        written("nats", tmp_path, tls_ca=None, **given)
    text = written("nats", tmp_path, **given)["nats.conf"]
    assert "verify_and_map" not in text


def test_many_sites_of_one_ingestor_share_what_nats_hands_out_to_a_session(tmp_path: Path) -> None:
    assert "max_ack_pending: 2000\n" in written("nats", tmp_path, sites_per_ingestor=30)["nats.conf"]
    assert "max_ack_pending: 321\n" in written("nats", tmp_path, sites_per_ingestor=202)["nats.conf"]
    for sites in (1, 31, 500, 1000):
        text = written("nats", tmp_path, sites_per_ingestor=sites)["nats.conf"]
        window = int(text.partition("max_ack_pending: ")[2].partition("\n")[0])
        assert 1 <= window <= IN_FLIGHT
        assert window * (sites + 2) <= 65_535  # data of each site, states, acknowledgements of orders


def test_emqx_closes_what_is_open_by_default_and_denies_the_rest(tmp_path: Path) -> None:
    files = written("emqx", tmp_path, installed_at="/opt/emqx/etc/stackwatch")
    text = files["stackwatch.hocon"]
    for kind in ("tcp", "ws", "wss"):
        assert f"listeners.{kind}.default.enable = false" in text
    assert "fail_if_no_peer_cert = true" in text
    assert "peer_cert_as_username = cn" in text
    assert "no_match = deny" in text
    assert 'path = "/opt/emqx/etc/stackwatch/acl.conf"' in text
    assert text.count("{") == text.count("}")
    rules = files["acl.conf"].splitlines()[1:]
    assert rules[-1] == "{deny, all}."
    assert '{allow, {username, "a"}, subscribe, ["ule/v1/a/+/receipt", "ule/v1/a/orders"]}.' in rules
    assert all(rule.startswith("{allow, {username, ") and rule.endswith("]}.") for rule in rules[:-1])
    assert not any(f'"{DELIVERER}"' in rule and "subscribe" in rule for rule in rules)


def test_emqx_gets_its_first_users_from_a_file(tmp_path: Path) -> None:
    files = written("emqx", tmp_path, tls_ca=None, passwords=tmp_path / "p.json")
    kept = json.loads((tmp_path / "p.json").read_text())
    assert files["users.csv"].splitlines()[0] == "user_id,password,is_superuser"
    assert f"a,{kept['a']},false" in files["users.csv"].splitlines()
    assert "peer_cert_as_username" not in files["stackwatch.hocon"]


def test_passwords_stay_when_sites_come_and_go(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    before = plan_for("nats", options(tmp_path, passwords=file), ["a"], root=ROOT).passwords
    after = plan_for("nats", options(tmp_path, passwords=file), ["a", "b"], root=ROOT).passwords
    assert after["a"] == before["a"]
    assert after["a"] != after["b"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_files_are_closed_to_others_and_replaced_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    (path,) = write({"acl": "one"}, folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with path.open() as reader:
        write({"acl": "two"}, folder)
        assert reader.read() == "one"
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(folder) == ["acl"]
    assert path.stat().st_uid == folder.stat().st_uid
    with pytest.raises(CannotWrite):
        write({"acl": "three"}, path)


def test_the_command_writes_from_a_register_file_without_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logging.config.dictConfig", lambda _: None)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    arguments = ["broker-config", "mosquitto", "--out", str(tmp_path / "out"), "--register", str(REGISTER), "--json"]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2
    assert not (tmp_path / "out").exists()
    done = CliRunner().invoke(app, [*arguments, "--tls-ca", "/tls/ca.crt"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["identities"] == [INGESTOR, DELIVERER, "works-1"]
    assert [Path(name).name for name in said["files"]] == ["mosquitto.conf", "acl"]
    assert "user works-1" in (tmp_path / "out" / "acl").read_text()


def test_two_plans_of_one_register_are_the_same(tmp_path: Path) -> None:
    one = plan_for("mosquitto", options(tmp_path), ["b", "a"], root=ROOT)
    two = plan_for("mosquitto", options(tmp_path), ["a", "b"], root=ROOT)
    assert one == two == replace(one)
