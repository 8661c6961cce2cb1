"""`backtest`: judge history again, under today's packs or others, and say what changes."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from alerts.backtest.cluster import judge_on_cluster
from alerts.backtest.difference import Difference, difference
from alerts.backtest.folder import FolderSource
from alerts.backtest.recorded import Folder, open_folder
from alerts.backtest.report import by_rule, difference_document, month_document, text, write_parquet
from alerts.backtest.results import JudgedAlert, Result
from alerts.backtest.running import Asked, OnHours, Source, hours_to_judge, judge_history
from alerts.backtest.stored import StoredSource, open_stored
from alerts.backtest.variants import Variant, variant_of
from plant.errors import BadDocument, Fault
from plant.months import MonthVerdict
from plant.packs import Pack, all_packs, outlets_by_pack, parse_pack
from plant.periods import micros, month_of
from plant.register import Register, Site, parse_register
from stackwatch import running
from stackwatch.reach import reach
from store.pool import open_pool

LISTED: Final = 20  #: alerts and months on the screen; --json and --out have all
REGISTER: Final = "register.toml"
EXAMPLE: Final = "2026-03-01T00:00:00+08:00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    start: str | None
    end: str | None
    as_of: str | None
    sites: Sequence[str]
    packs: Sequence[str]
    draft: Path | None
    instead_of: Sequence[str]
    folder: Path | None
    register: Path | None
    out: Path | None
    ray: str | None
    as_json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Both judgements; *before* None where there is nothing to compare with."""

    sites: dict[str, Site]
    before: Result | None
    after: Result
    what: str  #: what *before* is


def backtest(options: Options, database_url: str | None, data: Path | None) -> None:
    """Not a coroutine: judging gives no loop a turn, and whoever waits for it may want to interrupt it."""
    asked = _asked(options)
    variant = _variant(options)
    began = time.monotonic()
    if options.folder is not None:
        judged = _of_folder(options, asked, variant)
    else:
        judged = _of_database(options, asked, variant, database_url, data)
    seconds = time.monotonic() - began
    found = None
    if judged.before is not None:
        found = difference(judged.before, judged.after, judged.sites, instead=variant.instead)
    months = _months(judged.after, judged.sites)
    if options.out is not None:
        _write(judged.after, months, found, options.out)
    if options.as_json:
        print(json.dumps(_document(judged, months, found, seconds), ensure_ascii=False))
        return
    _tell(judged, months, found, seconds)


def _asked(options: Options) -> Asked:
    faults: list[Fault] = []

    def instant(name: str, value: str | None) -> int | None:
        if value is None:
            return None
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            faults.append(Fault(name, f"{value!r} is no time: write {EXAMPLE}"))
            return None
        if at.tzinfo is None:
            faults.append(Fault(name, f"{value!r} is another instant in each time zone: write {EXAMPLE}"))
            return None
        return micros(at)

    first, end = instant("--from", options.start), instant("--to", options.end)
    now = instant("--as-of", options.as_of)
    if first is not None and end is not None and first >= end:
        faults.append(Fault("--to", "must be after --from"))
    if options.folder is None and (options.start is None or options.end is None):
        faults.append(Fault("--from, --to", "are needed for history of the database"))
    if faults:
        raise BadDocument("arguments", faults)
    return Asked(first=first, end=end, now=now)


def _variant(options: Options) -> Variant:
    known = all_packs()
    unknown = [name for name in options.packs if name not in known]
    if unknown:
        says = f"there is no rule pack {unknown[0]!r}; there are {', '.join(known)}"
        raise BadDocument("arguments", [Fault("--pack", says)])
    packs: list[Pack] = [known[name] for name in options.packs]
    if options.draft is not None:
        try:
            packs.append(parse_pack(options.draft.read_text(encoding="utf-8"), str(options.draft)))
        except (OSError, UnicodeDecodeError) as error:
            raise BadDocument(str(options.draft), [Fault("", f"cannot be read: {error}")]) from error
    return variant_of(packs, options.instead_of)


