"""Files of learners, such as scripts/learners.toml: which learners are to be trained, and how."""

import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

from agents.limits import LARGEST_SEED, MOST_WORKERS
from agents.text_files import read_toml
from mesa_env.validation import did_you_mean, validate_whole
from scripts import train, train_neural

Job = train.Arguments | train_neural.Arguments
_COMMANDS = {"train": train, "train_neural": train_neural}


def read_jobs(file: Path, names: Sequence[str], seeds: Sequence[int] | None) -> list[Job]:
    """The trainings asked for, one per learner and seed; a ValueError says what is wrong with them."""
    if seeds is not None and not seeds:
        raise ValueError("--seeds must name at least one seed; got none")
    groups = read_toml(file, "a file of learners")
    learners: dict[str, dict[str, Any]] = {}
    for group, content in groups.items():
        if not isinstance(content, dict) or not isinstance(content.get("learners"), dict):
            raise ValueError(f"{group} in {file} must be a group with a table of learners")
        shared = {key: value for key, value in content.items() if key != "learners"}
        learners |= {f"{group}.{name}": shared | learner for name, learner in content["learners"].items()}
    jobs: list[Job] = []
    for name in names:
        chosen = [learner for learner in learners if name in (learner, learner.partition(".")[0])]
        if not chosen:
            known = [*groups, *learners]
            allowed = f"learners in {file} are named {', '.join(known)}"
            raise ValueError(f"{allowed}; got {name!r}{did_you_mean(name, known)}")
        for learner in chosen:
            jobs += _build_jobs(learner.partition(".")[2], learners[learner], seeds)
    distinct: dict[Path, Job] = {}
    for job in jobs:
        if distinct.setdefault(job.out.absolute(), job) != job:
            raise ValueError(f"all learners and seeds must have folders of their own; two have {job.out}")
    return list(distinct.values())


def _build_jobs(name: str, learner: Mapping[str, Any], seeds: Sequence[int] | None) -> Iterator[Job]:
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
        job: Job = _fill_in(default, given)
        game = job.game.build(job.initial_goal)
        job.game.build_at(job.evaluation_goal)
        if isinstance(job, train.Arguments):
            job.settings.whole_turns(game)
            validate_whole("threads", job.threads, 1, MOST_WORKERS)
    except ValueError as error:
        raise ValueError(f"learner {name}: {error}") from error
    for seed in _seeds(name, seeds or learner["seeds"]):
        seed = validate_whole("seed", seed, 0, LARGEST_SEED)
        yield replace(job, seed=seed, out=_folder(name, learner["folder"], seed))


def _seeds(name: str, given: Any) -> Iterable[Any]:
    if not isinstance(given, list | tuple):
        raise ValueError(f"learner {name}: seeds must be a list of whole numbers; got {given!r}")
    return given


def _folder(name: str, pattern: Any, seed: int) -> Path:
    """The run folder of a learner and seed, whose places `pattern` names."""
    if not isinstance(pattern, str) or not pattern.strip() or "\0" in pattern:
        raise ValueError(f"learner {name}: its folder must be a path; got {pattern!r}")
    return Path(pattern.replace("{learner}", name).replace("{seed}", str(seed)))


def _fill_in(default: Any, given: Mapping[str, Any]) -> Any:
    """Arguments with the fields that a table gives; a table within it gives fields of one of them."""
    hints, values = typing.get_type_hints(type(default)), {}
    for key, value in given.items():
        if key not in hints or key == "resume":
            known = [hint for hint in hints if hint != "resume"]
            raise ValueError(f"there is no {key!r}; there are {', '.join(known)}{did_you_mean(key, known)}")
        if is_dataclass(hints[key]) and isinstance(value, dict):
            values[key] = _fill_in(getattr(default, key), value)
            continue
        values[key] = tuple(value) if isinstance(value, list) else value
        if not _fits(values[key], hints[key]):
            raise ValueError(f"{key} must be of type {hints[key]}; got {value!r}")
    return replace(default, **values)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of a TOML file is of a type."""
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = inner[:1] * len(value) if Ellipsis in inner else inner
        return len(kinds) == len(value) and all(map(_fits, value, kinds))
    if typing.get_origin(hint) is typing.Literal:
        return value in inner
    if inner:
        return any(_fits(value, kind) for kind in inner)
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float if hint is float else hint)
