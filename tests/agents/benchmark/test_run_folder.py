"""Run folders: what they record, and what they refuse."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

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
