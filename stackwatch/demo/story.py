"""The agency's part, played through the API as people would: verify, decide, serve, trial, lift."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from plant.errors import PlantError, Unavailable
from stackwatch.demo.client import Client
from stackwatch.demo.sites import WORKS, Plants

STEP_S: Final = 120.0
POLL_S: Final = 0.2
STOPPED_FOR: Final = timedelta(hours=6)
TRIAL_FOR: Final = timedelta(hours=12)  # starting up, then more than the clean hours that the region asks for

Say = Callable[[str], None]


async def play(http_url: str, tokens: Mapping[str, str], plants: Plants, say: Say) -> None:
    """From the case that last month's breach opened to the lift after clean hours.

    Raises
    ------
    PlantError
        If a step is refused, or what must follow it does not follow in time.
    """
    people = {role: Client(http_url, token) for role, token in tokens.items()}
    await plants.simulation.caught_up(deadline_s=STEP_S)
    case = await until("a case on the track `deadline`", lambda: _case(people["watch"]))
    say(f"case {case['id']} opened: units {', '.join(case['units'])}, track {case['track']}")

    async def act(role: str, action: str, reason: str) -> None:
        done = await people[role].post(f"/v1/cases/{case['id']}/actions", {"action": action, "reason": reason})
        say(f"{role} {action}: {done['state']}")

    await act("investigator", "verify", "hours above the limit confirmed against the rows; no mark was accepted")
    await act("decider", "decide", "suspension until the unit complies, on the (fictional) demonstration regulation")
    await act("investigator", "serve", "served on the works' legal representative")
    await until("the order at the works", lambda: _orders_at(plants, 1))
    say("the works has the signed order and stops its sinter strand")
    await _advance(plants, STOPPED_FOR)
    await until("the suspension on the site", lambda: _state(people["watch"], "suspended"))
    await act("decider", "permit_trial", "desulphurisation repaired: a trial run is permitted")
    await until("the end of the order at the works", lambda: _orders_at(plants, 0))
    await _advance(plants, TRIAL_FOR)
    await until("enough clean hours", lambda: _lift(act))
    say("clean hours at the unit's own stack: the suspension is lifted")


async def _advance(plants: Plants, by: timedelta) -> None:
    now = datetime.fromtimestamp(plants.simulation.clock.now_ms() / 1000, UTC)
    await plants.simulation.advance_to(now + by, deadline_s=STEP_S)


async def _case(client: Client) -> Any:
    found = await client.get(f"/v1/cases?site={WORKS}&state=detected")
    return next((case for case in found["items"] if case["track"] == "deadline"), None)


async def _orders_at(plants: Plants, wanted: int) -> bool:
    orders = plants.works.orders
    return orders is not None and orders.current.version > 0 and len(orders.current.orders) == wanted


async def _state(client: Client, wanted: str) -> bool:
    site = await client.get(f"/v1/sites/{WORKS}")
    return bool(site["state"] == wanted)


async def _lift(act: Callable[[str, str, str], Any]) -> bool:
    """The hours are judged while we ask: a lift that comes too early is refused with the figures."""
    try:
        await act("decider", "lift", "the unit's own stack has shown the clean hours that the policy asks for")
    except Unavailable:
        return False
    except PlantError as error:
        if " 409 " in str(error):
            return False
        raise
    return True


async def until(what: str, ask: Callable[[], Any]) -> Any:
    """What *ask* gives once it gives something; `Unavailable` when it does not in time."""
    try:
        async with asyncio.timeout(STEP_S):
            while not (answer := await ask()):  # noqa: ASYNC110 - asks an API
                await asyncio.sleep(POLL_S)
            return answer
    except TimeoutError:
        raise Unavailable(f"waited {STEP_S:g} s for {what}, in vain") from None