def _of_folder(options: Options, asked: Asked, variant: Variant) -> Judged:
    assert options.folder is not None
    folder = _only(open_folder(options.folder, _register(options)), options.sites)
    registered, source = FolderSource(folder, asked), FolderSource(folder, asked.under(variant))
    with _bar([source] if variant.is_none else [registered, source], shown=_shown(options)) as advance:
        before = None if variant.is_none else _judge(registered, options, advance)
        after = _judge(source, options, advance)
    sites = {site.code: site for site in folder.sites}
    return Judged(sites=sites, before=before, after=after, what="as registered")


def _judge(source: Source, options: Options, on_hours: OnHours) -> Result:
    address = options.ray or running.settings(quiet=True).ray_address
    return judge_on_cluster(source, address, on_hours) if address else judge_history(source, on_hours)


def _register(options: Options) -> Register:
    assert options.folder is not None
    file = options.register or options.folder / REGISTER
    try:
        return parse_register(file.read_text(encoding="utf-8"), str(file), packs=outlets_by_pack())
    except OSError as error:
        says = f"cannot be read: {error}. Give the register of these sites with --register FILE"
        raise BadDocument(str(file), [Fault("", says)]) from error


def _only(folder: Folder, sites: Sequence[str]) -> Folder:
    known = {site.code for site in folder.sites}
    unknown = [code for code in sites if code not in known]
    if unknown:
        says = f"there is no recording of {unknown[0]!r}; there are {', '.join(sorted(known))}"
        raise BadDocument("arguments", [Fault("--site", says)])
    return folder.only(sites) if sites else folder


def _of_database(
    options: Options, asked: Asked, variant: Variant, database_url: str | None, data: Path | None
) -> Judged:
    settings = reach(database_url=database_url, data=data)
    registered = asyncio.run(_opened(settings.database_url, options, asked, as_it_stands=variant.is_none))
    source = replace(registered, asked=asked.under(variant))
    with _bar([source] if variant.is_none else [registered, source], shown=_shown(options)) as advance:
        if variant.is_none:
            before, what = registered.standing(), "as it stands"
        else:
            before, what = _judge(registered, options, advance), "as registered"
        after = _judge(source, options, advance)
    return Judged(sites=dict(registered.sites), before=before, after=after, what=what)


async def _opened(database_url: str, options: Options, asked: Asked, *, as_it_stands: bool) -> StoredSource:
    async with open_pool(database_url, name="backtest") as pool:
        return await open_stored(pool, database_url, options.sites, asked, as_it_stands=as_it_stands)


def _months(result: Result, sites: dict[str, Site]) -> list[dict[str, Any]]:
    return [
        month_document(key, month, f"{month_of(key.start, sites[key.series.site].zone):%Y-%m}")
        for key, month in sorted(result.months.items(), key=lambda item: (item[0].series, item[0].start))
    ]


def _document(judged: Judged, months: list[dict[str, Any]], found: Difference | None, seconds: float) -> dict[str, Any]:
    return {
        "rows": judged.after.rows,
        "hours": sum(hours.start.size for hours in judged.after.hours.values()),
        "alerts": by_rule(judged.after.alerts.values()),
        "months": months,
        "compared_with": judged.what if judged.before is not None else None,
        "difference": difference_document(found) if found is not None else None,
        "seconds": round(seconds, 3),
    }


def _write(result: Result, months: list[dict[str, Any]], found: Difference | None, folder: Path) -> None:
    try:
        write_parquet(result, months, folder)
        if found is not None:
            body = json.dumps(difference_document(found), ensure_ascii=False, indent=1)
            (folder / "difference.json").write_text(body + "\n", encoding="utf-8")
    except OSError as error:
        raise BadDocument(str(folder), [Fault("", f"cannot be written: {error}")]) from error


