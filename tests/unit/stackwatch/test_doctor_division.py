"""What `doctor` says of several ingestors."""

from __future__ import annotations

from typing import Any

from api.routes.health import NAMED
from stackwatch.commands.doctor import division
from store.health import Beat

REGIONS = {"anshan": "north", "benxi": "north", "qujing": "south"}


def an_ingestor(name: str, *, age_s: float = 1.0, ok: bool = True, **share: Any) -> Beat:
    return Beat(component="ingestor", instance=name, age_s=age_s, ok=ok, detail={"share": share} if share else {})


def said(*beats: Beat, regions: dict[str, str] = REGIONS) -> list[tuple[bool, str]]:
    return [(one.ok, one.sentence) for one in division(regions, beats)]


def test_one_ingestor_that_takes_everything_needs_no_words() -> None:
    assert said(an_ingestor("one")) == []


def test_sites_that_no_running_ingestor_takes_are_named() -> None:
    north = an_ingestor("north", regions=["north"])
    for other in (
        an_ingestor("south", age_s=600.0, regions=["south"]),
        an_ingestor("south", ok=False, regions=["south"]),
    ):
        ((ok, sentence),) = said(north, other)
        assert not ok
        assert sentence.startswith("no running ingestor takes the messages of 1 site (qujing): give them to one by ")


def test_a_long_list_of_sites_is_cut() -> None:
    regions = {f"s{n}": "south" for n in range(NAMED + 1)} | {"anshan": "north"}
    ((ok, sentence),) = said(an_ingestor("north", regions=["north"]), regions=regions)
    assert not ok
    assert "of 6 sites (s0, s1, s2, s3, s4, ...)" in sentence


def test_parts_that_make_a_whole_are_well() -> None:
    north, south = an_ingestor("north", regions=["north"]), an_ingestor("south", sites=["qujing"])
    assert said(north, south) == [(True, "2 running ingestors take all sites together")]


def test_two_that_each_read_everything_are_told_to_divide() -> None:
    whole, wasteful = said(an_ingestor("a"), an_ingestor("b"))
    assert whole == (True, "2 running ingestors take all sites together")
    assert not wasteful[0]
    assert "2 ingestors each read every message" in wasteful[1]
    assert said(an_ingestor("a", group="g"), an_ingestor("b", group="g")) == [whole]


def test_where_no_ingestor_is_well_that_is_said_elsewhere() -> None:
    assert said(an_ingestor("a", ok=False), Beat(component="stage", instance="s", age_s=1, ok=True, detail={})) == []
