"""Who runs the runs: processes of this machine, or a Ray cluster. Both call `execute`, and yield its results.

A run whose process dies is told as failed, and the others go on. Workers neither read nor write the sweep's
folder: a cluster needs no file system in common.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
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
from typing import Any, Protocol

from agents.benchmark.run import Result, Run, as_json, execute, lost
from agents.benchmark.run_folder import environment

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}
"""Environment of every process that runs runs: what could change the last bits of their results."""

RETRIES = 3
"""How many nodes a run may lose on a cluster before it has failed."""

_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}
_SECONDS_TO_DIE = 3.0
_SECONDS_TO_ANSWER = 5.0
_SECONDS_TO_CONNECT = 60.0
_CONTEXT = multiprocessing.get_context("spawn")


class Workers(Protocol):
    """Whoever runs runs."""

    @property
    def slots(self) -> int:
        """How many runs at once."""
        ...

    def results(self, runs: Sequence[Run]) -> Generator[tuple[Run, Result]]:
        """Run them all and yield each one as it ends; to close the iterator ends those that are running."""
        ...


class LocalWorkers:
    """Processes of this machine, one run at a time each."""

    def __init__(self, slots: int) -> None:
        """Run `slots` runs at once.

        Raises:
            ValueError: If that is none.
        """
        if slots < 1:
            raise ValueError(f"workers must be a whole number ≥ 1; got {slots}")
        self.slots = slots

    def results(self, runs: Sequence[Run]) -> Generator[tuple[Run, Result]]:
        """Run them all and yield each one as it ends; to close the iterator ends those that are running."""
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
                    run = busy.pop(process)
                    result = process.result()
                    if result is not None:
                        idle.append(process)
                    yield run, result or lost(run, f"the process died, {process.ending()}")
        finally:
            for process in (*busy, *idle):
                process.kill()


class _Process:
    """A process that runs one run after the other."""

    def __init__(self) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(theirs,))
        with _inherited_by_children():
            self._process.start()
        theirs.close()
        self.handles: list[connection.Connection | int] = [self._pipe, self._process.sentinel]

    def begin(self, run: Run) -> bool:
        """Hand it a run; False if it has died meanwhile."""
        try:
            self._pipe.send(run)
        except OSError:
            return False
        return True

    def result(self) -> Result | None:
        """The result of its run; None if it died instead."""
        try:
            return self._pipe.recv() if self._pipe.poll() else None
        except (EOFError, OSError):
            return None

    def ending(self) -> str:
        """How it died; if all that it did was to hang up, it dies now."""
        self._process.join(_SECONDS_TO_DIE)
        self.kill()
        code = self._process.exitcode
        assert code is not None
        with contextlib.suppress(ValueError):
            return f"exit code {code} ({signal.Signals(-code).name})"
        return f"exit code {code}"

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.terminate()
        self._process.join(_SECONDS_TO_DIE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()


class RayWorkers:
    """Tasks of one CPU each on a Ray cluster, which is sent this process's code."""

    def __init__(self, address: str, algorithms: Iterable[str] = ()) -> None:
        """Connect to a cluster.

        Args:
            address: "auto", "host:port" or "ray://host:port".
            algorithms: Names of the algorithms to be run, whose modules are sent along where they are users'.

        Raises:
            ValueError: If Ray is not installed, or no cluster is found at the address.
        """
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)  # before Ray is imported, which reads them
        try:
            import ray
        except ImportError:
            raise ValueError(
                'a Ray cluster needs Ray on this machine, too: pip install ".[cluster]"'
            ) from None
        self._ray = ray
        code = {"env_vars": ENVIRONMENT, "py_modules": _modules(algorithms), "excludes": ["__pycache__"]}
        try:
            _knock(address)
            ray.init(address=address, runtime_env=code, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(f"a Ray cluster must be at work at {address}; none answers: {reason}") from error

    @property
    def slots(self) -> int:
        """How many runs at once, at present."""
        resources: dict[str, float] = self._ray.cluster_resources()  # type: ignore[no-untyped-call]
        return max(1, int(resources.get("CPU", 0)))

    def results(self, runs: Sequence[Run]) -> Generator[tuple[Run, Result]]:
        """Run them all and yield each one as it ends; to close the iterator ends those that are running."""
        task = self._ray.remote(num_cpus=1, max_retries=RETRIES)(execute)
        here = environment()
        revision = {name: here[name] for name in ("git_revision", "uncommitted_changes")}
        running = {task.remote(run): run for run in runs}
        try:
            while running:
                ended, _ = self._ray.wait(list(running), num_returns=1)
                run = running.pop(ended[0])
                try:
                    result = self._ray.get(ended[0])
                except self._ray.exceptions.RayError as error:
                    result = lost(run, f"the process died, {error}")
                yield run, _of_revision(result, revision)
        finally:
            for reference in running:
                self._ray.cancel(reference, force=True)
            self._ray.shutdown()


def _knock(address: str) -> None:
    """Find out whether a cluster answers at an address.

    Ray itself would try for minutes and tell the terminal about it, so another process asks first.

    Raises:
        OSError: If nobody listens there.
        ValueError: If whoever does is no cluster.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_SECONDS_TO_ANSWER).close()
    command = [sys.executable, "-c", "import ray, sys; ray.init(sys.argv[1])", address]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS_TO_CONNECT)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"no answer within {_SECONDS_TO_CONNECT:g} seconds") from error
    except subprocess.CalledProcessError as error:
        raise ValueError(error.stderr.strip().rpartition("\n")[2]) from error


def _modules(algorithms: Iterable[str]) -> list[str]:
    """Paths of the top-level modules that runs are made of: the project's, and its users'."""
    names = {"agents", "mesa_env", "scripts"}
    names |= {name.partition(":")[0].partition(".")[0] for name in algorithms if ":" in name}
    found = [importlib.util.find_spec(name) for name in sorted(names)]
    paths = [
        spec.submodule_search_locations[0] if spec.submodule_search_locations else spec.origin
        for spec in found
        if spec
    ]
    return [path for path in paths if path]


def _of_revision(result: Result, revision: dict[str, Any]) -> Result:
    """The result with the revision of the code that was sent, which those who ran it cannot know."""
    where = json.loads(result.files["environment.json"]) | revision
    row = result.row | {"git_revision": revision["git_revision"]}
    return result._replace(row=row, files=result.files | {"environment.json": as_json(where)})


def _serve(pipe: connection.Connection) -> None:
    """Run whatever comes through the pipe, until the driver closes it or dies."""
    threading.Thread(target=_die_with_the_driver, daemon=True).start()
    with contextlib.suppress(EOFError):
        while True:
            pipe.send(execute(pipe.recv()))


def _die_with_the_driver() -> None:
    driver = multiprocessing.parent_process()
    assert driver is not None
    connection.wait([driver.sentinel])
    os._exit(1)


@contextlib.contextmanager
def _inherited_by_children() -> Iterator[None]:
    """Have processes that are started meanwhile ignore Ctrl-C, which is the driver's to handle."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        signal.signal(signal.SIGINT, handler)
