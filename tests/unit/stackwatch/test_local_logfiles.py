from __future__ import annotations

from pathlib import Path

from stackwatch.local import logfiles


def test_a_log_within_its_bound_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_bytes(b"x" * 10)
    assert not logfiles.rotate(log, max_bytes=10)
    assert log.read_bytes() == b"x" * 10


def test_a_running_writer_goes_on_in_the_emptied_log(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    with logfiles.opened(log) as writer:
        writer.write(b"before\n")
        writer.flush()
        assert logfiles.rotate(log, max_bytes=3)
        writer.write(b"after\n")
    assert log.read_bytes() == b"after\n"
    assert (tmp_path / "api.log.1").read_bytes() == b"before\n"


def test_only_so_many_generations_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    for number in range(6):
        log.write_text(f"generation {number}")
        logfiles.rotate(log, max_bytes=0)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["api.log", "api.log.1", "api.log.2", "api.log.3"]
    assert (tmp_path / "api.log.3").read_text() == "generation 3"


def test_the_tail_is_the_last_lines_and_survives_any_bytes(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_bytes(b"\n".join([b"%d" % number for number in range(50)] + [b"\xff\xfe"]))
    assert logfiles.tail(log, lines=3) == ["48", "49", "\ufffd\ufffd"]


def test_a_log_that_is_not_there_has_no_tail(tmp_path: Path) -> None:
    assert logfiles.tail(tmp_path / "none.log") == []
