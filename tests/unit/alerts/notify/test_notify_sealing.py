"""Secrets at rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.notify.sealing import Unopenable, load_seal, new_key
from plant.errors import BadDocument


def keys(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_what_is_sealed_shows_nothing_and_opens_with_its_key(tmp_path: Path) -> None:
    seal = load_seal(keys(tmp_path / "k", new_key()))
    sealed = seal.close({"url": "https://example.com/hook/secret"})
    assert b"secret" not in sealed
    assert seal.open(sealed) == {"url": "https://example.com/hook/secret"}


def test_a_key_is_changed_by_a_new_line_on_top(tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    before = load_seal(keys(tmp_path / "old", old)).close({"n": 1})
    both = load_seal(keys(tmp_path / "both", new, "", old))
    assert both.open(before) == {"n": 1}
    assert load_seal(keys(tmp_path / "new", new)).open(both.close({"n": 2})) == {"n": 2}


def test_without_its_key_it_stays_closed(tmp_path: Path) -> None:
    sealed = load_seal(keys(tmp_path / "a", new_key())).close({})
    with pytest.raises(Unopenable, match="STACKWATCH_SECRETS_KEY_FILE"):
        load_seal(keys(tmp_path / "b", new_key())).open(sealed)


@pytest.mark.parametrize("text", ["", "no key at all", "c2hvcnQ="])
def test_a_file_that_holds_no_keys_is_refused_without_being_quoted(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadDocument) as caught:
        load_seal(keys(tmp_path / "k", text))
    assert not text or text not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadDocument, match="nowhere"):
        load_seal(str(tmp_path / "nowhere"))
