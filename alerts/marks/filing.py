"""From drafts to marks: days of one condition that follow one another are filed as one mark. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from alerts.marks.drafting import JOINED_US

_JOINED: Final = timedelta(microseconds=JOINED_US)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDraft:
    """A draft with what no mark covers of it yet."""

    draft_id: str
    stack_id: int
    kind: str
    start: datetime
    end: datetime
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """A mark to be filed from drafts."""

    stack_id: int
    kind: str
    start: datetime
    end: datetime
    evidence: tuple[dict[str, Any], ...]
    drafts: tuple[str, ...]


def filings(drafts: Iterable[OpenDraft], *, longest: timedelta) -> list[Filing]:
    """*drafts* of one stack and kind that follow one another as one mark, none longer than *longest*."""
    found: list[Filing] = []
    for draft in sorted(drafts, key=lambda one: (one.stack_id, one.kind, one.start, one.draft_id)):
        last = found[-1] if found else None
        if (
            last is not None
            and (last.stack_id, last.kind) == (draft.stack_id, draft.kind)
            and draft.start <= last.end + _JOINED
            and draft.end - last.start <= longest
        ):
            found[-1] = _joined(last, draft)
        else:
            found.append(
                Filing(
                    stack_id=draft.stack_id,
                    kind=draft.kind,
                    start=draft.start,
                    end=draft.end,
                    evidence=(draft.evidence,),
                    drafts=(draft.draft_id,),
                )
            )
    return found


def _joined(last: Filing, draft: OpenDraft) -> Filing:
    return Filing(
        stack_id=last.stack_id,
        kind=last.kind,
        start=last.start,
        end=max(last.end, draft.end),
        evidence=(*last.evidence, draft.evidence),
        drafts=(*last.drafts, draft.draft_id),
    )
