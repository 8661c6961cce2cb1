from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from stackwatch.local import folder
from stackwatch.local.folder import DataFolder, FolderUnusable, NotRunning, RunFile
from stackwatch.local.processes import Identity, started


def ourselves() -> Identity:
    return Identity(os.getpid(), started(os.getpid()) or "")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_and_all_in_it_is_private(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / "new" / "data")
    with data.locked():
        data.write_run_file(RunFile(database_url="postgresql://secret"))
        assert {mode(part) for part in (data.path, data.keys, data.broker, data.logs)} == {0o700}
        assert {mode(file) for file in (data.run_file, data.lock_file)} == {0o600}


def test_an_open_folder_of_ours_is_closed_and_its_parent_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    data = DataFolder(tmp_path / "data")
    data.path.mkdir()
    data.path.chmod(0o777)
    with data.locked():
        assert mode(data.path) == 0o710
        assert mode(tmp_path) == 0o755


def test_two_stackwatches_on_one_folder_refuse_and_name_the_first(tmp_path: Path) -> None:
    with (
        DataFolder(tmp_path / "data").locked(),
        pytest.raises(FolderUnusable, match=rf"another stackwatch \(pid {os.getpid()}\) runs on {tmp_path}/data"),
        DataFolder(tmp_path / "data").locked(),
    ):
        pass


def test_the_lock_is_free_again_afterwards(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / "data")
    for _ in range(2):
        with data.locked():
            assert data.lock_file.read_text() == f"{os.getpid()}\n"


def test_a_folder_with_other_things_in_it_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    before = mode(tmp_path)
    with pytest.raises(FolderUnusable, match="not empty"), DataFolder(tmp_path).locked():
        pass
    assert mode(tmp_path) == before


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(FolderUnusable, match="is no folder"), DataFolder(tmp_path / "data").locked():
        pass


def test_what_a_running_stack_says_is_read_back(tmp_path: Path) -> None:
    data = DataFolder(tmp_path)
    run = RunFile(
        supervisor=ourselves(),
        database_url="postgresql://u:p@127.0.0.1:1/d",
        mqtt_url="mqtt://127.0.0.1:2",
        http_url="http://127.0.0.1:3",
        ports={"http": 3},
        processes={"api": ourselves()},
    )
    with data.locked():
        data.write_run_file(run)
    assert folder.read_run_file(tmp_path) == run


def test_a_folder_whose_stackwatch_was_killed_does_not_count_as_running(tmp_path: Path) -> None:
    data = DataFolder(tmp_path)
    with data.locked():
        data.write_run_file(RunFile(supervisor=Identity(os.getpid(), "some other start")))
    with pytest.raises(NotRunning, match="stackwatch up --data"):
        folder.read_run_file(tmp_path)


def test_a_folder_on_which_nothing_ever_ran_does_not_count_as_running(tmp_path: Path) -> None:
    with pytest.raises(NotRunning):
        folder.read_run_file(tmp_path / "none")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"supervisor": {"pid": 1}}'])
def test_a_spoilt_run_file_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    data = DataFolder(tmp_path)
    data.run_file.write_text(text)
    assert data.last_run() == RunFile()


def test_only_a_data_folder_is_ever_deleted(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(FolderUnusable, match="no data folder"):
        folder.remove(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_a_folder_in_use_is_not_deleted(tmp_path: Path) -> None:
    data = DataFolder(tmp_path)
    with data.locked(), pytest.raises(FolderUnusable, match="another stackwatch"):
        folder.remove(tmp_path)
    folder.remove(tmp_path)
    assert not tmp_path.exists()


def test_the_default_folder_follows_the_desktop_convention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert folder.default_folder({"XDG_DATA_HOME": "/d"}) == Path("/d/stackwatch")
    home_share = Path.home() / ".local" / "share" / "stackwatch"
    assert folder.default_folder({}) == home_share
    assert folder.default_folder({"XDG_DATA_HOME": "relative"}) == home_share


def test_the_default_folder_of_root_is_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert folder.default_folder({"XDG_DATA_HOME": "/d"}) == Path("/var/lib/stackwatch")
