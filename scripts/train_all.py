"""Train the learners of a TOML file that are missing.

NAMES are groups of scripts/learners.toml (results, variants, networks), or single learners of a group, such
as variants.memory. Finished learners are left as they are; networks that were interrupted begin again, and
others resume: this loads the checkpoint.zip in the folder that the file names, which holds pickles. They run
code that they name, so name only a file whose folders you trust.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from agents.limits import MOST_WORKERS
from mesa_env.validation import validate_whole
from scripts import train, train_neural
from scripts.arguments import refusing_bad_input, run_command
from scripts.comparison import is_finished
from scripts.learner_files import Job, read_jobs
from scripts.output import prepare_output


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts.train_all."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Groups, or learners as GROUP.LEARNER."""
    seeds: tuple[int, ...] | None = None
    """Seeds in place of those in the file."""
    workers: int = 1
    """Processes that train at the same time; at most 1024."""
    file: Path = Path("scripts/learners.toml")
    """The TOML file."""


def main(arguments: Arguments) -> None:
    """Train all learners that are not finished."""
    with refusing_bad_input():
        validate_whole("workers", arguments.workers, 1, MOST_WORKERS)
        jobs = read_jobs(arguments.file, arguments.names, arguments.seeds)
        jobs = [job for job in jobs if not is_finished(job.out)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.workers, context, prepare_output, max_tasks_per_child=1) as pool:
        try:
            for future in [pool.submit(train_one, job) for job in jobs]:
                future.result()
        except BrokenProcessPool:
            raise OSError("a process that trained has died; a second call resumes what it left") from None


def train_one(job: Job) -> None:
    """Run a training; self-play resumes if it was interrupted."""
    print(f"training {job.out}", flush=True)
    if isinstance(job, train.Arguments):
        train.main(replace(job, resume=(job.out / "config.json").exists()))
    else:
        train_neural.main(job)


if __name__ == "__main__":
    run_command(main, Arguments)
