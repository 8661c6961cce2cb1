"""A history as JSON and back: what a folded rule looked at, so that it can be asked again offline. Pure.

Every number is written with all its digits; what has none is null. Channels, signals and the like that say nothing in
any of the hours are left out, and are nothing again when read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import numpy as np

from alerts.rules.history import History, Span, VerdictHours
from alerts.subject import Subject
from plant.features import names_of
from plant.periods import HOUR
from plant.readings import Values
from plant.verdicts import Reason, Verdict

T = TypeVar("T")

_NUMBERS: Final = ("corrected", "limit", "mean", "o2", "mass_kg")
_COUNTS: Final = ("valid_minutes", "revision")
_BLOCK: Final = "block"


def until(history: History, end: int) -> History:
    """The hours of *history* that start before the instant *end*."""
    n = int(np.searchsorted(history.start, end))

    def cut(values: Mapping[Any, Values]) -> dict[Any, Values]:
        return {name: array[:n] for name, array in values.items()}

    return replace(
        history,
        start=history.start[:n],
        ended=history.ended[:n],
        outlet=cut(history.outlet),
        channels={key: cut(features) for key, features in history.channels.items()},
        verdicts={key: _verdicts_until(hours, n) for key, hours in history.verdicts.items()},
        conflicts={name: counts[:n] for name, counts in history.conflicts.items()},
        reported=cut(history.reported),
        signals=cut(history.signals),
        siblings={key: cut(features) for key, features in history.siblings.items()},
    )


def _verdicts_until(hours: VerdictHours, n: int) -> VerdictHours:
    return VerdictHours(**{name: getattr(hours, name)[:n] for name in VerdictHours.__slots__})


def history_document(history: History, *, blocks: bool) -> dict[str, Any]:
    """*history*; *blocks*: with the digests of ten minutes, which only `sibling_identity` looks at."""

    def features(keyed: Mapping[Any, Mapping[str, Values]]) -> list[Any]:
        return [
            [*key, table]
            for key, named in keyed.items()
            if (table := _table({name: of for name, of in named.items() if blocks or not name.startswith(_BLOCK)}))
        ]

    return {
        "now": history.now,
        "first": int(history.start[0]),
        "n_hours": history.n_hours,
        "ended": history.ended.tolist(),
        "outlet": _table(history.outlet),
        "channels": features(history.channels),
        "verdicts": [[*key, _verdicts(hours)] for key, hours in history.verdicts.items()],
        "marks": [_span(span) for span in history.marks],
        "orders": [_span(span) for span in history.orders],
        "changes": [_span(span) for span in history.changes],
        "conflicts": {name: counts.tolist() for name, counts in history.conflicts.items() if counts.any()},
        "reported": [[*key, _list(values)] for key, values in history.reported.items()],
        "signals": [[*key, _list(values)] for key, values in history.signals.items()],
        "siblings": features(history.siblings) if blocks else [],
        "records": {kind: list(times) for kind, times in history.records.items()},
        "mass_before": dict(history.mass_before),
    }


def history_from(document: Mapping[str, Any], subject: Subject) -> History:
    """The history in *document*, of *subject*."""
    n = int(document["n_hours"])
    if n != len(document["ended"]):
        raise ValueError(f"the history says that it has {n} hours, and has {len(document['ended'])}")
    return History(
        site=subject.site,
        stack=subject.stack,
        packs=subject.packs,
        now=int(document["now"]),
        start=int(document["first"]) + np.arange(n, dtype=np.int64) * HOUR,
        ended=np.array(document["ended"], dtype=bool),
        outlet={name: _values(items, n) for name, items in document["outlet"].items()},
        channels={
            (instrument, channel): _features(table, names_of(channel), n)
            for instrument, channel, table in document["channels"]
        },
        verdicts={(pack, pollutant): _verdicts_from(table, n) for pack, pollutant, table in document["verdicts"]},
        marks=_spans(document["marks"]),
        orders=_spans(document["orders"]),
        changes=_spans(document["changes"]),
        conflicts={name: np.array(counts, dtype=np.int64) for name, counts in document["conflicts"].items()},
        reported={(a, b, c): _values(items, n) for a, b, c, items in document["reported"]},
        signals={(a, b, c): _values(items, n) for a, b, c, items in document["signals"]},
        siblings={
            (a, b, c): {name: _values(items, n) for name, items in table.items()}
            for a, b, c, table in document["siblings"]
        },
        records={kind: tuple(times) for kind, times in document["records"].items()},
        mass_before=dict(document["mass_before"]),
    )


def _table(named: Mapping[str, Values]) -> dict[str, list[float | None]]:
    return {name: _list(values) for name, values in named.items() if not np.isnan(values).all()}


def _list(values: Values) -> list[float | None]:
    return [number if math.isfinite(number) else None for number in values.tolist()]


def _values(items: Sequence[float | None], n: int) -> Values:
    values = np.array([np.nan if item is None else item for item in items], dtype=np.float64)
    if values.shape != (n,):
        raise ValueError(f"there are {values.size} numbers where there are {n} hours")
    return values


def _features(table: Mapping[str, Any], names: Iterable[str], n: int) -> dict[str, Values]:
    return {name: _values(table[name], n) if name in table else np.full(n, np.nan) for name in names}


def _verdicts(hours: VerdictHours) -> dict[str, Any]:
    return {
        "verdict": [None if item is None else str(item) for item in hours.verdict],
        "reason": [None if item is None else str(item) for item in hours.reason],
        **{name: _list(getattr(hours, name)) for name in _NUMBERS},
        **{name: getattr(hours, name).tolist() for name in _COUNTS},
        "claimed": hours.claimed.tolist(),
    }


def _verdicts_from(table: Mapping[str, Any], n: int) -> VerdictHours:
    verdict, reason = np.full(n, None, dtype=object), np.full(n, None, dtype=object)
    verdict[:] = [None if item is None else Verdict(item) for item in table["verdict"]]
    reason[:] = [None if item is None else Reason(item) for item in table["reason"]]
    return VerdictHours(
        verdict=verdict,
        reason=reason,
        corrected=_values(table["corrected"], n),
        limit=_values(table["limit"], n),
        mean=_values(table["mean"], n),
        o2=_values(table["o2"], n),
        mass_kg=_values(table["mass_kg"], n),
        valid_minutes=np.array(table["valid_minutes"], dtype=np.int64),
        claimed=np.array(table["claimed"], dtype=bool),
        revision=np.array(table["revision"], dtype=np.int64),
    )


def _span(span: Span) -> dict[str, Any]:
    return {
        "start": span.start,
        "end": span.end,
        "kind": span.kind,
        "status": span.status,
        "detail": dict(span.detail),
    }


def _spans(items: Iterable[Mapping[str, Any]]) -> tuple[Span, ...]:
    return tuple(
        Span(start=item["start"], end=item["end"], kind=item["kind"], status=item["status"], detail=item["detail"])
        for item in items
    )
