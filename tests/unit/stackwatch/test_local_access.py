from __future__ import annotations

import pytest

from stackwatch.local import access


def test_a_topic_becomes_a_subject_level_by_level() -> None:
    assert access.subject("ule/v1") == "ule.v1"


@pytest.mark.parametrize("root", ["ule.v1", "ule//v1", "ule/+", "ule/>", "ule/*", "", "ule/v 1", 'ule"/v1'])
def test_a_root_that_could_mean_more_than_it_says_is_refused(root: str) -> None:
    with pytest.raises(ValueError, match="topic root"):
        access.subject(root)


def test_a_site_may_speak_only_under_its_own_topics() -> None:
    text = access.by_site("ule/v1", {access.SYSTEM: "s", "a": "pa", "b": "pb"}, sites={"b", "a"})
    line_of_a = text[text.index('user: "a"') : text.index('user: "b"')]
    assert '"ule.v1.a.*.data", "ule.v1.a.*.order-ack", "ule.v1.a.*.state"' in line_of_a
    assert 'subscribe: { allow: ["ule.v1.a.*.receipt", "ule.v1.a.orders"] }' in line_of_a
    assert "ule.v1.b" not in line_of_a


def test_no_site_can_be_called_like_the_system() -> None:
    from plant.identifiers import is_identifier

    assert not is_identifier(access.SYSTEM)
    assert not is_identifier(access.ANYBODY)


def test_without_access_control_only_the_mqtt_port_is_open() -> None:
    assert access.everybody().count("user:") == access.everybody().count('allowed_connection_types: ["MQTT"]') == 1
