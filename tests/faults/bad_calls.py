"""Bad calls of every command, made from the command's own arguments, and what must come of them.

`python -m tests.faults.bad_calls --count 3000 --seed 1` tries so many, and prints those that end in anything
but one sentence and exit code 2. Nothing is trained or measured: a call that would is reported as accepted.
"""

import argparse
import contextlib
import dataclasses
import importlib
import io
import itertools
import random
import re
import sys
import tempfile
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple
from unittest import mock

from scripts.arguments import run_command

ROOT = Path(__file__).parents[2]
REQUIRED = {
    "certificates": [],
    "demo": [],
    "evaluate": [],
    "kitchens": [],
    "maps": [],
    "redo": ["missing"],
    "report": ["missing"],
    "reproduce": ["one"],
    "speed": [],
    "sweep": [],
    "train": [],
    "train_all": ["results", "--file", str(ROOT / "scripts" / "learners.toml")],
    "train_neural": [],
    "tune": ["--algorithm", "ppo", "--turns", "100"],
}
"""Every command, with arguments that are good where it needs some."""

WORK = {
    "agents.learning.training.Training.run",
    "agents.learning.neural.train_policy",
    "mesa_env.compare",
    "mesa_env.solutions.parameter_maps.equilibrium_map",
    "agents.benchmark.workers.LocalWorkers.results",
    "agents.benchmark.tuning.execute",
    "agents.benchmark.speed.measure_oracle",
    "scripts.train_all.ProcessPoolExecutor",
    "scripts.experiments.certificate_map.certify_both",
    "scripts.experiments.kitchens.compare_learners",
    "scripts.experiments.post.compute_first",
}
"""Where the commands' work begins."""

HUGE = "1" + "0" * 30
TEXTS = [
    "",
    "x",
    "θ",
    "[red]x[/]",
    "$\\frac{$",
    "a\nb",
    "-",
    "--",
    "\x1b[31m",
    "9" * 5000,
    "nan nan",
    "1e5x",
    "[1]",
]
WRONG = {
    int: [*TEXTS, "-1", HUGE, "-" + HUGE, "1.5", "nan", "inf", "True"],
    float: [*TEXTS, "nan", "inf", "-inf", "1e400", "1j"],
    bool: ["maybe"],
    str: [
        "",
        "nonsense",
        "no_such_module_at_all:f",
        "os.path:nothing",
        "missing/model.zip",
        "a=missing/model.zip",
    ],
    Path: ["", "/dev/null/below", "file.txt/below"],
}
"""Values that no argument of these types may have; of paths, none that can be written to or read."""
_BOX = re.compile(
    r"[\W_]*((Value|Parsing) error|Missing argument|Invalid choice|Unrecognized options|Required options)"
)


_GAMES = [
    "--game.train 0 --game.deploy 0",
    "--game.train 60000 --game.deploy 60000",
    "--game.rules InfiniteHorizon --game.discount 1",
    "--game.rules InfiniteHorizon --game.max-episodes 1 --game.learning-rates 1 2 3",
    "--game.rules Misconception --game.hazard 0.1",
    "--game.rules LearnableDiscount --game.discount 0.8 0.2",
    "--game.discount 0.1 0.2",
    "--game.learning-rates 1 nan",
    "--game.goal-bound 0.1",
]
WRONG_TOGETHER = {
    "train": [
        *_GAMES,
        "--resume",
        "--initial-goal 1 -1",
        "--initial-goal 0.1 0.2 0.3",
        "--evaluation-goal 1e300",
        "--settings.turns 1",
        "--settings.games 1",
        "--settings.games 64 --settings.group-size 7",
        "--settings.games 100000 --game.train 50000",
        "--problem initial --game.rules HiddenDeployment --settings.turns 1",
    ],
    "train_neural": [*_GAMES, "--game.rules DeceptiveAlignment", "--settings.games 200000"],
    "evaluate": [
        *_GAMES,
        "--games 0",
        "--games 100001",
        "--agents a=myopic a=guard",
        "--agents =",
        "--agents a=,",
        "--agents best_of_0",
        "--agents best_of_99999999999",
        "--agents .zip",
        "--agents /dev/null",
        "--agents ./",
        "--game.rules Misconception --agents grid",
        "--figure-goal 1e300",
    ],
    "tune": [f"--algorithm ppo --turns 100 {line}" for line in _GAMES]
    + ["--algorithm x:y --turns 100", "--algorithm PPO --turns 1", "--algorithm ppo --turns 0"],
    "sweep": [
        "--resume",
        "--games nonsense",
        "--algorithms os:getcwd",
        "--algorithms ppo ppo",
        "--seeds -1",
        "--seeds 4294967296",
        "--grid /dev/zero",
        "--grid .",
        "--ray nonsense:1",
        "--workers 1025",
        "--turns 0",
    ],
    "maps": [
        "--x train",
        "--x train --y train",
        "--x train --y nonsense",
        "--figures train-deploy train-deploy",
        "--x-range 1 2",
        "--x discount --y train --x-range 0 2",
        "--x discount --y train --x-range 0 1 --x-scale log",
        "--points 1",
        "--points 4001",
        "--train 0 --deploy 0 --x discount --y regularization",
        "--train 1000001",
    ],
    "report": [".", "/dev/null", "missing --notes missing", ". --notes /dev/zero"],
    "redo": ["", ".", "/dev/null", ". --trust", "missing --workers 1025"],
    "reproduce": ["nonsense", "one --docs missing", "one --docs .", "one --learners missing"],
    "speed": ["--repeats 1001", "--games 1000001", "--environments 100001", "--repeats 0"],
    "train_all": ["nonsense", "", "results --file /dev/zero", "results --file .", "results --workers 1025"],
    "certificates": ["--games Chess", "--train -1", "--train 0 --deploy 0", "--docs missing", "--games"],
    "kitchens": [
        "--worlds Kitchen",
        "--worlds",
        "--worlds TableWiping TableWiping",
        "--learners sac",
        "--learners",
        "--seeds",
        "--seeds 0 0",
        "--seeds 4294967296",
        "--steps 0",
        "--steps 10000000001",
    ],
    "demo": ["--turns 1", "--seed 4294967296", "--turns 99999999999"],
}
"""Arguments that are wrong together, or outside the limits that help states."""


