"""What every command that writes a run folder owes it: one command at a time, and only its own files."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agents.atomic_files import write_record
from agents.benchmark.run_folder import RunFolder
from agents.learning.settings import NeuralSettings, PPOSettings
from scripts import (
    certificates,
    demo,
    evaluate,
    kitchens,
    maps,
    report,
    reproduce,
    speed,
    sweep,
    train,
    train_neural,
    tune,
)
from scripts.experiments import page
from scripts.game_arguments import GameArguments
from tests.agents.benchmark.test_summaries import FEW, SMALL, made_up_rows
from tests.conftest import refused
from tests.scripts.test_report import write_sweep

GRID = """
algorithms = ["ppo"]
seeds = 1
turns = 64
[games.tiny]
train = 3
deploy = 5
[parameters.ppo]
games = 8
"""
GAME = GameArguments(train=3, deploy=5)
NEURAL = GameArguments(rules="Decoupling", train=2, deploy=2, decoupling=10.0)
TINY = PPOSettings(turns=8 * 8 * 3, games=8, hidden=8)
CERTIFIED = {"games": ("Misconception",), "regularizations": (0.0,), "train": (2,), "learning_rates": (0.1,)}
COMMANDS = {
    "certificates": (certificates, certificates.Arguments(**CERTIFIED, deploy=3)),
    "demo": (demo, demo.Arguments(turns=6400)),
    "evaluate": (evaluate, evaluate.Arguments(agents=("myopic",), game=GAME, games=2)),
    "kitchens": (kitchens, kitchens.Arguments(("TableSetting",), ("reward",), (0,), steps=100)),
    "maps": (maps, maps.Arguments(points=4, figures=("train-deploy",))),
    "reproduce": (reproduce, reproduce.Arguments(names=("one",))),
    "speed": (speed, speed.Arguments(repeats=1, games=2, environments=2)),
    "sweep": (sweep, sweep.Arguments(workers=1)),
    "train": (train, train.Arguments(game=GAME, settings=TINY)),
    "train_neural": (
        train_neural,
        train_neural.Arguments(game=NEURAL, settings=NeuralSettings(iterations=2, games=2, hidden=(4,))),
    ),
    "tune": (tune, tune.Arguments(algorithm="a2c", turns=200, trials=1, seeds=1, game=GAME)),
}
RESUMABLE = ("sweep", "train", "tune")


def start(command, out, **changes):
    """A command and its arguments, for a run in `out`."""
    module, arguments = COMMANDS[command]
    if command == "sweep":
        grid = out.parent / "grid.toml"
        grid.write_text(GRID)
        changes["grid"] = grid
    return module.main, dataclasses.replace(arguments, out=out, **changes)


def owner(command):
    """The name that a command's folders have in their config.json."""
    return "train" if command == "demo" else command


