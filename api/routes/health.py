"""`GET /v1/health`: 200 only when everything that must beat beats, else 503, each check in a sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.context import Here
from api.schemas.about import Health
from plant.errors import Unavailable
from plant.shares import Share, uncovered
from store import aside, receivers
from store.health import YOUNG_S, Beat, beats, public_sites
from store.migrate import pending
from store.pool import Connection, transaction
from store.register import regions_of_sites

router = APIRouter(tags=["health"])

ONLY_SAID: Final = ("receivers", "judging")  #: checks that make it degraded, and no error
NAMED: Final = 5  #: sites that a sentence names
CHECK_DEADLINE_S: Final = 5.0  #: whoever asks for health wants an answer, not a wait
COMPONENTS: Final = {
    "broker": "the broker's connection",
    "ingestor": "the ingestor",
    "stage": "the rule stage",
    "outgoing": "the deliverer of orders",
}


@router.get(
    "/health", response_model=Health, responses={503: {"model": Health, "description": "Something does not beat"}}
)
async def read_health(here: Here) -> Any:
    """Whether database, broker, ingestor (subscribed, and no site left out), rule stage and outgoing all work.

    Receivers of notifications that are dead make it degraded, and no error; so do stacks that were set aside.
    """
    checks: dict[str, dict[str, Any]] = {}
    seen: Sequence[Beat] | None = None
    left: str | None = None
    try:
        async with asyncio.timeout(CHECK_DEADLINE_S), transaction(here.pool) as conn:
            missing = await pending(conn)
            checks["database"] = _check(True, "the database answers")
            checks["migrations"] = _check(
                not missing,
                f"the schema lacks {', '.join(missing)}: run `stackwatch migrate`"
                if missing
                else "the schema is current",
            )
            seen = [] if missing else await beats(conn)
            left = await _left_out(conn, shares_of(seen))
            if not missing:
                checks["receivers"] = said_of_receivers(await receivers.states(conn))
                checks["judging"] = said_of_judging(await aside.count(conn), seen)
    except (Unavailable, TimeoutError):
        checks["database"] = _check(False, "the database does not answer")
        checks.setdefault("migrations", _check(False, "unknown while the database does not answer"))
    for component, words in COMPONENTS.items():
        checks[component] = judge(component, words, seen)
    if left is not None:
        checks["ingestor"] = _check(False, left)
    # A receiver that is dead is somebody else's, a stack set aside is one of many: it is said, and we go on serving.
    serving = all(check["ok"] for name, check in checks.items() if name not in ONLY_SAID)
    ok = all(check["ok"] for check in checks.values())
    body = {"status": "ok" if ok else "degraded", "checks": checks}
    return JSONResponse(body, 200 if serving else 503, {"Cache-Control": "no-store"})


def said_of_judging(set_aside: int, seen: Sequence[Beat]) -> dict[str, Any]:
    """The check of what a fault of ours keeps from being done, without names: anybody may ask for health."""
    chores = sorted(
        {name for beat in seen if beat.component == "stage" for name in beat.detail.get("failed_chores", ())}
    )
    faults = [f"{set_aside} stacks are set aside, because judging them failed"] if set_aside else []
    faults += [f"the leader's work on {', '.join(chores)} failed"] if chores else []
    return _check(not faults, "; ".join(faults) or "no stack is set aside")


def said_of_receivers(counts: Mapping[str, int]) -> dict[str, Any]:
    """The check of those who are told of alerts, without their names: anybody may ask for health."""
    if counts["dead"]:
        return _check(False, f"{counts['dead']} of {counts['all']} receivers of notifications are dead")
    disabled = f", {counts['disabled']} of them disabled" if counts["disabled"] else ""
    return _check(True, f"{counts['all']} receivers of notifications{disabled}")


def judge(component: str, words: str, seen: Sequence[Beat] | None) -> dict[str, Any]:
    """The check of one component: one instance that beats and is well is enough."""
    if seen is None:
        return _check(False, f"{words}: unknown while the database does not answer")
    own = [beat for beat in seen if beat.component == component]
    young = [beat for beat in own if beat.age_s < YOUNG_S]
    well = [beat for beat in young if beat.ok]
    if well:
        return _check(True, f"{words} {well[0].instance} beat {max(well[0].age_s, 0.0):.0f} s ago")
    if young:
        why = young[0].detail.get("why") or young[0].detail.get("reason") or "see its log"
        return _check(False, f"{words} {young[0].instance} beats but is not well: {why}")
    if own:
        return _check(False, f"{words} {own[0].instance} was last heard {own[0].age_s:.0f} s ago")
    return _check(False, f"{words} has never been heard")


def shares_of(seen: Sequence[Beat]) -> list[Share]:
    """What the ingestors take that are well."""
    well = (beat for beat in seen if beat.component == "ingestor" and beat.ok and beat.age_s < YOUNG_S)
    return [Share.from_document(beat.detail.get("share", {})) for beat in well]


def nobody_takes(sites: int, known: Sequence[str]) -> str:
    """That *sites* are left out, and the first of them that are *known*."""
    named = ", ".join(known[:NAMED]) + (", ..." if len(known) > NAMED else "")
    return f"no running ingestor takes the messages of {sites} {'site' if sites == 1 else 'sites'}" + (
        f" ({named})" if named else ""
    )


async def _left_out(conn: Connection, shares: Sequence[Share]) -> str | None:
    """Which sites nobody takes, though somebody runs. The register is read only where ingestors divide it by sites."""
    if not shares or any(share.takes_all_sites for share in shares):
        return None
    left = uncovered(await regions_of_sites(conn), shares)
    if not left:
        return None
    known = await public_sites(conn, left, limit=NAMED + 1)  # whoever asks for health is nobody in particular
    return nobody_takes(len(left), known)


def _check(ok: bool, detail: str) -> dict[str, Any]:
    return {"ok": ok, "detail": detail}
