"""Train the learners of a TOML file that are missing.

NAMES are groups of scripts/learners.toml (results, variants, networks), or single learners of a group, such
as variants.memory. Finished learners are left as they are; networks that were interrupted begin again, and
others resume: this loads the checkpoint.zip in the folder that the file names, which holds pickles. They run
code that they name, so name only a file whose folders you trust.
"""

import multiprocessing
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from agents.limits import LARGEST_SEED, MOST_WORKERS
from agents.text_files import read_toml
from mesa_env.rules.validation import did_you_mean, validated_whole
from scripts import train, train_neural
from scripts.arguments import refusing_bad_input, run_command
from scripts.output import prepare_output

Job = train.Arguments | train_neural.Arguments
_COMMANDS = {"train": train, "train_neural": train_neural}


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
        if arguments.seeds == ():
            raise ValueError("--seeds must name at least one seed; got none")
        validated_whole("workers", arguments.workers, 1, MOST_WORKERS)
        jobs = [job for job in read_jobs(arguments) if not is_finished(job)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.workers, context, prepare_output, max_tasks_per_child=1) as pool:
        try:
            for future in [pool.submit(train_one, job) for job in jobs]:
                future.result()
        except BrokenProcessPool:
            raise OSError("a process that trained has died; a second call resumes what it left") from None


def read_jobs(arguments: Arguments) -> list[Job]:
    """The trainings asked for, one per learner and seed; a ValueError says what is wrong with them."""
    groups = read_toml(arguments.file, "a file of learners")
    learners: dict[str, dict[str, Any]] = {}
    for group, content in groups.items():
        if not isinstance(content, dict) or not isinstance(content.get("learners"), dict):
            raise ValueError(f"{group} in {arguments.file} must be a group with a table of learners")
        shared = {key: value for key, value in content.items() if key != "learners"}
        learners |= {f"{group}.{name}": shared | learner for name, learner in content["learners"].items()}
    jobs: list[Job] = []
    for name in arguments.names:
        chosen = [learner for learner in learners if name in (learner, learner.partition(".")[0])]
        if not chosen:
            known = [*groups, *learners]
            allowed = f"learners in {arguments.file} are named {', '.join(known)}"
            raise ValueError(f"{allowed}; got {name!r}{did_you_mean(name, known)}")
        for learner in chosen:
            jobs += _build_jobs(learner.partition(".")[2], learners[learner], arguments.seeds)
    return jobs


def _build_jobs(name: str, learner: Mapping[str, Any], seeds: tuple[int, ...] | None) -> Iterator[Job]:
    """A learner's trainings: the default arguments of its command, with the values that it gives."""
    command = learner.get("command", "train")
    if command not in _COMMANDS:
        raise ValueError(f"learner {name}: command must be one of {', '.join(_COMMANDS)}; got {command!r}")
    for key in ("folder",) if seeds else ("folder", "seeds"):
        if key not in learner:
            raise ValueError(f"learner {name} must have a folder and seeds; it has no {key}")
    given = {key: value for key, value in learner.items() if key not in ("command", "folder", "seeds")}
    try:
        default = _COMMANDS[command].Arguments()
        job: Job = replace(default, **{key: _fill_in(default, key, value) for key, value in given.items()})
    except (AttributeError, TypeError) as error:
        raise ValueError(f"learner {name}: {error!r}") from error
    for seed in seeds or learner["seeds"]:
        seed = validated_whole("seed", seed, 0, LARGEST_SEED)
        yield replace(job, seed=seed, out=_folder(name, learner["folder"], seed))


def _folder(name: str, pattern: Any, seed: int) -> Path:
    """The run folder of a learner and seed, whose places `pattern` names."""
    if not isinstance(pattern, str) or not pattern.strip() or "\0" in pattern:
        raise ValueError(f"learner {name}: its folder must be a path; got {pattern!r}")
    return Path(pattern.replace("{learner}", name).replace("{seed}", str(seed)))


def _fill_in(default: Any, key: str, value: Any) -> Any:
    """A value as arguments hold it: a table gives fields of the default, and a list is a tuple."""
    if isinstance(value, dict):
        inner = getattr(default, key)
        return replace(inner, **{name: _fill_in(inner, name, entry) for name, entry in value.items()})
    return tuple(value) if isinstance(value, list) else value


def is_finished(job: Job) -> bool:
    """Whether a training has left its result."""
    return (job.out / ("model.zip" if isinstance(job, train.Arguments) else "policy.pt")).exists()


def train_one(job: Job) -> None:
    """Run a training; self-play resumes if it was interrupted."""
    print(f"training {job.out}", flush=True)
    if isinstance(job, train.Arguments):
        train.main(replace(job, resume=(job.out / "config.json").exists()))
    else:
        train_neural.main(job)


if __name__ == "__main__":
    run_command(main, Arguments)
