"""Digests of hours as the database gives them back: those of one layout together."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from store.features import DigestRun, HourDigest


def runs(digests: Iterable[HourDigest]) -> list[DigestRun]:
    by_layout: dict[tuple[int, bool], list[HourDigest]] = {}
    for digest in digests:
        by_layout.setdefault((digest.layout, bool(digest.features)), []).append(digest)
    return [
        DigestRun(
            layout,
            np.array([digest.start for digest in of]),
            *(b"".join(getattr(digest, part) for digest in of) for part in ("features", "blocks", "verdicts")),
        )
        for (layout, _), of in by_layout.items()
    ]
