"""Which stack a rule stage judges next, of those that wait.

    ABOVE     a running hour that is above its limit so far, and can have become irrecoverable since it was looked at;
              whatever else is asked about its stack
    LOSABLE   any other that can have: the minutes since would have to be far above it
    SETTLED   an hour that has ended by the site's clock, a mark, the register: what is settled for good
    RUNNING   other running hours: as often as there is time
    BULK      hours that only a new version of a pack or of the program asks for

The first three take turns, so that none waits for a burst of another; most turns are of the first. Within each the
oldest question first; now and then the oldest of all, so that nothing waits for ever. Pure, and only a matter of order:
whatever is asked is judged, and judged the same, in any order. Time comes in by `advance`, for each clock of its own
(live sites share one, a simulated site has its own).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from alerts.looking import NEVER, NextLook
from plant.periods import HOUR
from store.queue import Waiting

RANKS: Final = range(5)
ABOVE, LOSABLE, SETTLED, RUNNING, BULK = RANKS
TURNS: Final = (
    (ABOVE, LOSABLE, SETTLED, RUNNING, BULK),
    (ABOVE, SETTLED, LOSABLE, RUNNING, BULK),
    (SETTLED, ABOVE, LOSABLE, RUNNING, BULK),
)
_NO_LOOK: Final = NextLook(NEVER)
_BEFORE_ALL: Final = -NEVER  # no clock goes yet
PATIENCE: Final = 5
FAIR_EVERY: Final = 8  #: of so many stacks one is the oldest of all, whatever it is asked for


@dataclass(slots=True)
class Agenda:
    """The stacks that wait and those at work, in microseconds of each clock."""

    ended_after: int  #: how long after its end an hour has ended
    _waiting: dict[int, Waiting] = field(default_factory=dict)
    _at_work: dict[int, Waiting] = field(default_factory=dict)
    _held_back: dict[int, Waiting] = field(default_factory=dict)
    _looks: dict[int, NextLook] = field(default_factory=dict)
    _clocks: dict[int, int] = field(default_factory=dict)
    # Heaps keep entries that have become wrong; who pops one looks whether it still stands.
    _by_age: list[tuple[int, int]] = field(default_factory=list)  # first question, stack
    _by_rank: list[list[tuple[int, int]]] = field(default_factory=lambda: [[] for _ in RANKS])  # the same each
    _wakes: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # by clock: instant, stack
    _takes: int = 0
    _gave_way: int = 0  # since a stack that is ABOVE is at work

    def __len__(self) -> int:
        """How many stacks wait."""
        return len(self._waiting)

    def begin(self, waiting: Iterable[Waiting]) -> None:
        """Forget what waits, and begin anew with all that is asked."""
        self._waiting.clear()
        self._held_back.clear()
        self._by_rank, self._by_age, self._wakes = [[] for _ in RANKS], [], {}
        self.add(waiting)

    def add(self, waiting: Iterable[Waiting]) -> None:
        """Note further questions; those about one stack are answered together."""
        for new in waiting:
            old = self._waiting.get(new.stack_id)
            self._waiting[new.stack_id] = new if old is None else _both(old, new)
            self._place(new.stack_id)

    def advance(self, clocks: Mapping[int, int]) -> None:
        """It is later by some clocks: hours have ended. What was held back is tried again."""
        moved = [clock for clock, now in clocks.items() if self._clocks.get(clock) != now]
        self._clocks = dict(clocks)
        for clock in moved:
            wakes = self._wakes.get(clock, [])
            while wakes and wakes[0][0] <= clocks[clock]:
                self._place(heapq.heappop(wakes)[1])
        again, self._held_back = self._held_back, {}
        self.add(again.values())

    def take(self) -> int | None:
        """The stack to judge next, at work until `done` or `hold_back`; None where none waits, or all give way."""
        if self._gives_way():
            return None
        self._takes += 1
        stack_id = self._oldest() if self._takes % FAIR_EVERY == 0 else self._foremost(TURNS[self._takes % len(TURNS)])
        if stack_id is not None:
            self._at_work[stack_id] = self._waiting.pop(stack_id)
            self._held_back.pop(stack_id, None)  # a claim is of all that is asked
        return stack_id

    def _gives_way(self) -> bool:
        """Whether nothing is begun now, so that one that is ABOVE is judged undisturbed.

        A few times only: there may be many of them, or it waits itself for something.
        """
        if all(self._rank(held) != ABOVE for held in self._at_work.values()):
            self._gave_way = 0
            return False
        self._gave_way += 1
        return self._gave_way <= PATIENCE

    def done(self, stack_id: int, *, next_look: NextLook | None = None, more: bool = False) -> None:
        """It was judged. *more*: not all that was asked fitted into one transaction.

        Nothing irrecoverable can happen in its running hour before *next_look*, where that is known.
        """
        held = self._at_work.pop(stack_id)
        if next_look is None:
            self._looks.pop(stack_id, None)
        else:
            self._looks[stack_id] = next_look
        if more:
            self.add([held])
        self._place(stack_id)

    def glance(self, stack_id: int) -> tuple[int, int] | None:
        """(oldest hour asked, now) of a stack at work that is LOSABLE: there most looks find nothing."""
        held = self._at_work[stack_id]
        return (held.oldest_hour, self._clocks[held.clock]) if self._rank(held) == LOSABLE else None

    def look_later(self, stack_id: int, next_look: NextLook) -> None:
        """Nothing can have been lost, nor can be before *next_look*: what is asked about the stack waits on."""
        self._looks[stack_id] = next_look
        self.add([self._at_work.pop(stack_id)])

    def hold_back(self, stack_id: int) -> None:
        """It could not be judged now: somebody else holds what is asked. Not before the next `advance`."""
        self._held_back[stack_id] = self._at_work.pop(stack_id)
        self._place(stack_id)

    def _place(self, stack_id: int) -> None:
        """Line up a stack that waits and is not at work."""
        stack = self._waiting.get(stack_id)
        if stack is None or stack_id in self._at_work:
            return
        rank = self._rank(stack)
        heapq.heappush(self._by_rank[rank], (stack.first_id, stack_id))
        heapq.heappush(self._by_age, (stack.first_id, stack_id))
        wakes_at = self._wakes_at(stack, rank)
        if wakes_at is not None:
            heapq.heappush(self._wakes.setdefault(stack.clock, []), (wakes_at, stack_id))

    def _rank(self, stack: Waiting) -> int:
        if stack.bulk:
            return BULK
        now, look = self._clocks.get(stack.clock, _BEFORE_ALL), self._looks.get(stack.stack_id, _NO_LOOK)
        if now >= look.above_at:
            return ABOVE
        if stack.pressing or now >= self._ends_at(stack):
            return SETTLED
        return LOSABLE if now >= look.at else RUNNING

    def _ends_at(self, stack: Waiting) -> int:
        return stack.oldest_hour + HOUR + self.ended_after

    def _wakes_at(self, stack: Waiting, rank: int) -> int | None:
        """When a stack of this *rank* may come to another by the clock alone."""
        if rank in (ABOVE, BULK):
            return None
        now, look = self._clocks.get(stack.clock, _BEFORE_ALL), self._looks.get(stack.stack_id, _NO_LOOK)
        return min((at for at in (look.above_at, look.at, self._ends_at(stack)) if now < at < NEVER), default=None)

    def _foremost(self, order: Iterable[int]) -> int | None:
        for rank in order:
            heap = self._by_rank[rank]
            while heap:
                first_id, stack_id = heapq.heappop(heap)
                if self._stands(first_id, stack_id) and self._rank(self._waiting[stack_id]) == rank:
                    return stack_id
        return None

    def _oldest(self) -> int | None:
        while self._by_age:
            first_id, stack_id = heapq.heappop(self._by_age)
            if self._stands(first_id, stack_id):
                return stack_id
        return None

    def _stands(self, first_id: int, stack_id: int) -> bool:
        stack = self._waiting.get(stack_id)
        return stack is not None and stack.first_id == first_id and stack_id not in self._at_work


def _both(old: Waiting, new: Waiting) -> Waiting:
    return replace(
        old,
        first_id=min(old.first_id, new.first_id),
        last_id=max(old.last_id, new.last_id),
        oldest_hour=min(old.oldest_hour, new.oldest_hour),
        pressing=old.pressing or new.pressing,
        bulk=old.bulk and new.bulk,
    )
