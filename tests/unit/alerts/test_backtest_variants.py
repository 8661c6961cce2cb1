"""Under which packs a stack is judged when one is tried."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alerts.backtest.variants import Variant, variant_of
from history_builders import a_stack
from plant.errors import BadDocument
from plant.packs import Pack, pack
from plant.register import Stack

ULE = "cn-steel-ule-2019"
STATUTORY = "cn-gb28662-ordinary"


def names(variant: Variant, stack: Stack) -> list[str]:
    return [tried.name for tried in variant(stack)]


def a_draft(name: str = "draft") -> Pack:
    return replace(pack(ULE), name=name)


def test_without_a_pack_that_is_tried_a_stack_is_judged_as_registered() -> None:
    variant = variant_of([], [])
    assert variant.is_none
    assert names(variant, a_stack(packs=(ULE, STATUTORY))) == [ULE, STATUTORY]


def test_a_tried_pack_stands_beside_the_others() -> None:
    variant = variant_of([a_draft()], [])
    assert not variant.is_none
    assert names(variant, a_stack(packs=(ULE,))) == [ULE, "draft"]


def test_instead_of_another_it_takes_its_place_where_that_is_registered() -> None:
    variant = variant_of([a_draft()], [ULE])
    assert names(variant, a_stack(packs=(ULE, STATUTORY))) == [STATUTORY, "draft"]
    assert names(variant, a_stack(packs=(STATUTORY,))) == [STATUTORY]


def test_a_draft_of_the_name_of_a_pack_takes_its_place_untold() -> None:
    draft = a_draft(ULE)
    (judged,) = variant_of([draft], [])(a_stack(packs=(ULE,)))
    assert judged is draft


def test_a_pack_that_stands_already_is_not_judged_twice() -> None:
    assert names(variant_of([pack(ULE)], []), a_stack(packs=(ULE,))) == [ULE]


def test_a_stack_whose_process_the_tried_pack_does_not_know_keeps_its_own() -> None:
    coking = pack("cn-gb16171-2012-ordinary")
    assert "sinter_head" not in coking.outlets.names
    assert names(variant_of([coking], [ULE]), a_stack(packs=(ULE,))) == [ULE]


def test_each_of_two_takes_the_place_that_stands_at_its_own_position() -> None:
    variant = variant_of([a_draft("one"), a_draft("two")], [ULE])
    assert variant.instead == {"one": ULE}
    assert names(variant, a_stack(packs=(ULE, STATUTORY))) == [STATUTORY, "one", "two"]


@pytest.mark.parametrize(
    ("tried", "instead", "says"),
    [
        ([], [ULE], "needs a --pack or a --draft each"),
        (["draft"], ["nobody-knows"], "there is no rule pack 'nobody-knows'"),
        (["draft", "draft"], [], "'draft' is given twice"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_option(tried: list[str], instead: list[str], says: str) -> None:
    with pytest.raises(BadDocument) as refused:
        variant_of([a_draft(name) for name in tried], instead)
    assert says in str(refused.value)
