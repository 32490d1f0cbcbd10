"""Files that are written whole, and only over what this program wrote."""

import json
import os

import pytest

from agents import atomic_files
from agents.atomic_files import RECORD, check_places, remove, write_atomically, write_record


@pytest.fixture
def folder(tmp_path):
    """A folder with a record, and a file that was written twice."""
    write_record(tmp_path, {})
    for content in (b"old", b"new"):
        write_atomically(tmp_path / "table.csv", content)
    return tmp_path


def test_what_was_written_is_replaced(folder):
    check_places(folder, ["table.csv", "*.csv"])
    write_atomically(folder / "table.csv", b"newer")
    assert (folder / "table.csv").read_bytes() == b"newer"
    remove(folder / "table.csv")
    assert not (folder / "table.csv").exists()


@pytest.mark.parametrize("name", ["table.csv", "figure.png", "../page.md", "sub/model.zip"])
def test_a_file_that_was_not_written_is_kept(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"^[^\n]* is not as this program wrote it: move it away[^\n]*$"):
        check_places(folder, [name])
    with pytest.raises(FileExistsError, match="not as this program wrote it"):
        write_atomically(folder / name, b"new", folder)
    with pytest.raises(FileExistsError, match="not as this program wrote it"):
        remove(folder / name, folder)
    assert (folder / name).read_bytes() == b"mine"


@pytest.mark.parametrize("record", [b"", b"[]", b'{"table.csv": 1}', b"[" * 10**5, b"\xff"])
def test_a_damaged_record_names_no_file(folder, record):
    (folder / RECORD).write_bytes(record)
    with pytest.raises(ValueError, match="not as this program wrote it"):
        check_places(folder, ["table.csv"])


@pytest.mark.parametrize("killed_at", [RECORD, "table.csv"])
def test_after_a_kill_the_file_is_the_programs_whether_old_or_new(folder, killed_at, monkeypatch):
    replace = atomic_files._replace

    def kill(path, content):
        if path.name == killed_at:
            raise KeyboardInterrupt
        replace(path, content)

    monkeypatch.setattr(atomic_files, "_replace", kill)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(folder / "table.csv", b"newer")
    monkeypatch.undo()
    check_places(folder, ["table.csv"])
    write_atomically(folder / "table.csv", b"newest")
    assert (folder / "table.csv").read_bytes() == b"newest"


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "broken link", "loop"])
@pytest.mark.parametrize("name", ["model.zip", "logs/", "data/row.parquet"])
def test_anything_else_of_a_name_is_refused(tmp_path, kind, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    target = {"link": tmp_path, "broken link": tmp_path / "nothing", "loop": path}
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.touch() if name.endswith("/") else path.mkdir()
    else:
        path.symlink_to(target[kind])
    with pytest.raises(ValueError, match=r"^[^\n]*(model.zip|logs|row.parquet)[^\n]*$"):
        check_places(tmp_path, [name])


@pytest.mark.parametrize("way", ["data", "data/tiny"])
def test_a_file_in_the_way_of_a_folder_is_refused(tmp_path, way):
    (tmp_path / way).parent.mkdir(exist_ok=True)
    (tmp_path / way).touch()
    with pytest.raises(ValueError, match=f"{way} must be a folder, or not be there"):
        check_places(tmp_path, ["data/tiny/row.parquet"])


def test_files_that_grow_are_the_programs_as_long_as_they_have_their_name(folder):
    atomic_files.record_growing(folder, ["study.log"])
    (folder / "study.log").write_bytes(b"grown")
    check_places(folder, ["study.log"])
    write_atomically(folder / "study.log", b"gro")
    assert json.loads((folder / RECORD).read_bytes())["study.log"] == []


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_an_error_of_the_system_names_the_file(tmp_path, monkeypatch, failing):
    def fail(*_):
        raise OSError(27, "File too large")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match=r"File too large: '.*table.csv'"):
        write_atomically(tmp_path / "table.csv", b"content")
