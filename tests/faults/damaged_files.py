"""Damaged files of every kind that a command reads, and what must come of them.

`python -m tests.faults.damaged_files --count 1000 --seed 1` damages so many, and prints those that end in a
traceback or in more than one sentence. Damage that leaves a file legal, such as another digit, is accepted.
"""

import argparse
import contextlib
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from agents.benchmark.run import execute
from agents.benchmark.store import REDONE, SCHEMA, write_row
from agents.benchmark.sweep_folder import SweepFolder
from agents.learning import algorithms
from agents.learning.settings import NeuralSettings, PPOSettings
from scripts import sweep, train, train_neural, tune
from scripts.game_arguments import GameArguments
from tests.agents.benchmark.test_run import tiny_run
from tests.agents.benchmark.test_summaries import FEW, SMALL, made_up_rows
from tests.faults.bad_calls import ROOT, Call, judge, no_work

_GAME = GameArguments(train=1, deploy=1)
_SETTINGS = PPOSettings(turns=160, games=4, hidden=4, minibatches=1, epochs=1)
_RESUMED = (
    "train --out halted --resume --game.train 1 --game.deploy 1 --settings.turns 160 --settings.games 4 "
    "--settings.hidden 4 --settings.minibatches 1 --settings.epochs 1"
)
_SWEPT = "sweep --grid swept.toml --out sweep --resume"
_PLAYED = "evaluate --out new --game.train 1 --game.deploy 1 --agents"
_HOSTILE = [
    "<b>x</b>",
    "# x",
    "a|b",
    "`x`",
    "$\\frac{$",
    "x\0y",
    "a\nb",
    "../../x",
    "",
    "x" * 100_000,
    "[red]",
    "_x",
]
_VALUES = [
    None,
    [],
    {},
    "",
    "x",
    -1,
    0,
    1e308,
    float("nan"),
    True,
    10**30,
    [[1]],
    {"a": {"a": 1}},
    [1] * 1000,
    *_HOSTILE,
]


REDONE_ROW: dict[str, Any] = {"run_id": "tiny/ppo/1500000/0", "algorithm": "ppo", "game": "tiny"}
REDONE_ROW |= dict.fromkeys(("same_weights", "same_evaluation", "same_versions"), True)

KINDS = {
    "grid": ("grid.toml", "sweep --grid grid.toml --out new"),
    "learners": ("learners.toml", "train_all tiny --file learners.toml"),
    "notes": ("notes.md", "report rows --notes notes.md --out new"),
    "config of a run": ("sweep/runs/{run}/config.json", "redo sweep/runs/{run} --trust"),
    "result of a run": ("sweep/runs/{run}/result.json", "redo sweep/runs/{run} --trust"),
    "result of a run, resumed": ("sweep/runs/{run}/result.json", _SWEPT),
    "config of a sweep": ("sweep/config.json", _SWEPT),
    "row of a report": ("rows/data/tiny/ppo/1500000/0.parquet", "report rows --out new"),
    "row of a run that was redone": ("rows/redone/tiny.parquet", "report rows --out new"),
    "row of a sweep": ("sweep/data/{run}.parquet", _SWEPT),
    "config of a training": ("halted/config.json", _RESUMED),
    "checkpoint": ("halted/checkpoint.zip", _RESUMED),
    "model": ("trained/model.zip", f"{_PLAYED} trained/model.zip"),
    "policy": ("neural/policy.pt", f"{_PLAYED} neural/policy.pt --game.rules Decoupling"),
    "journal": (
        "study/study.log",
        "tune --algorithm ppo --turns 400 --trials 1 --seeds 1 --out study --resume --game.train 1 "
        "--game.deploy 1",
    ),
    "tuned parameters": ("tuned.json", "sweep --grid tuned.toml --out new"),
}
"""Kinds of files: one of the prepared folder, and the command that reads it."""

