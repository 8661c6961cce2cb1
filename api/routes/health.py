"""`GET /v1/health`: 200 only when everything that must beat beats, else 503, each check in a sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.context import Here
from api.schemas.about import Health
from plant.errors import Unavailable
from store.health import Beat, beats
from store.migrate import pending
from store.pool import transaction

router = APIRouter(tags=["health"])

YOUNG_S: Final = 15.0
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
    """Whether database, broker, ingestor (connected and subscribed), rule stage and outgoing all work."""
    checks: dict[str, dict[str, Any]] = {}
    seen: Sequence[Beat] | None = None
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
    except (Unavailable, TimeoutError):
        checks["database"] = _check(False, "the database does not answer")
        checks.setdefault("migrations", _check(False, "unknown while the database does not answer"))
    for component, words in COMPONENTS.items():
        checks[component] = judge(component, words, seen)
    ok = all(check["ok"] for check in checks.values())
    body = {"status": "ok" if ok else "degraded", "checks": checks}
    return JSONResponse(body, 200 if ok else 503, {"Cache-Control": "no-store"})


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


def _check(ok: bool, detail: str) -> dict[str, Any]:
    return {"ok": ok, "detail": detail}
