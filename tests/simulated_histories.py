"""Rows of simulated stacks as arrays, altered by a test as somebody who cheats would, and the histories of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

import numpy as np

from alerts.hours import judge_rows
from alerts.rules.history import History
from alerts.subject import Subject
from edge.simulator.activity import RUNNING
from edge.simulator.analyser import OVER
from edge.simulator.scenario import load_scenario
from plant.features import hour_features
from plant.packs import outlets_by_pack
from plant.periods import HOUR, MINUTE, micros
from plant.readings import Rows, Truths, Values
from plant.register import Site, parse_register

BEGIN: Final = micros(datetime.fromisoformat("2026-10-01T00:00:00+08:00"))
_US_OF_MS: Final = 1000


def minute(day: int, hour: int = 0, at: int = 0) -> int:
    """The place of a row, of one a minute; days from 1."""
    return ((day - 1) * 24 + hour) * 60 + at


def simulated_rows(scenario: str, *, days: int, stack: str, seed: int | None = None) -> tuple[Site, Rows]:
    """What the analysers of one stack show for *days* from BEGIN, a row a minute."""
    found = load_scenario(scenario)
    (site,) = parse_register(found.register_toml(), scenario, packs=outlets_by_pack()).sites
    works = found.works(site.code, BEGIN // _US_OF_MS, seed).only([stack])
    until_ms = (BEGIN + days * 24 * HOUR) // _US_OF_MS
    parts = []
    for block, _ in works.blocks(works.begin, until_ms):
        values = {
            name: block.shown[row, :, 0]
            for row, name in enumerate(works.analysers.channels)
            if works.analysers.measured[row, 0]
        }
        values |= {name: signal[:, 0] for name, signal in block.signals.items()}
        over = {
            name: np.where(block.over[row, :, 0], OVER, block.flag[:, 0]).astype(np.uint8)
            for row, name in enumerate(works.analysers.channels)
            if name in values
        }
        parts.append((block.at_ms * _US_OF_MS, block.state[:, 0] != RUNNING, values, over, block.flag[:, 0]))
    at = np.concatenate([part[0] for part in parts])
    return site, Rows(
        sampled_at=at,
        interval_s=np.full(at.size, MINUTE // 1_000_000, dtype=np.int64),
        not_running=np.concatenate([part[1] for part in parts]),
        values={name: np.concatenate([part[2][name] for part in parts]) for name in parts[0][2]},
        flags={name: np.concatenate([part[3][name] for part in parts]) for name in parts[0][3]},
        row_flag=np.concatenate([part[4] for part in parts]),
    )


def altered(rows: Rows, **channels: Values) -> Rows:
    """*rows* with other values of some channels."""
    return replace(rows, values={**rows.values, **channels})


def flagged(rows: Rows, channel: str, where: Truths, letter: str) -> Rows:
    """*rows* with a flag of one channel set."""
    flags = np.where(where, ord(letter), rows.flag(channel)).astype(np.uint8)
    return replace(rows, flags={**rows.flags, channel: flags})


def history_of(site: Site, stack: str, rows: Mapping[str, Rows], **siblings: Rows) -> History:
    """The history of all whole days of *rows* (by instrument), with the stacks beside it."""
    subject = Subject(site_id=1, stack_id=1, site=site, stack=next(one for one in site.stacks if one.code == stack))
    n_hours = max(sent.sampled_at.size for sent in rows.values()) // 60
    now = BEGIN + (n_hours + 1) * HOUR
    features = hour_features(rows, subject.stack, first=BEGIN, n_hours=n_hours)
    beside: dict[tuple[str, str, str], Mapping[str, Values]] = {}
    for code, sent in siblings.items():
        of = hour_features({"main": sent}, subject.stack, first=BEGIN, n_hours=n_hours)
        beside |= {(code, *key): channel for key, channel in of.channels.items() if "block0" in channel}
    return History(
        site=site,
        stack=subject.stack,
        packs=subject.packs,
        now=now,
        start=BEGIN + np.arange(n_hours, dtype=np.int64) * HOUR,
        ended=np.ones(n_hours, dtype=bool),
        outlet=features.outlet,
        channels=features.channels,
        verdicts=judge_rows(subject, rows, first=BEGIN, n_hours=n_hours, now=now).verdicts(),
        siblings=beside,
    )