def contents(folder):
    """Every path below a folder, with the bytes of files, and where links lead."""
    return {
        path.relative_to(folder): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("held", [".env", "config.json", "figure.png", "data/notes.txt"])
def test_a_folder_with_other_content_is_refused_untouched(tmp_path, capsys, command, held):
    out = tmp_path / "mine"
    (out / held).parent.mkdir(parents=True)
    (out / held).write_text('{"mine": true}')
    before = contents(out)
    message = refused(capsys, *start(command, out))
    assert message == (
        f"error: a run must start in a new or empty folder, or one of its own; {out} holds "
        f"{Path(held).parts[0]!r}"
    )
    assert contents(out) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_of_another_command_is_refused_untouched(tmp_path, capsys, command):
    other = "evaluate" if command != "evaluate" else "train"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text(json.dumps({"command": other}))
    before = contents(tmp_path / "out")
    assert f"holds a run of {other}, not of {owner(command)}" in refused(
        capsys, *start(command, tmp_path / "out")
    )
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("link", "target"),
    [("model.zip", "file"), ("table.csv", "file"), ("tensorboard", "."), (".lock", "file")],
)
def test_links_in_a_folder_of_its_own_are_refused_and_what_they_lead_to_is_kept(
    tmp_path, capsys, command, link, target
):
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.json").write_text(json.dumps({"command": owner(command)}))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("mine")
    (out / link).symlink_to(tmp_path / "elsewhere" / target)
    before = contents(tmp_path)
    changes = {"resume": True} if command in RESUMABLE else {}
    message = refused(capsys, *start(command, out, **changes))
    assert message == f"error: a run folder must hold no symbolic links; {out / link} is one"
    (tmp_path / "grid.toml").unlink(missing_ok=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", RESUMABLE)
def test_a_folder_in_which_there_is_nothing_to_resume_is_not_left_behind(tmp_path, capsys, command):
    out = tmp_path / "new"
    assert f"needs a run of {command} to continue" in refused(capsys, *start(command, out, resume=True))
    assert not out.exists()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_in_use_is_refused_before_anything_else_is_said_about_it(tmp_path, capsys, command, resume):
    out = tmp_path / "out"
    changes = {"resume": True} if resume and command in RESUMABLE else {}
    with RunFolder(out, owner(command)) as folder:
        folder.claim()
        before = contents(out)
        assert f"{out} is in use by another process" in refused(capsys, *start(command, out, **changes))
        assert contents(out) == before


@pytest.mark.parametrize("command", ["evaluate", "maps", "train_neural"])
def test_what_the_user_added_to_a_run_is_kept_when_the_run_is_replaced(tmp_path, command):
    out = tmp_path / "out"
    main, arguments = start(command, out)
    main(arguments)
    (out / "notes.txt").write_text("mine")
    (out / ".git").mkdir()
    (out / ".git" / "HEAD").write_text("mine")
    first = contents(out)
    main(arguments)
    assert contents(out).keys() == first.keys()
    assert (out / "notes.txt").read_text() == (out / ".git" / "HEAD").read_text() == "mine"


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    main, arguments = start("evaluate", tmp_path)
    write_record(tmp_path, {"config.json": []})
    (tmp_path / ".config.json.123.mesa-env-partial").write_text("{")
    (tmp_path / ".lock").write_text("")
    main(arguments)
    (tmp_path / ".games.csv.99.mesa-env-partial").write_text("half")
    main(arguments)
    assert not list(tmp_path.glob("*.mesa-env-partial"))


def test_a_report_is_not_written_over_another_page(tmp_path, capsys):
    sweep_folder, out = write_sweep(tmp_path / "sweep", made_up_rows(SMALL, FEW, range(3))), tmp_path / "docs"
    out.mkdir()
    (out / "benchmark.md").write_text("mine")
    arguments = report.Arguments(sweep_folder, out)
    assert "benchmark.md is not as this program wrote it" in refused(capsys, report.main, arguments)
    assert (out / "benchmark.md").read_text() == "mine"
    (out / "benchmark.md").unlink()
    (out / "benchmark").mkdir()
    (out / "benchmark" / "summary.csv").write_text("mine")
    assert "holds 'summary.csv'" in refused(capsys, report.main, arguments)
    (out / "benchmark" / "summary.csv").unlink()
    for _ in range(2):
        report.main(arguments)
    assert (out / "benchmark.md").read_text().startswith("# ")


@pytest.mark.parametrize("command", ["certificates", "maps", "reproduce"])
@pytest.mark.parametrize("spoiled", ["out", "docs"])
def test_a_refused_out_leaves_docs_as_they_were_and_the_other_way_round(tmp_path, capsys, command, spoiled):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "results.md").write_text(page.assemble("", {"one": "An old section."}))
    inside = "results" if command == "reproduce" else command
    mine = tmp_path / "out" if spoiled == "out" else tmp_path / "docs" / inside
    mine.mkdir()
    (mine / "mine.txt").write_text("mine")
    before = contents(tmp_path)
    assert "holds 'mine.txt'" in refused(capsys, *start(command, tmp_path / "out", docs=tmp_path / "docs"))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", ["certificates", "maps", "reproduce"])
def test_documentation_that_does_not_exist_is_not_created(tmp_path, capsys, command):
    main, arguments = start(command, tmp_path / "out", docs=tmp_path / "docs")
    assert "--docs must name a folder" in refused(capsys, main, arguments)
    assert not list(tmp_path.iterdir())


def test_maps_are_not_drawn_over_other_pictures_of_the_documentation(tmp_path, capsys):
    main, arguments = start("maps", tmp_path / "out", docs=tmp_path / "docs")
    (tmp_path / "docs" / "maps").mkdir(parents=True)
    (tmp_path / "docs" / "maps" / "train-deploy.png").write_text("mine")
    assert "holds 'train-deploy.png'" in refused(capsys, main, arguments)
    assert (tmp_path / "docs" / "maps" / "train-deploy.png").read_text() == "mine"
    assert not (tmp_path / "out" / "config.json").exists()