CHECKED = ("config of a run", "result of a run", "row of a report", "checkpoint", "model", "policy")
"""Kinds of files that cannot lose their end, or be something else, without being refused."""


def prepare(folder: Path) -> str:
    """Write one good file of each kind; returns the id of the sweep's run."""
    run = tiny_run("network")
    game = "[games.tiny]\ntrain = 3\ndeploy = 5\n"
    (folder / "grid.toml").write_text(f'algorithms = ["a2c"]\nseeds = 2\nturns = 1000\n{game}')
    (folder / "tuned.toml").write_text(f'algorithms = ["ppo"]\nseeds = 1\n{game}')
    swept = f'algorithms = ["{run.algorithm}"]\nseeds = [{run.seed}]\nturns = {run.turns}\n'
    (folder / "swept.toml").write_text(swept + game)
    learner = 'folder = "new/{learner}-{seed}"\nseeds = [0]\nsettings = {turns = 1000}\n'
    (folder / "learners.toml").write_text(f"[tiny.learners.one]\n{learner}")
    (folder / "notes.md").write_text("Text.\n<!-- check: runs of ppo on tiny <= 9 -->\n")
    with SweepFolder(folder / "sweep", resume=False) as kept:
        kept.describe(sweep.Arguments(), folder / "swept.toml")
        kept.keep(run, execute(run))
    for row in made_up_rows(SMALL, FEW, range(2)).to_dict("records"):
        write_row(folder / "rows" / "data" / f"{row['run_id']}.parquet", row, SCHEMA)
    write_row(folder / "rows" / "redone" / "tiny.parquet", REDONE_ROW, REDONE)
    train.main(train.Arguments(game=_GAME, settings=_SETTINGS, out=folder / "trained"))
    with (
        mock.patch("agents.learning.checkpoints.save", side_effect=KeyboardInterrupt),
        contextlib.suppress(KeyboardInterrupt),
    ):
        train.main(train.Arguments(game=_GAME, settings=_SETTINGS, out=folder / "halted"))
    settings, decoupling = NeuralSettings(iterations=0, hidden=(2,)), GameArguments("Decoupling", 1, 1)
    train_neural.main(train_neural.Arguments(game=decoupling, settings=settings, out=folder / "neural"))
    tune.main(tune.Arguments("ppo", 400, 1, 1, _GAME, folder / "study"))
    shutil.copy(algorithms.TUNED, folder / "tuned.json")
    return run.id


# -- Damage: what a file becomes, and whether it can no longer be legal ------------------------------------

Damage = Callable[[bytes, random.Random], bytes]


def cut(content: bytes, generator: random.Random) -> bytes:
    """Its beginning."""
    return content[: generator.randrange(len(content))]


def flip(content: bytes, generator: random.Random) -> bytes:
    """One bit flipped."""
    place = generator.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << generator.randrange(8)]) + content[place + 1 :]


def clear(content: bytes, generator: random.Random) -> bytes:
    """A block of zeros, as a crash may leave it."""
    start = generator.randrange(len(content))
    length = min(generator.randrange(1, 600), len(content) - start)
    return content[:start] + bytes(length) + content[start + length :]


def repeat(content: bytes, generator: random.Random) -> bytes:
    """Its beginning twice."""
    return content[: generator.randrange(len(content))] + content


def replace(_: bytes, generator: random.Random) -> bytes:
    """Something else altogether."""
    deep = [b"[" * 100_000, b'{"a":' * 100_000]
    other = [b"null", b"[]", b"{}", b"x = 1", b"<!-- check: x -->", b"\x80\x04\x95", generator.randbytes(500)]
    return generator.choice([b"", b"\0" * 100, b"\xff\xfe\x00", b"PK\x03\x04", b"PAR1PAR1", *deep, *other])


