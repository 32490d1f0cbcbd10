"""Run folders: what they record, and what they refuse."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from agents.atomic_files import RECORD, write_atomically, write_record
from agents.benchmark.run_folder import RunFolder, check_arguments, environment
from mesa_env import GAMES
from mesa_env.rules.parameters import build_game


@dataclass(frozen=True)
class Arguments:
    out: Path = Path("run")
    turns: int = 5
    resume: bool = False


def read(path):
    return json.loads(path.read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("rules", GAMES)
def test_a_run_is_recorded_with_its_game(tmp_path, rules):
    game = GAMES[rules](initial_goal=(-0.5, 0.25))
    with RunFolder(tmp_path / "run", "train") as folder:
        folder.record(Arguments(), game)
    assert read(tmp_path / "run" / "config.json") == {
        "command": "train",
        "out": "run",
        "turns": 5,
        "resume": False,
    }
    assert read(tmp_path / "run" / "environment.json")["versions"]["numpy"] == np.__version__
    assert build_game(read(tmp_path / "run" / "game.json")) == game


def test_numbers_that_are_not_finite_are_null_in_json(tmp_path):
    with RunFolder(tmp_path, "train") as folder:
        folder.json("numbers.json", {"a": [1.5, math.nan], "b": (math.inf,), "c": tmp_path})
    assert read(tmp_path / "numbers.json") == {"a": [1.5, None], "b": [None], "c": str(tmp_path)}


def test_a_file_cannot_be_a_run_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="must be writable"):
        RunFolder(tmp_path / "file" / "run", "train")


@pytest.mark.parametrize("name", ["new", "new/a/b", "new/../other/a", f"new/{'x' * 300}/a"])
def test_a_folder_that_is_refused_leaves_nothing_behind(tmp_path, name):
    with pytest.raises(ValueError, match=r"--resume needs a run|must be writable"):
        RunFolder(tmp_path / name, "train", resume=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [".", "new", "new/a/b"])
def test_a_folder_that_is_closed_unclaimed_leaves_nothing_behind(tmp_path, name):
    with RunFolder(tmp_path / name, "train"):
        assert (tmp_path / name / ".lock").exists()
    assert not list(tmp_path.iterdir())


def test_a_lock_that_another_process_holds_is_not_removed(tmp_path):
    with RunFolder(tmp_path / "run", "train"):
        lock = tmp_path / "run" / ".lock"
        with pytest.MonkeyPatch.context() as patch:  # it came after this process had looked
            patch.setattr("os.path.lexists", lambda path: False)
            with pytest.raises(ValueError, match="in use by another process"):
                RunFolder(tmp_path / "run", "train")
        assert lock.exists()


@pytest.mark.parametrize("content", ["{", '["mine"]', '{"mine": []}', '{"config.json": "mine"}', "{}{}"])
@pytest.mark.parametrize("name", [RECORD, f".{RECORD}.12.mesa-env-partial"])
def test_a_file_that_is_called_as_the_record_and_is_not_one_is_kept(tmp_path, content, name):
    (tmp_path / name).write_text(content)
    if name != RECORD and content == "{":  # as much of an empty record as a killed process may have written
        RunFolder(tmp_path, "train").close()
        assert not (tmp_path / name).exists()
        return
    with pytest.raises(ValueError, match="must start in a new or empty folder, or one of its own"):
        RunFolder(tmp_path, "train")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == content


@pytest.mark.parametrize("name", ["config.json", "game.json", "table.csv"])
def test_a_half_written_file_without_a_record_is_the_users(tmp_path, name):
    (tmp_path / f".{name}.12.mesa-env-partial").write_text("mine")
    with pytest.raises(ValueError, match="must start in a new or empty folder, or one of its own"):
        RunFolder(tmp_path, "train")
    assert (tmp_path / f".{name}.12.mesa-env-partial").read_text() == "mine"


@pytest.mark.parametrize("half", [None, RECORD, "config.json"])
@pytest.mark.parametrize("recorded", [{}, {"config.json": ["0" * 64]}])
def test_a_folder_whose_run_was_killed_before_it_had_a_config_is_new(tmp_path, half, recorded):
    write_record(tmp_path, recorded)
    if half:
        (tmp_path / f".{half}.12.mesa-env-partial").write_text('{"comm')
    with RunFolder(tmp_path, "train") as folder:
        folder.claim()
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "config.json", RECORD}
    with RunFolder(tmp_path, "train") as folder:
        assert folder.begun


@pytest.mark.parametrize("record", [None, b"", b"[]", b"\xff"])
def test_a_run_without_a_whole_record_is_refused_by_the_name_of_the_record(tmp_path, record):
    with RunFolder(tmp_path, "train") as folder:
        folder.claim()
    (tmp_path / RECORD).unlink() if record is None else (tmp_path / RECORD).write_bytes(record)
    with pytest.raises(ValueError, match=rf"{RECORD}, the record of what was written there, is missing or"):
        RunFolder(tmp_path, "train")
    assert (tmp_path / "config.json").exists()


@pytest.mark.parametrize("name", ["u", "sub/u", "sub/deeper/u"])
def test_only_what_the_run_wrote_is_removed(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with RunFolder(tmp_path / "run", "train") as folder:
        folder.claim()
        write_atomically(path, b"own", folder.path)
        folder.remove(f"../{name}")
        assert not path.exists()
        path.write_text("mine")
        with pytest.raises(FileExistsError, match="not as this program wrote it"):
            folder.remove(f"../{name}")
    assert path.read_text() == "mine"


def test_a_folder_within_one_that_does_not_exist_is_refused_unless_it_may_be_new(tmp_path):
    (tmp_path / "file").touch()
    for name in ("docs", "docs/deeper", "file"):
        with pytest.raises(ValueError, match=r"^--docs must name a folder; there is no folder \S+$"):
            RunFolder.within(tmp_path / name, "maps", "maps", ())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with RunFolder.within(tmp_path / "docs", "maps", "maps", (), new=True) as folder:
        folder.claim()
    assert (tmp_path / "docs" / "maps" / "config.json").exists()


def test_figures_have_the_resolution_and_metadata_that_are_asked_for(tmp_path):
    figure, folder = Figure(figsize=(2, 1)), RunFolder(tmp_path, "train")
    folder.figure("figure.png", figure)
    assert matplotlib.image.imread(tmp_path / "figure.png").shape[:2] == (150, 300)
    assert b"Software" in (tmp_path / "figure.png").read_bytes()
    folder.figure("small.png", figure, dpi=50, versioned=False)
    folder.close()
    assert matplotlib.image.imread(tmp_path / "small.png").shape[:2] == (50, 100)
    assert b"Software" not in (tmp_path / "small.png").read_bytes()


def test_the_environment_names_the_revision_and_the_versions():
    here = environment()
    assert {"git_revision", "python", "platform", "processor", "versions"} <= set(here)
    assert here["versions"]["numpy"] == np.__version__


class TestCheckArguments:
    def test_the_same_arguments_pass_and_free_ones_may_differ(self, tmp_path):
        (tmp_path / "config.json").write_text(json.dumps({"out": "elsewhere", "turns": 5, "resume": False}))
        check_arguments(Arguments(tmp_path, resume=True))
        check_arguments(Arguments(tmp_path, turns=6), free=("out", "turns"))

    def test_another_argument_is_named_with_both_values(self, tmp_path):
        (tmp_path / "config.json").write_text(json.dumps({"turns": 5, "resume": False}))
        with pytest.raises(ValueError, match=r"other arguments: turns was 5 and is now 6$"):
            check_arguments(Arguments(tmp_path, turns=6))

    @pytest.mark.parametrize("content", [None, "{", "[]", "\xff"])
    def test_a_folder_without_a_record_is_refused(self, tmp_path, content):
        if content is not None:
            (tmp_path / "config.json").write_text(content, encoding="latin-1")
        with pytest.raises(ValueError, match=r"config.json must hold the arguments of the run beside it"):
            check_arguments(Arguments(tmp_path))
