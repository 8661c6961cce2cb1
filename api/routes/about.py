"""What this installation judges by and signs with: rule packs and the key of its orders."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from api.auth import ANYBODY
from api.context import Here
from api.schemas.about import Key
from api.schemas.about import Pack as PackModel
from api.schemas.common import Page
from plant.packs import Pack, all_packs

router = APIRouter(tags=["about"], dependencies=[ANYBODY])


@router.get("/keys", response_model=Page[Key])
async def read_keys(here: Here) -> Any:
    """The public keys that orders are signed with; none where this installation signs none."""
    signer = here.signer
    keys = (
        []
        if signer is None
        else [{"key_id": signer.key_id, "algorithm": "Ed25519", "public_key": signer.public_key_b64}]
    )
    return {"items": keys, "next": None}


@router.get("/packs", response_model=Page[PackModel])
async def read_packs() -> Any:
    """The rule packs, each figure with the confidence mark of its source."""
    return {"items": [pack_document(pack) for pack in all_packs().values()], "next": None}


def pack_document(pack: Pack) -> dict[str, Any]:
    return {
        "name": pack.name,
        "version": pack.version,
        "title": pack.title,
        "title_zh": pack.title_zh,
        "kind": pack.kind,
        "instrument": pack.instrument,
        "clause": pack.clause,
        "mark": pack.mark,
        "valid_from": pack.valid_from.isoformat() if pack.valid_from else None,
        "valid_until": pack.valid_until.isoformat() if pack.valid_until else None,
        "month_share_required": float(pack.month.required) if pack.month else None,
        "outlets": [
            {
                "key": outlet.key,
                "name": outlet.name,
                "name_zh": outlet.name_zh,
                "base_o2": outlet.base_o2_vol_pct,
                "limits": {limit.pollutant: limit.mg_m3 for limit in outlet.limits.values()},
                "mark": outlet.mark,
            }
            for outlet in pack.outlets.values()
        ],
    }
