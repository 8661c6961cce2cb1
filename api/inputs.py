"""What requests may say: the types of paths, queries and bodies, each with the fault it names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Any, Final

from fastapi import Path, Query
from pydantic import AfterValidator, BeforeValidator, StringConstraints, WithJsonSchema

from plant.identifiers import IDENTIFIER

LIMIT: Final = 100  #: items of a list where nothing else is asked for
MAX_LIMIT: Final = 1000
_MAX_ID: Final = 2**63 - 1
_YEARS: Final = range(1000, 9000)  #: beside which a zone or a deadline would leave the calendar


def read_moment(value: object) -> datetime:
    """ISO 8601 with an offset. A plus sign that arrived as a space, as it does unescaped in a query, is put back."""
    text = value.strip() if isinstance(value, str) else ""
    if len(text) > 6 and text[-6] == " ":
        text = f"{text[:-6]}+{text[-5:]}"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be ISO 8601 with an offset, such as 2026-11-20T08:00:00+08:00") from None
    if moment.tzinfo is None:
        raise ValueError("needs an offset, such as +08:00 or Z")
    if moment.year not in _YEARS:
        raise ValueError(f"must lie in the years {_YEARS.start} to {_YEARS.stop - 1}")
    return moment


def read_month(value: object) -> date:
    text = value if isinstance(value, str) else ""
    try:
        if len(text) != 7:
            raise ValueError
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise ValueError("must be a month such as 2026-11") from None


def _storable(value: Any) -> Any:
    """Refuse here what PostgreSQL would refuse later: U+0000, halves of surrogate pairs, numbers that are none."""
    json.dumps(value, allow_nan=False)
    for text in _texts(value):
        if "\x00" in text:
            raise ValueError("must not hold the character U+0000")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError("must not hold half of a surrogate pair")
    return value


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for key, item in value.items():
                yield key
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
        case _:
            pass  # numbers and the like hold no text


Moment = Annotated[
    datetime, BeforeValidator(read_moment), WithJsonSchema({"type": "string", "format": "date-time"}, mode="validation")
]
Month = Annotated[
    date,
    BeforeValidator(read_month),
    WithJsonSchema(
        {"type": "string", "pattern": r"^\d{4}-(0[1-9]|1[0-2])$", "examples": ["2026-11"]}, mode="validation"
    ),
]
Name = Annotated[str, StringConstraints(pattern=f"^{IDENTIFIER.pattern}$")]
Word = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_storable)]
Text = Annotated[
    str, StringConstraints(min_length=1, max_length=10_000, strip_whitespace=True), AfterValidator(_storable)
]
Evidence = Annotated[list[Any], AfterValidator(_storable)]
Figures = Annotated[dict[str, Any], AfterValidator(_storable)]

Number = Annotated[int, Path(ge=1, le=_MAX_ID)]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many items at most")]
Cursor = Annotated[str | None, Query(max_length=1000, description="`next` of the page before")]
From = Annotated[Moment | None, Query(alias="from", description="At or after this time")]
To = Annotated[Moment | None, Query(alias="to", description="Before this time")]
AsOf = Annotated[Moment | None, Query(description="Answer with what was known then")]
