from __future__ import annotations

from pathlib import Path

import pytest

from edge.agent_file import read_agent_file
from edge.opcua.source import OpcuaSource
from edge.opcua.tables import split_node
from plant.errors import BadDocument

SERVER = '[[opcua]]\nname = "dcs"\nurl = "opc.tcp://127.0.0.1:4840"\n'
GROUP = '[[opcua.group]]\nstack = "DA001"\n'
SO2 = '[[opcua.group.channel]]\nchannel = "so2"\nnode = "ns=2;s=DA001.SO2"\n'


def source_of(folder: Path, text: str) -> OpcuaSource:
    file = folder / "edge.toml"
    file.write_text('site = "works-1"\nedge = "gateway-1"\n' + text, encoding="utf-8")
    (declared,) = read_agent_file(file).sources
    assert isinstance(declared.source, OpcuaSource)
    return declared.source


def faults_of(folder: Path, text: str) -> dict[str, str]:
    with pytest.raises(BadDocument) as caught:
        source_of(folder, text)
    return {fault.path: fault.message for fault in caught.value.faults}


def test_a_table_says_which_nodes_are_watched_and_how_often(tmp_path: Path) -> None:
    plan = source_of(tmp_path, SERVER + "publish_ms = 500\n" + GROUP + SO2).plan
    assert plan.nodes == ["ns=2;s=DA001.SO2"]
    assert (plan.publish_ms, plan.sampling_ms, plan.settle_s, plan.time) == (500, 500, 2.5, "source")


def test_a_namespace_may_be_named_by_its_uri() -> None:
    assert split_node("nsu=urn:maker:plc;s=DA001.SO2") == ("urn:maker:plc", "ns=0;s=DA001.SO2")
    assert split_node("ns=2;i=7") == (None, "ns=2;i=7")


def test_certificates_and_a_password_come_from_files_and_their_change_makes_the_source_anew(tmp_path: Path) -> None:
    for name in ("ours.der", "ours.pem", "theirs.der"):
        (tmp_path / name).write_bytes(b"-")
    (tmp_path / "word").write_text("secret-word\n", encoding="utf-8")
    trust = 'policy = "Basic256Sha256"\ncertificate = "ours.der"\nkey = "ours.pem"\nserver_certificate = "theirs.der"\n'
    source = source_of(tmp_path, SERVER + trust + 'user = "reader"\npassword_file = "word"\n' + GROUP + SO2)
    assert source.plan.security is not None
    assert (source.plan.security.policy, source.plan.security.mode) == ("Basic256Sha256", "SignAndEncrypt")
    assert (source.plan.user, source.plan.password) == ("reader", "secret-word")
    assert "secret-word" not in repr(source.plan)
    assert {tmp_path / "word", tmp_path / "ours.der"} <= set(read_agent_file(tmp_path / "edge.toml").files)


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        pytest.param(SERVER, "opcua[0].group", "is required", id="nothing_to_watch"),
        pytest.param(
            SERVER.replace("opc.tcp", "http") + GROUP + SO2, "opcua[0].url", "must look like", id="another_protocol"
        ),
        pytest.param(
            SERVER.replace("//", "//me:word@") + GROUP + SO2, "opcua[0].url", "must hold no user", id="user_in_url"
        ),
        pytest.param(
            SERVER + GROUP + SO2.replace("ns=2;s", "ns=two;s"),
            "opcua[0].group[0].channel[0].node",
            "is no node id",
            id="no_node_id",
        ),
        pytest.param(
            SERVER + GROUP + SO2.replace('"so2"', '"s02"'),
            "opcua[0].group[0].channel[0].channel",
            "'s02' is none of",
            id="unknown_channel",
        ),
        pytest.param(
            SERVER + GROUP + SO2 + GROUP + SO2, "opcua[0].group[1]", "overlaps: another group", id="overlapping_groups"
        ),
        pytest.param(
            SERVER + 'policy = "Basic256"\n' + GROUP + SO2, "opcua[0].policy", "must be one of", id="weak_policy"
        ),
        pytest.param(
            SERVER + 'policy = "Basic256Sha256"\n' + GROUP + SO2,
            "opcua[0].server_certificate",
            "is required",
            id="nobody_to_trust",
        ),
        pytest.param(
            SERVER + 'policy = "Basic256Sha256"\ncertificate = "gone.der"\n' + GROUP + SO2,
            "opcua[0].certificate",
            "there is no file 'gone.der'",
            id="certificate_is_missing",
        ),
        pytest.param(
            SERVER + 'key = "a.pem"\n' + GROUP + SO2, "opcua[0].key", "without a policy", id="key_without_policy"
        ),
        pytest.param(
            SERVER + 'user = "reader"\npassword_file = "word"\n' + GROUP + SO2,
            "opcua[0].user",
            "may travel in clear",
            id="password_in_clear",
        ),
        pytest.param(
            SERVER + 'password_file = "word"\n' + GROUP + SO2,
            "opcua[0].password_file",
            "without a user",
            id="password_of_nobody",
        ),
        pytest.param(
            SERVER + 'time = "wall"\n' + GROUP + SO2, "opcua[0].time", "must be one of source", id="unknown_clock"
        ),
        pytest.param(SERVER + GROUP + SO2 + "nod = 1\n", "opcua[0].group[0].channel[0].nod", "is not known", id="typo"),
    ],
)
def test_each_fault_is_named_with_the_path_of_its_key(tmp_path: Path, text: str, path: str, words: str) -> None:
    faults = faults_of(tmp_path, text)
    assert words in faults[path], faults


def test_the_example_in_the_manual_is_a_plan() -> None:
    example = Path(__file__).resolve().parents[3] / "docs" / "examples" / "opcua.toml"
    assert [declared.source.name for declared in read_agent_file(example).sources] == ["dcs"]
