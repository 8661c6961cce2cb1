"""The system itself: its health, its rule packs, the key that it signs with."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from api.schemas.common import Answer, Pollutant


class Check(BaseModel):
    ok: bool
    detail: str


class Health(BaseModel):
    status: Literal["ok", "degraded"]
    checks: dict[str, Check]


class Key(BaseModel):
    key_id: str
    algorithm: Literal["Ed25519"]
    public_key: str = Field(description="Base64 of the 32 bytes")


class PackOutlet(Answer):
    key: str
    name: str
    name_zh: str
    base_o2: float | None
    limits: dict[Pollutant, float]
    mark: str


class Pack(Answer):
    name: str
    version: str
    title: str
    title_zh: str
    kind: str
    instrument: str
    clause: str
    mark: str
    valid_from: str | None
    valid_until: str | None
    month_share_required: float | None
    outlets: list[PackOutlet]