def test_results_are_not_written_over_another_page(tmp_path, capsys):
    main, arguments = start("reproduce", tmp_path / "out", docs=tmp_path)
    (tmp_path / "results.md").write_text("# My results\n")
    assert "must name a folder with a results.md of this command" in refused(capsys, main, arguments)
    assert (tmp_path / "results.md").read_text() == "# My results\n"
    page_of_ours = page.assemble("", {"one": "An old section."})
    (tmp_path / "results.md").unlink()
    (tmp_path / "elsewhere.md").write_text(page_of_ours)
    (tmp_path / "results.md").symlink_to(tmp_path / "elsewhere.md")
    assert "must hold no symbolic links" in refused(capsys, main, arguments)
    assert (tmp_path / "elsewhere.md").read_text() == page_of_ours


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "train_neural"])
def test_of_two_processes_that_start_together_exactly_one_runs(tmp_path, command):
    out = tmp_path / "out"
    options = {
        "train": ["--game.train=3", "--game.deploy=5", "--settings.turns=6400", "--settings.games=8"],
        "train_neural": ["--settings.iterations=40"],
    }
    call = [sys.executable, "-m", f"scripts.{command}", *options[command], f"--out={out}"]
    processes = [
        subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "12"
    ]
    errors = [process.communicate()[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 2] or (command == "train_neural" and codes == [0, 0])
    for code, error in zip(codes, errors, strict=True):
        if code:
            (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
            assert "in use by another process" in line or "already holds a run" in line
    assert (out / "figure.png").exists()


WRITTEN = {
    "certificates": ["certificates.csv", "tried.csv", "config.json"],
    "demo": ["comparison.csv", "model.zip", "tensorboard"],
    "evaluate": ["games.csv", "summary.json", "figure.png"],
    "kitchens": ["kitchens.csv", "kitchens.md", "kitchens.png"],
    "maps": ["train-deploy.png", "train-deploy.parquet", "summary.csv"],
    "reproduce": ["one.png", "one.md", "one_numbers.csv"],
    "speed": ["speed.csv", "config.json", "environment.json"],
    "sweep": ["grid.toml", "runs", "data"],
    "train": ["model.zip", "checkpoint.zip", "tensorboard"],
    "train_neural": ["policy.pt", "training.csv", "figure.png"],
    "tune": ["study.log", "best.json", "trials.csv"],
}


def claimed(command, out):
    """A command and its arguments, for a run in a folder that it has begun."""
    with RunFolder(out, owner(command)) as folder:
        folder.claim()
    return start(command, out, **({"resume": True} if command in RESUMABLE else {}))


@pytest.mark.parametrize(("command", "name"), [(c, name) for c in COMMANDS for name in WRITTEN[c]])
@pytest.mark.parametrize("kind", ["mine", "folder", "pipe"])
def test_what_the_command_did_not_write_is_refused_before_any_work(tmp_path, capsys, command, name, kind):
    main, arguments = claimed(command, tmp_path / "out")
    path = tmp_path / "out" / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder" and "." in name:
        path.mkdir()
    else:
        path.write_text("mine")
    before = None if kind == "pipe" else contents(tmp_path)
    message = refused(capsys, main, arguments)
    assert str(tmp_path / "out") in message
    assert kind == "pipe" or contents(tmp_path) == before


@pytest.mark.parametrize("command", ["certificates", "evaluate", "kitchens", "maps", "speed", "train_neural"])
def test_what_was_changed_since_is_kept(tmp_path, capsys, command):
    main, arguments = start(command, tmp_path / "out")
    main(arguments)
    path = tmp_path / "out" / WRITTEN[command][0]
    path.write_bytes(path.read_bytes() + b"changed by me")
    before = contents(tmp_path)
    capsys.readouterr()
    assert f"{path} is not as this program wrote it" in refused(capsys, main, arguments)
    assert contents(tmp_path) == before
    path.unlink()
    main(arguments)


def test_a_report_is_not_written_over_its_page_once_that_was_changed(tmp_path, capsys):
    sweep_folder, out = write_sweep(tmp_path / "sweep", made_up_rows(SMALL, FEW, range(3))), tmp_path / "docs"
    arguments = report.Arguments(sweep_folder, out)
    report.main(arguments)
    (out / "benchmark.md").write_text("mine")
    assert "benchmark.md is not as this program wrote it" in refused(capsys, report.main, arguments)
    (out / "benchmark.md").unlink()
    os.mkfifo(out / "benchmark.md")
    assert "benchmark.md must be a regular file" in refused(capsys, report.main, arguments)