class Call(NamedTuple):
    """A command and its arguments."""

    command: str
    arguments: list[str]


class Accepted(BaseException):
    """Work would have begun."""


def options_of(kind: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every option that the fields of a dataclass give a command, with its type."""
    hints = typing.get_type_hints(kind)
    for entry in dataclasses.fields(kind):
        name, hint = f"{prefix}{entry.name.replace('_', '-')}", hints[entry.name]
        if dataclasses.is_dataclass(hint):
            yield from options_of(hint, f"{name}.")
        else:
            yield name, hint


def wrong_values(hint: Any) -> Iterator[list[str]]:
    """Lists of words that are no value of a type."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        kinds = [kind for kind in inner if kind is not type(None)]
        shared = [{tuple(words) for words in wrong_values(kind)} for kind in kinds]
        yield from map(list, sorted(set.intersection(*shared)))
    elif origin is tuple:
        yield from ([*words] for words in wrong_values(inner[0]))
        if Ellipsis not in inner:
            yield from (["0.1"] * count for count in (1, 3))
    elif origin is Literal:
        yield from ([text] for text in ("nonsense", "", "0"))
    else:
        yield from ([text] for text in WRONG[hint])


def all_calls() -> list[Call]:
    """Every command with every option at every wrong value, alone."""
    calls = []
    for command, required in REQUIRED.items():
        arguments = importlib.import_module(f"scripts.{command}").Arguments
        calls += [
            Call(command, [*required, *more]) for more in (["--nonsense"], ["--nonsense", "1"], ["--out"])
        ]
        for option, hint in options_of(arguments):
            if option in ("names", "folders", "sweep", "docs", "ray", "notes") or hint is bool:
                continue
            calls += [Call(command, [*required, f"--{option}", *words]) for words in wrong_values(hint)]
            if typing.get_origin(hint) is not tuple:
                calls.append(Call(command, [*required, f"--{option}"]))
    return calls + [
        Call(command, line.split()) for command, lines in WRONG_TOGETHER.items() for line in lines
    ]


def sample_calls(count: int, seed: int) -> list[Call]:
    """So many bad calls: all that have one wrong value, in random order, then those with several."""
    generator, calls = random.Random(seed), all_calls()
    generator.shuffle(calls)
    by_command = [[call for call in calls if call.command == command] for command in REQUIRED]
    chosen = [call for round_ in itertools.zip_longest(*by_command) for call in round_ if call][:count]
    while len(chosen) < count:
        first, second = generator.choice(calls), generator.choice(calls)
        extra = second.arguments[len(REQUIRED[second.command]) :]
        chosen.append(Call(first.command, [*first.arguments, *extra]))
    return chosen


def judge(call: Call, folder: Path) -> str:
    """What is wrong with how a bad call ends, run in this process and a folder; "" if nothing is."""
    module = importlib.import_module(f"scripts.{call.command}")
    (folder / "file.txt").touch()
    out = (
        []
        if "--out" in call.arguments or call.command in ("redo", "train_all")
        else ["--out", str(folder / "out")]
    )
    errors = io.StringIO()
    argv = [f"scripts/{call.command}.py", *call.arguments, *out]
    try:
        with (
            contextlib.chdir(folder),
            mock.patch.object(sys, "argv", argv),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(errors),
        ):
            run_command(module.main, module.Arguments)
    except SystemExit as exit_:
        return judge_refusal(exit_.code, errors.getvalue())
    except Accepted:
        return "was accepted"
    except BaseException as error:
        return f"raised {error!r}"[:500]
    return "ended well"


def judge_refusal(code: object, text: str) -> str:
    """What is wrong with an exit code and what was printed: one sentence, or the box of Tyro's parser."""
    if code != 2:
        return f"exit code {code}: {text[:300]}"
    if "Traceback" in text:
        return f"a traceback: {text[:300]}"
    box = _BOX.match(text)
    if not box and not (text.startswith("error: ") and text.count("\n") == 1 and len(text) < 1500):
        return f"not one sentence: {text[:500]}"
    return ""


@contextlib.contextmanager
def no_work() -> Iterator[None]:
    """Let the commands' work raise `Accepted`."""

    def accept(*_: Any, **__: Any) -> None:
        raise Accepted

    with contextlib.ExitStack() as stack:
        for target in sorted(WORK):
            stack.enter_context(mock.patch(target, accept))
        yield


def main() -> None:
    """Try calls, print those that end badly, and how many there were."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    failures = 0
    with no_work(), tempfile.TemporaryDirectory() as folder:
        for number, call in enumerate(sample_calls(arguments.count, arguments.seed)):
            place = Path(folder) / str(number)
            place.mkdir()
            if wrong := judge(call, place):
                failures += 1
                print(f"{call.command} {[word[:60] for word in call.arguments]}: {wrong}")
    print(f"{arguments.count} bad calls, {failures} not refused in one sentence with exit code 2")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
