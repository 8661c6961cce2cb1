"""What every answer is made of. Documented keys are always there, null where they do not apply; more may be added.

Times are text as the store wrote it, UTC with `Z`; numbers are never rounded.
"""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Pollutant = str
Severity = Literal["info", "warning", "major", "critical"]
T = TypeVar("T")


class Answer(BaseModel):
    model_config = ConfigDict(extra="allow")


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: str | None = Field(description="Give it as `cursor` to get the next page; null at the end")


class Fault(BaseModel):
    path: str
    message: str


class Problem(Answer):
    """RFC 9457 problem details; `errors` names each fault of bad input."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault] | None = None
