from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestor.notes import _state
from plant import wire
from plant.errors import Undecodable

SOURCE = {"kind": "hj212.listen", "ok": False, "detail": "no logger", "tolerated": {"crc": 3}, "restarts": 2}


SENT = {"connected": False, "last_confirmed": "2026-11-20T00:00:00Z", "waiting": 12, "refused": {"4": 3}, "rate": 0.5}


def kept(more: dict[str, Any]) -> dict[str, Any]:
    return _state(json.loads(wire.state_bytes(online=True, version="1.0", outbox=2, more=more)))


def test_what_an_edge_says_of_its_sources_is_kept() -> None:
    said = {
        "sources": {"logger-1": SOURCE, "up": SOURCE | {"figures": SENT}},
        "agent_file": {"ok": True, "detail": "in use"},
    }
    assert kept(said) == {"online": True, "version": "1.0", "outbox": 2, "oldest": None, "dropped": 0} | said


def test_strange_parts_are_left_out_and_the_rest_of_the_state_stands() -> None:
    odd: dict[str, Any] = {
        "sources": {
            "no name!": SOURCE,
            "n": 3,
            "s": {"ok": "yes", "detail": ["x"], "tolerated": {"k": -1, "b\n": 2}, "restarts": True, "figures": 1},
        },
        "hook": [],
        "secrets": {"password": "x"},
    }
    state = kept(odd)
    assert state["sources"] == {"s": {"kind": "", "ok": False, "detail": "", "tolerated": {"b": 2}, "restarts": 0}}
    assert set(state) == {"online", "version", "outbox", "oldest", "dropped", "sources"}


def test_a_large_state_is_cut_to_its_bounds() -> None:
    counts = {f"kind-{n}": n for n in range(1000)}
    figures = {f"counts-{n}": counts for n in range(3)} | {f"figure-{n}": "x" * 1000 for n in range(1000)}
    loud = SOURCE | {"detail": "x" * 100_000, "tolerated": counts, "figures": figures}
    state = kept({"sources": {f"s{n}": loud for n in range(1000)}, "hook": {"ok": True, "detail": "y" * 100_000}})
    assert len(state["sources"]) == 64
    assert len(json.dumps(state)) < 500_000


def test_a_state_without_online_is_refused() -> None:
    with pytest.raises(Undecodable):
        _state({"sources": {}})


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(sources=_JSON | st.dictionaries(st.sampled_from(["a", "b"]), _JSON), hook=_JSON)
def test_no_word_of_an_edge_is_an_error_of_ours(sources: Any, hook: Any) -> None:
    state = _state({"online": True, "sources": sources, "hook": hook, "agent_file": sources})
    assert json.dumps(state, allow_nan=False).isascii()