def _tell(judged: Judged, months: list[dict[str, Any]], found: Difference | None, seconds: float) -> None:
    console = Console(highlight=False)
    hours = sum(item.start.size for item in judged.after.hours.values())
    print(f"{judged.after.rows} rows, {hours} hours of {len(judged.after.hours)} series in {seconds:.1f} s")
    if not judged.after.rows:
        print("there were no rows to judge: of no registered stack, or not in that time")
    verdicts = Counter(month["verdict"] for month in months)
    print(f"months: {', '.join(f'{verdicts[verdict]} {verdict}' for verdict in MonthVerdict)}")
    if found is None:
        counts = by_rule(judged.after.alerts.values())
        _table(console, "rule", "alerts", [(rule, str(n)) for rule, n in counts.items()] or [("none", "0")])
        return
    if found.is_none:
        print(f"nothing differs from the history {judged.what}")
        return
    assert judged.before is not None
    _table_of_rules(console, judged.before, judged.after, found)
    _table_of_months(console, found)
    for word, alerts in (("gained", found.gained), ("lost", found.lost)):
        for alert in alerts[:LISTED]:
            print(f"{word}: {_line(alert)}")
        if len(alerts) > LISTED:
            print(f"{word}: and {len(alerts) - LISTED} more (--json or --out has all)")
    for moved in found.moved[:LISTED]:
        print(f"moved: {_line(moved.after)} ({', '.join(moved.what)})")
    if len(found.moved) > LISTED:
        print(f"moved: and {len(found.moved) - LISTED} more")


def _line(alert: JudgedAlert) -> str:
    where = "/".join(part for part in (alert.site, alert.stack, alert.pollutant) if part)
    observed = "" if alert.observed is None else f" {alert.observed:g}"
    against = "" if alert.limit is None else f" against {alert.limit:g}"
    return f"{alert.rule} {where} {text(alert.period_start)}{observed}{against} {alert.unit}".rstrip()


def _table_of_rules(console: Console, before: Result, after: Result, found: Difference) -> None:
    table = Table("rule", "before", "after", "gained", "lost", "moved")
    was, is_now = by_rule(before.alerts.values()), by_rule(after.alerts.values())
    gained, lost = by_rule(found.gained), by_rule(found.lost)
    moved = by_rule(item.after for item in found.moved)
    for rule in sorted(was.keys() | is_now.keys()):
        counts = (of.get(rule, 0) for of in (was, is_now, gained, lost, moved))
        table.add_row(rule, *map(str, counts))
    console.print(table)


def _table_of_months(console: Console, found: Difference) -> None:
    if not found.months:
        return
    table = Table(Column("series", overflow="fold"), "month", "hours that changed", "verdict", "share")
    for item in found.months[:LISTED]:
        hours = ", ".join(
            f"{n} {old or 'none'} to {new or 'none'}" for (old, new), n in sorted(item.hours.items(), key=str)
        )
        before, after = item.before or "none", item.after or "none"
        verdict = f"{before} to {after}" if before != after else after
        table.add_row(
            " ".join(item.series),
            item.month,
            hours,
            verdict,
            f"{_share(item.share_before)} to {_share(item.share_after)}",
        )
    console.print(table)
    if len(found.months) > LISTED:
        print(f"and {len(found.months) - LISTED} more series and months (--json or --out has all)")


def _share(share: float | None) -> str:
    return "-" if share is None else f"{int(share * 10_000 + 1e-7) / 100:.2f} %"  # cut: 94.999 % is no 95.00 %


def _table(console: Console, left: str, right: str, rows: Sequence[tuple[str, str]]) -> None:
    table = Table(left, right)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _shown(options: Options) -> bool:
    return sys.stderr.isatty() and not options.as_json


@contextmanager
def _bar(sources: Sequence[Source], *, shown: bool) -> Iterator[OnHours]:
    """Of the hours that *sources* will judge."""
    of = TextColumn("{task.completed} of {task.total} hours of stacks")
    columns = (TextColumn("{task.description}"), BarColumn(), of, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as bar:
        task = bar.add_task("judging", total=sum(map(hours_to_judge, sources)))
        yield lambda more: bar.update(task, advance=more)
