"""`notify list` and `notify test`: who is told of alerts, and whether a message comes."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any, Final

from alerts.notify import acts
from plant.errors import PlantError
from stackwatch.reach import reach
from stackwatch.running import FAILED
from store import outgoing, receivers
from store.pool import Connection, connect
from store.scope import EVERYWHERE

LISTED: Final = 1_000
POLL_S: Final = 0.2


async def list_receivers(database_url: str | None, data: Path | None, *, as_json: bool) -> None:
    settings = reach(database_url=database_url, data=data)
    async with await connect(settings.database_url, name="command", autocommit=True) as conn:
        rows = await receivers.list_receivers(conn, EVERYWHERE, limit=LISTED)
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        print(_line(row))
    if not rows:
        print("nobody is told: POST /v1/receivers makes a receiver")


def _line(row: dict[str, Any]) -> str:
    target = ", ".join(f"{value}" for value in row["target"].values() if isinstance(value, str)) or ", ".join(
        row["target"].get("to", ())
    )
    parts = [row["name"], row["kind"], target, row["state"], f"{row['waiting']} waiting"]
    parts += [f"{row['gave_up']} given up"] if row["gave_up"] else []
    parts += [row["disabled_why"] or row["last_error"]] if row["state"] != "well" else []
    return "  ".join(parts)


async def try_out(name: str, wait_s: float, database_url: str | None, data: Path | None) -> None:
    """Owe *name* a test and watch what becomes of it; a rule stage has to run, for it delivers."""
    settings = reach(database_url=database_url, data=data)
    async with await connect(settings.database_url, name="command", autocommit=True) as conn:
        message_id = f"msg_test_{secrets.token_hex(12)}"
        async with conn.transaction():
            row = await receivers.lock_receiver(conn, name)
            await acts.try_out(conn, row, message_id)
        sent, why = await _watch(conn, row.receiver_id, message_id, wait_s)
    if not sent:
        print(f"not taken within {wait_s:g} s: {why}")
        raise SystemExit(FAILED)
    print(f"{name} took {message_id}")


async def _watch(conn: Connection, receiver_id: int, message_id: str, wait_s: float) -> tuple[bool, str]:
    """(whether it was taken in time, why not)."""
    why = "no rule stage delivers: is `stackwatch alerts` running?"
    try:
        async with asyncio.timeout(wait_s):
            while True:
                message = await outgoing.find_message(conn, receiver_id, message_id)
                if message is None:
                    raise PlantError(f"the message {message_id} is gone")
                if message["sent_at"] is not None:
                    return True, ""
                why = message["last_error"] or why
                if message["gave_up_at"] is not None:
                    return False, why
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        return False, why
