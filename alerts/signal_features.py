"""Process values of units among the numbers that are stored of an hour, and apart again.

They stand there as channels of an instrument that no plant can have: `unit:` and the unit's code, nothing for the
stack's own. So they are read with their hour, once, and one that comes late is another number of its hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from plant.features import Features, names_of
from plant.readings import Values

PREFIX: Final = "unit:"
FIGURES: Final = ("mean", "low", "high")

Signals = Mapping[tuple[str, str, str], Values]  #: by unit, signal, figure; arrays of shape (n_hours,)
Channels = Mapping[tuple[str, str], Mapping[str, Values]]  #: by instrument and channel, then feature


def with_signals(features: Features, signals: Signals) -> Features:
    """*features* and *signals* of the same hours."""
    added: dict[tuple[str, str], dict[str, Values]] = {}
    for (unit, name, figure), values in signals.items():
        there = added.setdefault(
            (PREFIX + unit, name), {feature: np.full(values.size, np.nan) for feature in names_of(name)}
        )
        there[figure] = values
    return replace(features, channels={**features.channels, **added})


def apart(channels: Channels) -> tuple[Channels, Signals]:
    """What instruments sent, and what units did."""
    signals = {
        (instrument.removeprefix(PREFIX), name, figure): features[figure]
        for (instrument, name), features in channels.items()
        if instrument.startswith(PREFIX)
        for figure in FIGURES
    }
    return {key: of for key, of in channels.items() if not key[0].startswith(PREFIX)}, signals