def change_value(content: bytes, generator: random.Random) -> bytes:
    """A JSON file with another value somewhere, or one line of JSON, or a Parquet row; else one more line."""
    try:
        lines = content.decode().splitlines() if b'"op_code"' in content else [content.decode()]
        number = generator.randrange(len(lines))
        tree = json.loads(lines[number])
    except ValueError:
        text = json.dumps(generator.choice(_VALUES))
        return content + f"\nseeds = {text}\n[{text}]\n<!-- check: {text} of ppo on tiny < 1 -->\n".encode()
    branch, key = tree, generator.choice(list(tree))
    while isinstance(branch[key], dict) and branch[key] and generator.random() < 0.8:
        branch, key = branch[key], generator.choice(list(branch[key]))
    branch[key] = generator.choice(_VALUES)
    lines[number] = json.dumps(tree)
    return "\n".join(lines).encode()


DAMAGE: dict[str, Damage] = {
    damage.__name__: damage for damage in (cut, flip, clear, repeat, replace, change_value)
}
"""Ways to damage a file."""


def hostile_row(path: Path, generator: random.Random) -> None:
    """Write a row again with one of its values changed to one that its type allows."""
    row, schema = REDONE_ROW.copy(), REDONE
    if "redone" not in path.parts:
        row, schema = made_up_rows(SMALL, FEW, range(1)).to_dict("records")[0], SCHEMA
    name = generator.choice(schema.names)
    kind = str(schema.field(name).type)
    choices: dict[str, list[Any]] = {
        "string": [
            *_HOSTILE,
            "{}",
            "[]",
            '{"a": "<b>`$|"}',
            json.dumps({"learning_rates": [1] * 10**6}),
            "[" * 10**5,
        ],
        "int64": [None, -1, 0, 2**62],
        "bool": [None, True, False],
        "double": [None, float("nan"), float("inf"), -float("inf"), -1e300, 1e300],
    }
    several = [[], None, [1], [1] * 7, np.arange(20)[::-1].tolist(), [None] * 20, [0] * 20, [1] * 10**5]
    row[name] = generator.choice(choices.get(kind, several))
    write_row(path, row, schema)


def cases(count: int, seed: int) -> Iterator[tuple[str, str, int]]:
    """So many cases, kind by kind and damage by damage: both names, and a seed."""
    generator = random.Random(seed)
    for number in range(count):
        kind = list(KINDS)[number % len(KINDS)]
        ways = [
            *DAMAGE,
            *(["hostile"] * 6 if kind in ("row of a report", "row of a run that was redone") else []),
        ]
        yield kind, generator.choice(ways) if number >= len(KINDS) else "replace", generator.randrange(2**31)


def judge_case(prepared: Path, run: str, place: Path, case: tuple[str, str, int]) -> str:
    """Damage a copy of a prepared file, call the command that reads it, and say what is wrong with that."""
    kind, way, seed = case
    generator = random.Random(seed)
    file, line = (text.format(run=run) for text in KINDS[kind])
    shutil.copytree(prepared, place)
    path = place / file
    if way == "hostile":
        hostile_row(path, generator)
    else:
        path.write_bytes(DAMAGE[way](path.read_bytes(), generator))
    command, *arguments = line.split()
    call = Call(command, arguments)
    tuned = path if kind == "tuned parameters" else algorithms.TUNED
    with mock.patch.object(algorithms, "TUNED", tuned):
        reason = judge(call, place)
    if reason in ("was accepted", "ended well"):
        return "the damage went unnoticed" if kind in CHECKED and way in ("cut", "replace") else ""
    return reason


def main() -> None:
    """Damage files, print those that end badly, and how many there were."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests" / "agents" / "benchmark"))
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared"
        prepared.mkdir()
        run = prepare(prepared)
        with no_work():
            for number, case in enumerate(cases(arguments.count, arguments.seed)):
                place = Path(folder) / str(number)
                if wrong := judge_case(prepared, run, place, case):
                    failures += 1
                    print(f"{case}: {wrong}", flush=True)
                shutil.rmtree(place)
    print(f"{arguments.count} damaged files, {failures} not refused in one sentence")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
