"""Which shards a worker takes and which it lets go of, so that all are worked on and everybody has a fair share.

Pure: every worker decides by the same picture for itself alone. Shares differ by one at most, and a shard moves only
where that is needed for it; who has too much lets go first, who has too little takes what nobody has.
"""

from __future__ import annotations

from collections.abc import Sequence

from store.shards import Held, Move


def share_of(me: str, workers: Sequence[str], held: Held) -> Move:
    """What *me* moves, where *workers* are all that live, *me* among them."""
    own = sorted((shard for shard, owner in held.items() if owner == me), key=_spread)
    free = sorted((shard for shard, owner in held.items() if owner not in workers), key=_spread)
    quota = _quotas(workers, held)[me]
    return Move(take=frozenset(free[: max(0, quota - len(own))]), release=frozenset(own[quota:]))


def _quotas(workers: Sequence[str], held: Held) -> dict[str, int]:
    """How many shards each worker is to have; the odd ones go to those that have most already."""
    each, odd = divmod(len(held), len(workers))
    counts = {worker: sum(owner == worker for owner in held.values()) for worker in workers}
    by_count = sorted(workers, key=lambda worker: (-counts[worker], worker))
    return {worker: each + (place < odd) for place, worker in enumerate(by_count)}


def _spread(shard: int) -> int:
    """An order in which neighbours lie far apart: the stacks of a site follow one another, and each works on some."""
    return int(f"{shard:016b}"[::-1], 2)
