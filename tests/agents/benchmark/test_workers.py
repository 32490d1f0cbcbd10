"""Executors of runs; sweeps on a real Ray cluster give the same results, and lose nothing with a node.

Ray is restricted to the loopback address (by RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0), so that the tests run
without a network.
"""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agents.benchmark.run import execute
from agents.benchmark.run_folder import without_nan
from agents.benchmark.store import COLUMNS, IRREPRODUCIBLE, read_rows
from agents.benchmark.sweep_folder import read_folder
from agents.benchmark.workers import LocalWorkers
from tests.agents.benchmark.test_run import tiny_run
from tests.scripts.test_sweep import ENVIRONMENT, alive, counted_grid, logged, refused, wait_for, write_grid

HERE = Path(__file__).parent
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


class Cluster:
    """A cluster in its own process."""

    def __init__(self):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | LOOPBACK
        self._process = subprocess.Popen(
            [sys.executable, HERE / "ray_cluster.py"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._process.stdout.readline().strip()

    def kill_a_node(self):
        self._process.stdin.write("kill\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "killed\n"

    def end(self):
        self._process.communicate(timeout=600)


@pytest.fixture(autouse=True)
def heed_interrupts():
    """Undo what a process inherits that was started in the background: Ctrl-C is ignored there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray", reason="Ray is an extra")
    cluster = Cluster()
    yield cluster
    cluster.end()


@pytest.fixture
def started(cluster, tmp_path):
    """Starts a sweep on the cluster, from a folder without the project's code."""
    processes = []

    def start(grid):
        command = [
            *(sys.executable, "-m", "scripts.sweep", "--grid", grid, "--out", tmp_path / "out"),
            *("--ray", cluster.address),
        ]
        processes.append(
            subprocess.Popen(
                command,
                cwd=tmp_path,
                env=ENVIRONMENT | LOOPBACK,
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


@pytest.mark.slow
def test_a_cluster_gives_the_same_results_bit_for_bit(tmp_path, started):
    names = ("near_oracle", "network", "raising", "killed")
    grid = tmp_path / "grid.toml"
    grid.write_text(
        f"algorithms = {[f'sweep_algorithms:{name}' for name in names]}\nseeds = [1]\nturns = 100\n"
        "[games.tiny]\ntrain = 3\ndeploy = 5\n"
    )
    process = started(grid)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 1, err
    assert "4 runs" in out
    assert "raylet" not in out + err
    for name, parameters in (("near_oracle", {"stretch": 1.0}), ("network", {})):
        run = tiny_run(name, seed=1, **parameters)
        recorded, there = read_folder(tmp_path / "out" / "runs" / run.id)
        here = without_nan(execute(run).row)
        assert recorded == run
        for column in COLUMNS:
            assert there[column] == here[column] or column in IRREPRODUCIBLE
    rows = read_rows(tmp_path / "out").set_index("run_id")
    failures = [
        rows.loc[f"tiny/sweep_algorithms.{name}/100/1", "traceback"] for name in ("raising", "killed")
    ]
    assert "ArithmeticError: diverged" in failures[0]
    assert "the process died" in failures[1]
    # Both the user's code and the project's were sent with the run.
    assert failures[0].count("py_modules_files") == failures[0].count(".py") > 1


@pytest.mark.slow
def test_ctrl_c_cancels_what_is_left(tmp_path, started):
    process = started(counted_grid(tmp_path, seconds=600, seeds=3))
    wait_for(lambda: logged(tmp_path, "began"))
    worker = logged(tmp_path, "began")[0][1]
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert err.strip().splitlines()[-2:] == ["0 of 3 runs are kept; --resume runs the others", "interrupted"]
    assert "Traceback" not in out + err
    wait_for(lambda: not alive(worker))


@pytest.mark.slow
def test_a_node_killed_during_a_run_costs_only_that_run(tmp_path, cluster, started):
    process = started(counted_grid(tmp_path, seconds=3, seeds=6))
    wait_for(lambda: len(list((tmp_path / "out" / "data").rglob("*.parquet"))) >= 2)
    wait_for(lambda: len(logged(tmp_path, "began")) - len(logged(tmp_path, "ended")) == 2)
    finished = {name for name, _ in logged(tmp_path, "ended")}
    cluster.kill_a_node()
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert "6 runs" in out
    began = [name for name, _ in logged(tmp_path, "began")]
    assert len(began) == 7  # only the one that was lost began again
    assert all(began.count(name) == 1 for name in finished)
    rows = read_rows(tmp_path / "out")
    assert (rows["status"] == "finished").all()
    assert rows["seed"].tolist() == list(range(6))
    assert len(list((tmp_path / "out" / "runs").rglob("result.json"))) == 6


def test_an_address_where_nothing_listens_is_refused_at_once(tmp_path, capsys):
    pytest.importorskip("ray", reason="Ray is an extra")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        grid = write_grid(tmp_path / "grid.toml", "near_oracle")
        message = refused(capsys, grid=grid, out=tmp_path / "out", ray=address)
        assert f"a Ray cluster must be running at {address}; none answers: " in message
        assert "refused" in message
        assert not (tmp_path / "out" / "config.json").exists()


def test_without_ray_the_message_says_how_to_install_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    grid = write_grid(tmp_path / "grid.toml", "near_oracle")
    message = refused(capsys, grid=grid, out=tmp_path / "out", ray="auto")
    assert 'pip install ".[cluster]"' in message


def test_closing_the_results_ends_the_workers(tmp_path):
    runs = [tiny_run("counted", seed=seed, log=str(tmp_path / "log"), seconds=600.0) for seed in (0, 1)]
    results = LocalWorkers(1).results([tiny_run(), *runs])
    assert next(results)[1].row["status"] == "finished"
    results.close()
    assert logged(tmp_path, "ended") == []


def test_results_of_another_process_are_the_same_bit_for_bit():
    runs = [tiny_run("near_oracle", seed=1), tiny_run("network", seed=1)]
    for run, result in LocalWorkers(1).results(runs):
        here = execute(run).row
        for column in COLUMNS:
            assert result.row[column] == here[column] or column in IRREPRODUCIBLE


def test_a_run_whose_process_dies_has_failed_and_the_others_continue():
    results = LocalWorkers(1).results([tiny_run("killed"), tiny_run()])
    killed, other = (result.row for _, result in results)
    assert killed["status"] == "failed"
    assert killed["traceback"] == "the process died, exit code -9 (SIGKILL)"
    assert other["status"] == "finished"
