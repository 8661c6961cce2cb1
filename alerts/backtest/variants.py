"""Under which packs a stack is judged: those that the register names, or others in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from plant.errors import BadDocument, Fault
from plant.packs import Pack, all_packs
from plant.register import Stack


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Packs that are tried, each in the place of the pack that `instead` names for it, or beside the others."""

    packs: tuple[Pack, ...] = ()
    instead: Mapping[str, str] = field(default_factory=dict)  #: name of the tried one to that of the one it replaces

    @property
    def is_none(self) -> bool:
        return not self.packs

    def __call__(self, stack: Stack) -> tuple[Pack, ...]:
        """The packs of *stack*, the tried ones where they know its process."""
        known = all_packs()
        judged = {name: known[name] for name in stack.packs}
        for pack in self.packs:
            old = self.instead.get(pack.name)
            if stack.process in pack.outlets.names and (old is None or old in judged):
                judged = {name: of for name, of in judged.items() if name not in (old, pack.name)}
                judged[pack.name] = pack
        return tuple(judged.values())


def variant_of(packs: Sequence[Pack], instead: Sequence[str]) -> Variant:
    """*packs* as they are tried; *instead* the names of those they replace, in the same order.

    A draft of the name of a pack that exists takes its place without being told so.

    Raises
    ------
    BadDocument
        For more names than packs, a name that is no pack's, and one that is given twice.
    """
    known = all_packs()
    faults = []
    if len(instead) > len(packs):
        faults.append(Fault("--instead-of", "needs a --pack or a --draft each"))
    faults += [
        Fault("--instead-of", f"there is no rule pack {name!r}; there are {', '.join(known)}")
        for name in instead
        if name not in known
    ]
    names = [pack.name for pack in packs]
    faults += [Fault("--pack", f"{name!r} is given twice") for name in sorted({n for n in names if names.count(n) > 1})]
    if faults:
        raise BadDocument("arguments", faults)
    replaced = dict(zip(names, instead, strict=False))
    drafts = {pack.name: pack.name for pack in packs if pack.name in known and pack is not known[pack.name]}
    return Variant(packs=tuple(packs), instead={**drafts, **replaced})
