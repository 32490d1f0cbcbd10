"""scripts/sweep.py and its processes, as users call them and as machines kill them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import agents
from agents.benchmark.grid import read_grid
from agents.benchmark.run import evaluation_goals, execute, measure_agent
from agents.benchmark.store import read_rows
from agents.benchmark.sweep_folder import SweepFolder
from mesa_env.rules.parameters import build_game
from scripts import sweep

HERE = Path(__file__).parent
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join(
        [str(HERE.parent / "agents" / "benchmark"), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]
    )
}


def write_grid(path, algorithm, seeds=2, parameters=""):
    path.write_text(
        f'algorithms = ["sweep_algorithms:{algorithm}"]\nseeds = {seeds}\nturns = 100\n'
        f"[games.tiny]\ntrain = 3\ndeploy = 5\n{parameters}"
    )
    return path


def counted_grid(tmp_path, seconds, seeds):
    table = f'[parameters."sweep_algorithms:counted"]\nlog = "{tmp_path / "log"}"\nseconds = {seconds}\n'
    return write_grid(tmp_path / "grid.toml", "counted", seeds, table)


def logged(tmp_path, what):
    """Names of the runs that began or ended, each with the id of its process."""
    path = tmp_path / f"log.{what}"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(condition, seconds=180):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def alive(pid):
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True


def refused(capsys, **arguments):
    with pytest.raises(SystemExit) as exit_:
        sweep.main(sweep.Arguments(**arguments))
    assert exit_.value.code == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: ")
    assert "\n" not in message
    return message


@pytest.fixture(autouse=True)
def heed_interrupts():
    """Undo what a process inherits that was started in the background: Ctrl-C is ignored there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def started(tmp_path):
    """Starts a sweep of three runs of `seconds` on one process, as users do; ends it after the test."""
    processes = []

    def start(seconds):
        command = [
            *(sys.executable, "-m", "scripts.sweep", "--grid", counted_grid(tmp_path, seconds, seeds=3)),
            *("--out", tmp_path / "out", "--workers", "1"),
        ]
        processes.append(
            subprocess.Popen(
                command,
                env=ENVIRONMENT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                process_group=0,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_sweep_survives_failing_runs(tmp_path, capsys):
    grid = tmp_path / "grid.toml"
    names = ("killed", "near_oracle", "raising", "network")
    grid.write_text(
        f"algorithms = {[f'sweep_algorithms:{name}' for name in names]}\nseeds = [1]\nturns = 100\n"
        "[games.tiny]\ntrain = 3\ndeploy = 5\n"
    )
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as exit_:
        sweep.main(sweep.Arguments(grid=grid, out=out, workers=1))
    assert exit_.value.code == 1
    output = capsys.readouterr()
    assert (
        "2 runs failed; tiny/sweep_algorithms.killed/100/1: the process died, exit code -9 (SIGKILL)"
        in output.err
    )
    assert "4 runs" in output.out
    rows = read_rows(out).set_index("run_id")
    assert len(rows) == 4
    for name in names:
        status = rows.loc[f"tiny/sweep_algorithms.{name}/100/1", "status"]
        assert status == ("failed" if name in ("killed", "raising") else "finished")
    assert "ArithmeticError: diverged" in rows.loc["tiny/sweep_algorithms.raising/100/1", "traceback"]
    assert json.loads((out / "config.json").read_text())["command"] == "sweep"
    assert (out / "grid.toml").read_bytes() == grid.read_bytes()


def test_ctrl_c_ends_it_at_once(tmp_path, started):
    process = started(600)
    wait_for(lambda: logged(tmp_path, "began"))
    worker = logged(tmp_path, "began")[0][1]
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert err.strip().splitlines()[-2:] == ["0 of 3 runs are kept; --resume runs the others", "interrupted"]
    assert "Traceback" not in out + err
    assert not alive(worker)
    assert not list((tmp_path / "out").rglob(".[!l]*"))


def test_a_killed_driver_ends_its_workers_and_resume_runs_only_the_rest(tmp_path, started, capsys):
    process = started(1)
    wait_for(lambda: list((tmp_path / "out" / "data").rglob("*.parquet")))
    process.kill()
    process.wait()
    workers = {pid for _, pid in logged(tmp_path, "began")}
    wait_for(lambda: not any(alive(pid) for pid in workers))
    kept = read_rows(tmp_path / "out")["run_id"].tolist()
    assert 1 <= len(kept) < 3
    before = {run_id: (tmp_path / "out" / "runs" / run_id / "result.json").read_bytes() for run_id in kept}
    began = len(logged(tmp_path, "began"))
    sweep.main(sweep.Arguments(tmp_path / "grid.toml", out=tmp_path / "out", workers=1, resume=True))
    assert "3 runs" in capsys.readouterr().out
    again = [name for name, _ in logged(tmp_path, "began")[began:]]
    assert sorted(again) == sorted({f"100/{seed}" for seed in range(3)} - {run_id[-5:] for run_id in kept})
    for run_id, content in before.items():
        assert (tmp_path / "out" / "runs" / run_id / "result.json").read_bytes() == content
    assert len(read_rows(tmp_path / "out")) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"algorithms": ("sweep_algorithms:nothing",)}, ("sweep_algorithms", "nothing")),
        ({"algorithms": ("pppo",)}, ("pppo", "ppo")),
        ({"games": ("tiney",)}, ("tiney", "tiny")),
        ({"seeds": (-1,)}, ("seeds", "-1")),
        ({"turns": (0,)}, ("turns", "0")),
        ({"workers": 0}, ("workers", "0")),
        ({"seeds": tuple(range(201))}, ("200", "--yes", "201")),
        ({"resume": True}, ("--resume", "holds none")),
        ({"grid": Path("nowhere.toml")}, ("nowhere.toml",)),
    ],
)
def test_bad_input_is_refused_before_any_work(tmp_path, capsys, options, words):
    given = {"grid": write_grid(tmp_path / "grid.toml", "near_oracle"), "out": tmp_path / "out"} | options
    message = refused(capsys, **given)
    assert all(word in message for word in words)
    assert not (tmp_path / "out" / "config.json").exists()


