"""What an edge asks a broker for again."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any, cast

import paho.mqtt.client as mqtt
import pytest

from edge import link as module
from edge.link import Link
from fakes.polling import until
from plant.broker import BrokerAddress
from plant.errors import Unavailable

pytestmark = pytest.mark.anyio


class Asked:
    """In the place of a client: what it was asked to subscribe to."""

    def __init__(self) -> None:
        self.topics: list[str] = []

    def subscribe(self, topic: str, **_: Any) -> None:
        self.topics.append(topic)


async def test_a_subscription_is_asked_for_again_when_refused_and_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cluster that elects a leader refuses, or grants and says nothing of what it retains."""
    monkeypatch.setattr(module, "_ASK_AGAIN_S", 0.01)
    link = Link(BrokerAddress(host="nowhere", port=1), client_id="edge", rng=Random(1))
    link.subscribe("orders", lambda _: None)
    client, lost = Asked(), asyncio.get_running_loop().create_future()
    staying = asyncio.create_task(link._stay(cast(mqtt.Client, client), lost), name="stay")
    await until(lambda: client.topics == ["orders"])
    link._subscription_refused("not now")
    await until(lambda: client.topics == ["orders"] * 2)
    monkeypatch.setattr(module, "_RETAINED_EVERY_S", 0.0)
    await until(lambda: len(client.topics) > 3)
    lost.set_exception(Unavailable("gone"))
    with pytest.raises(Unavailable, match="gone"):
        await staying
