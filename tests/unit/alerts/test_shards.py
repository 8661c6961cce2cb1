"""Fair shares of shards: all are worked on, nobody has two more than another, and little moves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alerts.shards import share_of
from store.queue import SHARDS
from store.shards import Held


def settled(workers: list[str], held: Held, turns: int = 3) -> dict[int, str | None]:
    """What stands after each of *workers* had its turns, one behind the other, as leases are renewed."""
    now = dict(held)
    for _ in range(turns):
        for me in workers:
            move = share_of(me, workers, now)
            now |= dict.fromkeys(move.release) | dict.fromkeys(move.take, me)
    return now


def shares(held: Held) -> dict[str | None, int]:
    return {owner: list(held.values()).count(owner) for owner in set(held.values())}


NOBODYS: Held = dict.fromkeys(range(SHARDS))


def test_one_worker_takes_everything() -> None:
    assert shares(settled(["a"], NOBODYS)) == {"a": SHARDS}


def test_a_new_worker_gets_its_share_and_nothing_else_moves() -> None:
    before = settled(["a", "b"], NOBODYS)
    after = settled(["a", "b", "c"], before)
    assert sorted(shares(after).values()) == [21, 21, 22]
    assert all(after[shard] in (owner, "c") for shard, owner in before.items())


def test_what_a_dead_worker_had_is_taken_over_and_nothing_else_moves() -> None:
    before = settled(["a", "b", "c"], NOBODYS)
    after = settled(["a", "c"], before)
    assert shares(after) == {"a": 32, "c": 32}
    assert all(after[shard] == owner for shard, owner in before.items() if owner != "b")


def test_nobody_takes_what_another_one_that_lives_holds() -> None:
    held = settled(["a"], NOBODYS)
    assert share_of("b", ["a", "b"], held).take == frozenset()


@given(
    st.lists(st.sampled_from("abcdefg"), min_size=1, unique=True),
    st.lists(st.sampled_from([None, *"abcdefgh"]), min_size=SHARDS, max_size=SHARDS),
)
def test_from_anywhere_all_are_worked_on_and_shares_are_fair(workers: list[str], owners: list[str | None]) -> None:
    after = settled(workers, dict(enumerate(owners)))
    counts = [list(after.values()).count(worker) for worker in workers]
    assert sum(counts) == SHARDS
    assert max(counts) - min(counts) <= 1
    assert settled(workers, after, turns=1) == after, "then nothing moves any more"
