"""What a rule says, in its own words: the headings of its module's docstring, and how often it is wrong.

The docstring is the one place where a rule is explained; API, page and manual quote it. The share of false leads is
measured over the labelled scenarios (`benchmarks.rules`) and published with the rule.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

HEADINGS: Final = {
    "What it says": "says",
    "Why it matters": "why",
    "Not for": "not_for",
    "Source": "source",
    "What else explains it": "otherwise",
}
BASELINE: Final = "baseline.json"

_HEADING: Final = re.compile(rf"^({'|'.join(HEADINGS)})\s+(?=\S)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The text behind each heading; empty where a module has none."""

    says: str = ""
    why: str = ""
    not_for: str = ""
    source: str = ""
    otherwise: str = ""  #: what else explains a lead


@cache
def explained(module: str) -> Explained:
    """The headings of the docstring of *module*, each as one line. A paragraph without a heading is left out."""
    docstring = inspect.getdoc(importlib.import_module(module)) or ""
    found: dict[str, str] = {}
    for paragraph in docstring.split("\n\n"):
        parts = _HEADING.split(paragraph)
        found |= {
            HEADINGS[heading]: " ".join(text.split()) for heading, text in zip(parts[1::2], parts[2::2], strict=True)
        }
    return Explained(**found)


@cache
def false_per_stack_month() -> Mapping[str, float]:
    """By rule, the alerts a month of an honest stack that were false in the measured scenarios; empty unmeasured."""
    packaged = files("alerts.rules").joinpath(BASELINE)
    if not packaged.is_file():
        return {}
    rules = json.loads(packaged.read_text(encoding="utf-8"))["rules"]
    figures = {rule: figures.get("false_per_stack_month") for rule, figures in rules.items()}
    return {rule: float(share) for rule, share in figures.items() if share is not None}