def test_a_finished_sweep_is_neither_overwritten_nor_repeated(tmp_path, capsys):
    arguments = {"grid": counted_grid(tmp_path, 0.0, seeds=3), "out": tmp_path / "out"}
    with SweepFolder(tmp_path / "out", resume=False) as folder:
        folder.describe(sweep.Arguments(**arguments), arguments["grid"])
        for run in read_grid(arguments["grid"]).runs():
            folder.keep(run, execute(run))
    assert "already holds a run of sweep" in refused(capsys, **arguments)
    sweep.main(sweep.Arguments(**arguments, resume=True))
    assert "3 runs" in capsys.readouterr().out
    assert len(logged(tmp_path, "began")) == 3


def test_ppo_learns_a_tiny_game_and_leaves_a_model(tmp_path):
    grid = tmp_path / "grid.toml"
    grid.write_text('algorithms = ["ppo"]\nseeds = [3]\nturns = 8000\n[games.tiny]\ntrain = 1\ndeploy = 2\n')
    (run,) = read_grid(grid).runs()
    with SweepFolder(tmp_path / "out", resume=False) as folder:
        folder.keep(run, execute(run))
    row = read_rows(tmp_path / "out").iloc[0]
    assert (row["status"], row["traceback"]) == ("finished", "")
    assert len(row["weights"]) == 64
    assert len(row["curve_turns"]) > 3
    assert row["nash_conv"] < row["curve_nash_conv"][0]
    game, model = build_game(run.game), agents.load(tmp_path / "out" / "runs" / run.id / "model.zip")
    assert measure_agent(game, model, evaluation_goals(game))["nash_conv"] == row["nash_conv"]
