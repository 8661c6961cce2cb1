"""Precision, recall and false leads of every rule on labelled scenarios.

Each scenario is played into files with several seeds and judged by the backtest, which is what the live stage judges.
`false_per_stack_month` is of the scenario in which nothing is wrong, with what `benchmarks.honest` puts beside its
rows: what an integrity rule finds there is false. Of a rule that looks at what no scenario has it is null: that it said
nothing there says nothing of it. `--write` keeps the figures as the baseline that `GET /v1/rules` and the manual
publish. `--show` lists what is false, and what was planted and not found. Rules that are judged at ticks (edges, the
stage itself) have no history and do not stand here.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from alerts.backtest.folder import FolderSource
from alerts.backtest.recorded import open_folder
from alerts.backtest.report import alert_document
from alerts.backtest.running import Asked, judge_history
from alerts.rules import catalogue
from benchmarks.honest import HonestWorks
from benchmarks.report import arguments, publish
from edge.simulator.parquet import write_works
from edge.simulator.scenario import SitePlan, load_scenario
from edge.simulator.scoring import Score, false_alerts, missed_faults, score, stack_months
from edge.simulator.truth import Played, truth_of
from plant.packs import outlets_by_pack
from plant.register import parse_register

BASELINE: Final = Path(__file__).resolve().parents[1] / "alerts" / "rules" / "baseline.json"
CLEAN: Final = "clean-month"
FAULTY: Final = "faults"
CLEAN_SEEDS: Final = tuple(range(1, 17))
FAULTY_SEEDS: Final = tuple(range(1, 13))
BEGIN_MS: Final = 1_790_784_000_000  # 2026-10-01 00:00 at UTC+8
DAY_MS: Final = 86_400_000

WIDTH: Final = 120

JUDGED: Final = tuple(
    name for name in catalogue.names() if catalogue.about(name).kind not in (catalogue.Kind.EDGE, catalogue.Kind.SYSTEM)
)
"""What has a history."""

NOT_SHOWN: Final = frozenset(
    {
        "day_above_limit",  # no packaged pack limits hours and days of a pollutant
        "permit_tonnage",  # no tonnes are registered
    }
)
"""Rules that no scenario can show right or wrong."""

Alert = Mapping[str, Any]


def played(
    scenario: str, seed: int, folder: Path, days: int, interval_s: int | None = None
) -> tuple[dict[str, Any], list[Alert]]:
    """The truth of a scenario and the alerts that its rows come to; *interval_s* instead of its own."""
    found = load_scenario(scenario)
    if interval_s is not None:
        found = replace(found, sites=tuple(_paced(site, interval_s) for site in found.sites))
    until_ms = BEGIN_MS + days * DAY_MS
    works = [found.works(site.code, BEGIN_MS, seed) for site in found.sites]
    for one in works:
        write_works(one, until_ms, folder / f"{one.code}.parquet")
    truth = truth_of([Played(works=one, until_ms=until_ms) for one in works], scenario=scenario, digest="", seed=seed)
    register = parse_register(found.register_toml(), scenario, packs=outlets_by_pack())
    recorded = open_folder(folder, register)
    stops = tuple(stop for one in works for stop in one.stops)
    source = HonestWorks(recorded, Asked(), stops) if scenario == CLEAN else FolderSource(recorded, Asked())
    result = judge_history(source)
    return truth, [alert_document(alert) for alert in result.alerts.values()]


def _paced(site: SitePlan, interval_s: int) -> SitePlan:
    stacks = [{**stack, "interval_s": interval_s} for stack in site.table["stack"]]
    return replace(site, step_s=interval_s, table={**site.table, "stack": stacks})


def measure(
    seeds: Mapping[str, Iterable[int]], days: int, *, show: bool, interval_s: int | None = None
) -> dict[str, Any]:
    """The figures by rule, over every scenario and seed."""
    total: dict[str, Score] = dict.fromkeys(JUDGED, Score())
    clean: dict[str, Score] = {}
    months = dict.fromkeys(seeds, 0.0)
    for scenario, of in seeds.items():
        for seed in of:
            with tempfile.TemporaryDirectory(prefix="stackwatch-rules-") as folder:
                truth, alerts = played(scenario, seed, Path(folder), days, interval_s)
            months[scenario] += stack_months(truth)
            _add(total, score(truth, alerts))
            if scenario == CLEAN:
                _add(clean, score(truth, alerts))
            if show:
                _show(f"{scenario} {seed} false", false_alerts(truth, alerts))
                _show(f"{scenario} {seed} missed", missed_faults(truth, alerts))
    rules = {
        rule: _figures(of, clean.get(rule, Score()), 0.0 if rule in NOT_SHOWN else months.get(CLEAN, 0.0))
        for rule, of in sorted(total.items())
        if rule in JUDGED
    }
    return {"stack_months": {name: round(n, 1) for name, n in months.items()}, "rules": rules}


def _show(what: str, items: Iterable[Mapping[str, Any]]) -> None:
    for item in items:
        print(what, json.dumps(item, ensure_ascii=False, default=str))


def _add(total: dict[str, Score], more: Mapping[str, Score]) -> None:
    for rule, of in more.items():
        total[rule] = total.get(rule, Score()) + of


def _figures(of: Score, clean: Score, clean_months: float) -> dict[str, Any]:
    return {
        "planted": of.planted,
        "found": of.found,
        "alerts": of.alerts,
        "false": of.false,
        "precision": _rounded(of.precision),
        "recall": _rounded(of.recall),
        "false_per_stack_month": round(clean.false / clean_months, 4) if clean_months else None,
    }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def table_of(figures: Mapping[str, Any]) -> Table:
    """The same for a person; the last column is false alerts a stack-month where nothing is wrong."""
    watched = ", ".join(f"{months} of {name}" for name, months in figures["stack_months"].items())
    table = Table(title=f"Rules over stack-months: {watched}")
    table.add_column("rule", no_wrap=True)
    for name in ("planted", "found", "alerts", "false", "precision", "recall"):
        table.add_column(name, justify="right")
    table.add_column("false, clean", justify="right")
    for rule, of in figures["rules"].items():
        table.add_row(rule, *("" if value is None else f"{value:g}" for value in of.values()))
    return table


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--write", action="store_true", help="keep the figures as the baseline")
    parser.add_argument("--show", action="store_true", help="print every false alert")
    parser.add_argument("--clean-seeds", type=int, nargs="*", default=CLEAN_SEEDS)
    parser.add_argument("--faulty-seeds", type=int, nargs="*", default=FAULTY_SEEDS)
    parser.add_argument("--days", type=int, default=31)
    parser.add_argument("--interval-s", type=int, help="one row of a stack each so many seconds; else as the scenario")
    asked = parser.parse_args()
    if asked.write and asked.interval_s is not None:
        parser.error("the baseline is of the scenarios' own interval")
    seeds = {CLEAN: asked.clean_seeds, FAULTY: asked.faulty_seeds}
    figures = measure(seeds, asked.days, show=asked.show, interval_s=asked.interval_s)
    if asked.write:
        BASELINE.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if asked.json:
        publish(figures, as_json=True)
    else:
        Console(width=WIDTH).print(table_of(figures))


if __name__ == "__main__":
    main()
