"""The items of a packet by what they are about, wherever in the data area they stand: code, suffix, text.

What the values mean is left to `edge.hj212.rows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from edge.hj212.codes import CODES
from edge.hj212.decoder import Packet
from edge.hj212.mapped import Left, Mapped, Why
from edge.hj212.segment import Value

NOTHING: Final = "?"
"""In place of what cannot be told: neither a number nor a flag."""
SUFFIXES: Final = frozenset(
    {"Rtd", "Min", "Avg", "Max", "ZsRtd", "ZsMin", "ZsAvg", "ZsMax", "Cou"}
    | {"Flag", "EFlag", "SampleTime", "Info", "RS", "RT", "SN"}
)
"""Those of 4.7."""
_BY_LOWER: Final = {suffix.lower(): suffix for suffix in SUFFIXES}
_LONGEST: Final = 64  #: characters of a name; what is remembered of a peer's names must be bounded
_HEADS: Final = frozenset({"DataTime", "BeginTime", "EndTime", "PolId", "InfoId", "QN"})

Things = Mapping[tuple[str, str], dict[str, str]]
"""Code and PolId -> suffix -> text."""


def by_thing(packet: Packet, mapped: Mapped) -> Things:
    """The items by what they are about, code and PolId, and suffix, wherever in the data area they stand."""
    things: dict[tuple[str, str], dict[str, str]] = {}
    about = ""
    for group in packet.fields:
        if "PolId" in group:
            about = _text(group["PolId"])
        last, values = "", dict[str, str]()
        for name, value in group.items():
            if name in _HEADS:
                continue
            if len(name) > _LONGEST:
                mapped.left.append(Left(Why.NAME, name[:_LONGEST]))
                continue
            code, suffix, other_case = _parts(name)
            if other_case:
                mapped.left.append(Left(Why.KEY_CASE, name))
            if code != last:
                last, values = code, things.setdefault((code, about if suffix == "Info" else ""), {})
            text = value if isinstance(value, str) else _one_of_several(value, name, mapped)
            if values.setdefault(suffix, text) != text:
                mapped.left.append(Left(Why.CONTRADICTED, name))
                values[suffix] = NOTHING
    return things


@lru_cache(maxsize=2048)
def _parts(name: str) -> tuple[str, str, bool]:
    """Code and suffix of an item as the standard writes them, and whether only their case was another."""
    code, _, suffix = name.rpartition("-") if "-" in name else (name, "", "")
    right_code = code.lower() if code[:1] == "A" and code.lower() in CODES else code
    right_suffix = suffix if suffix in SUFFIXES else _BY_LOWER.get(suffix.lower(), suffix)
    return right_code, right_suffix, (right_code, right_suffix) != (code, suffix)


def _text(value: Value) -> str:
    return value if isinstance(value, str) else ""


def _one_of_several(value: Value, name: str, mapped: Mapped) -> str:
    """The value of an item that stands several times in its group, where they agree."""
    several = set(value or ())
    if len(several) == 1:
        return several.pop()
    mapped.left.append(Left(Why.CONTRADICTED if several else Why.NOT_A_NUMBER, name))
    return NOTHING
