"""`packs`: what the rule packs say, and what is wrong in a new one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from plant.errors import BadDocument, Fault, PlantError
from plant.packs import Outlet, Pack, all_packs, pack, parse_pack
from stackwatch.running import fail


def show_all(*, as_json: bool) -> None:
    found = all_packs().values()
    if as_json:
        print(json.dumps([_head(item) for item in found], ensure_ascii=False))
        return
    for item in found:
        print(f"{item.name}  {item.version}  {item.title} / {item.title_zh}  [{item.mark}]")


def show_one(name: str, *, as_json: bool) -> None:
    found = pack(name)
    if as_json:
        print(json.dumps(_whole(found), ensure_ascii=False))
        return
    console = Console()
    console.print(f"{found.title} / {found.title_zh}", highlight=False)
    console.print(
        f"{found.instrument}, {found.clause}; {found.kind}; confidence {found.mark}", highlight=False, markup=False
    )
    table = Table("outlet", "base O2 %", "limits mg/m3", "confidence")
    for outlet in found.outlets.values():
        limits = ", ".join(f"{limit.pollutant} {limit.mg_m3:g}" for limit in outlet.limits.values())
        skipped = ", ".join(f"{item.pollutant} ({item.reason})" for item in found.skipped(outlet))
        shown = "\n".join(filter(None, (limits, f"not judged: {skipped}" if skipped else "")))
        table.add_row(f"{outlet.key}\n{outlet.name} / {outlet.name_zh}", _base(outlet), shown, outlet.mark)
    console.print(table)
    if found.month is not None:
        console.print(f"month: {found.month.clause} [{found.month.mark}]", highlight=False, markup=False)


def _base(outlet: Outlet) -> str:
    if outlet.base_o2_unset is not None:
        return "unset"
    return "none" if outlet.base_o2_vol_pct is None else f"{outlet.base_o2_vol_pct:g}"


def check(files: Sequence[Path]) -> None:
    errors: list[PlantError] = []
    for file in files:
        try:
            found = parse_pack(file.read_text(encoding="utf-8"), str(file))
        except BadDocument as error:
            errors.append(error)
        except (OSError, UnicodeDecodeError) as error:
            errors.append(BadDocument(str(file), [Fault("", f"cannot be read: {error}")]))
        else:
            print(f"{file}: {found.name} {found.version}, {len(found.outlets)} outlets, in order")
    if errors:
        fail(*errors)


def _head(found: Pack) -> dict[str, Any]:
    names = ("name", "version", "title", "title_zh", "instrument", "clause", "kind", "mark")
    return {name: getattr(found, name) for name in names}


def _whole(found: Pack) -> dict[str, Any]:
    outlets = {
        outlet.key: {
            "name": outlet.name,
            "name_zh": outlet.name_zh,
            "base_o2": outlet.base_o2_vol_pct,
            "base_o2_unset": outlet.base_o2_unset is not None,
            "limits": {limit.pollutant: limit.mg_m3 for limit in outlet.limits.values()},
            "not_judged": [{"pollutant": item.pollutant, "reason": item.reason} for item in found.skipped(outlet)],
            "mark": outlet.mark,
        }
        for outlet in found.outlets.values()
    }
    return {**_head(found), "outlets": outlets}
