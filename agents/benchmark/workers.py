"""Executors of runs: processes on this machine, or a Ray cluster. Both call `execute` and yield its results.

A run whose process dies has failed, and the others continue. Workers neither read nor write the sweep's
folder: a cluster needs no shared file system.
"""

import contextlib
import importlib.util
import logging
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from multiprocessing import connection

from agents.benchmark.run import Result, Run, describe, execute, fail
from agents.benchmark.run_folder import environment
from agents.limits import MOST_WORKERS
from mesa_env.validation import validate_whole

ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1") | {
    "PYTHONHASHSEED": "0"
}
"""Environment variables of every worker process, which could change the last bits of results."""

RETRIES = 3
"""How many times a run is retried on a cluster after its node was lost."""

_SECONDS_TO_DIE, _SECONDS_TO_ANSWER, _SECONDS_TO_CONNECT = 3.0, 5.0, 60.0
_CONTEXT = multiprocessing.get_context("spawn")


class LocalWorkers:
    """Processes on this machine, each of which executes one run at a time."""

    def __init__(self, slots: int) -> None:
        """Execute `slots` ≥ 1 runs at once."""
        self.slots = validate_whole("workers", slots, 1, MOST_WORKERS)

    def results(self, runs: Sequence[Run]) -> Generator[tuple[Run, Result]]:
        """Execute all runs and yield each one as it ends; closing the generator ends those still running."""
        waiting, idle = deque(runs), list[_Process]()
        busy: dict[_Process, Run] = {}
        try:
            while waiting or busy:
                while waiting and len(busy) < self.slots:
                    process = idle.pop() if idle else _Process()
                    if process.begin(waiting[0]):
                        busy[process] = waiting.popleft()
                connection.wait([handle for process in busy for handle in process.handles])
                for process in [process for process in busy if connection.wait(process.handles, timeout=0)]:
                    run, result = busy.pop(process), process.result()
                    if result:
                        idle.append(process)
                    yield run, result or fail(describe(run), f"the process died, {process.ending()}")
        finally:
            for process in (*busy, *idle):
                process.kill()


class _Process:
    """A process that executes one run after the other."""

    def __init__(self) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(theirs,))
        with _child_environment():
            self._process.start()
        theirs.close()
        self.handles: list[connection.Connection | int] = [self._pipe, self._process.sentinel]

    def begin(self, run: Run) -> bool:
        """Send it a run; returns False if the process has died."""
        try:
            self._pipe.send(run)
        except OSError:
            return False
        return True

    def result(self) -> Result | None:
        """The result of its run; None if the process died instead."""
        with contextlib.suppress(EOFError, OSError):
            return self._pipe.recv() if self._pipe.poll() else None
        return None

    def ending(self) -> str:
        """How the process died; if it only closed its pipe, it is killed now."""
        self._process.join(_SECONDS_TO_DIE)
        self.kill()
        code = self._process.exitcode
        name = next((f" ({number.name})" for number in signal.Signals if code == -number), "")
        return f"exit code {code}{name}"

    def kill(self) -> None:
        """End the process, by force if necessary."""
        self._process.terminate()
        self._process.join(_SECONDS_TO_DIE)
        self._process.kill()
        self._process.join()
        self._pipe.close()


class RayWorkers:
    """Tasks of one CPU each on a Ray cluster, to which this process sends its code."""

    def __init__(self, address: str, algorithms: Iterable[str] = ()) -> None:
        """Connect to a cluster at "auto", "host:port" or "ray://host:port", or raise ValueError.

        The modules of a user's own `algorithms` are sent along.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before Ray is imported, which reads both
        os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
        try:
            import ray
        except ImportError:
            raise ValueError('--ray needs Ray on this machine, too: pip install ".[cluster]"') from None
        self._ray = ray
        code = {"env_vars": ENVIRONMENT, "py_modules": _modules(algorithms), "excludes": ["__pycache__"]}
        try:
            _check_cluster(address)
            ray.init(address=address, runtime_env=code, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(f"a Ray cluster must be running at {address}; none answers: {reason}") from error
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        self.slots = max(1, int(resources.get("CPU", 0)))

    def results(self, runs: Sequence[Run]) -> Generator[tuple[Run, Result]]:
        """Execute all runs and yield each one as it ends; closing the generator ends those still running."""
        task = self._ray.remote(num_cpus=1, max_retries=RETRIES)(execute)
        here = environment()  # the nodes cannot know the revision of the code that was sent
        origin = {name: here[name] for name in ("git_revision", "uncommitted_changes")}
        running = {task.remote(run, origin): run for run in runs}
        try:
            while running:
                ended, _ = self._ray.wait(list(running), num_returns=1)
                run = running.pop(ended[0])
                try:
                    result = self._ray.get(ended[0])
                except self._ray.exceptions.RayError as error:
                    result = fail(describe(run), f"the process died, {error}")
                yield run, result
        finally:
            for reference in running:
                self._ray.cancel(reference, force=True)
            self._ray.shutdown()


Workers = LocalWorkers | RayWorkers
"""An executor of runs: how many `slots` it has, and a generator of `results`."""


def _check_cluster(address: str) -> None:
    """Raise OSError if nothing listens at an address, ValueError if it is not a Ray cluster.

    Ray itself would try for minutes and write to the terminal, so another process tries first.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_SECONDS_TO_ANSWER).close()
    command = [sys.executable, "-c", "import ray, sys; ray.init(sys.argv[1])", address]
    try:
        subprocess.run(command, capture_output=True, check=True, timeout=_SECONDS_TO_CONNECT)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"no answer within {_SECONDS_TO_CONNECT:g} seconds") from error
    except subprocess.CalledProcessError as error:
        raise ValueError(error.stderr.decode(errors="replace").strip().rpartition("\n")[2]) from error


def _modules(algorithms: Iterable[str]) -> list[str]:
    """Paths of the top-level modules that runs need: the project's, and users' own."""
    own = {name.partition(":")[0].partition(".")[0] for name in algorithms if ":" in name}
    specs = [spec for spec in map(importlib.util.find_spec, sorted({"agents", "mesa_env"} | own)) if spec]
    paths = [next(iter(spec.submodule_search_locations or ()), spec.origin) for spec in specs]
    return [path for path in paths if path]


def _serve(pipe: connection.Connection) -> None:
    """Execute the runs that come through the pipe, until the driver closes it or dies."""
    threading.Thread(target=_exit_with_driver, daemon=True).start()
    with contextlib.suppress(EOFError):
        while True:
            pipe.send(execute(pipe.recv()))


def _exit_with_driver() -> None:
    driver = multiprocessing.parent_process()
    assert driver is not None
    connection.wait([driver.sentinel])
    os._exit(1)


@contextlib.contextmanager
def _child_environment() -> Iterator[None]:
    """Processes started meanwhile inherit `ENVIRONMENT`, and leave Ctrl-C to the driver."""
    before = {name: value for name, value in os.environ.items() if name in ENVIRONMENT}
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name in ENVIRONMENT:
            del os.environ[name]
        os.environ.update(before)
        signal.signal(signal.SIGINT, handler)
