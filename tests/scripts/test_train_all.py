"""Training the learners of a TOML file: what they are, and that only what is missing is trained."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from agents.benchmark.run_folder import RunFolder
from agents.learning.settings import NeuralSettings, PPOSettings
from mesa_env import (
    Decoupling,
    Game,
    HiddenDeployment,
    InfiniteHorizon,
    LearnableDiscount,
    Misconception,
    train_then_deploy,
)
from mesa_env.solutions.schedules import optimize_schedule
from scripts import train, train_all, train_neural
from scripts.learner_files import read_jobs
from scripts.train_all import Arguments
from tests.conftest import refused

TINY = """
[tiny]
folder = "{root}/{{learner}}-{{seed}}"
seeds = [0, 1]

[tiny.learners.short]
game = {{ train = 2, deploy = 2 }}
settings = {{ turns = 64, games = 8, hidden = 4, epochs = 1, minibatches = 1 }}

[tiny.learners.network]
game = {{ train = 2, deploy = 2 }}
command = "train_neural"
settings = {{ iterations = 2, games = 2, hidden = [4] }}
"""


def jobs_of(arguments):
    return read_jobs(arguments.file, arguments.names, arguments.seeds)


@pytest.fixture
def tiny(tmp_path):
    (tmp_path / "learners.toml").write_text(TINY.format(root=tmp_path / "runs"))
    return Arguments(names=("tiny",), file=tmp_path / "learners.toml")


def folders(*names):
    return [str(job.out) for job in jobs_of(Arguments(names=names))]


def test_results_are_five_seeds_of_each_experiment_and_a_controller_per_judge():
    expected = [f"runs/{name}_{seed}" for name in ("one", "two") for seed in range(5)]
    assert folders("results") == [*expected, "runs/initial", "runs/current"]
    jobs = {str(job.out): job for job in jobs_of(Arguments(names=("results",)))}
    assert jobs["runs/one_3"] == train.Arguments(seed=3, out=Path("runs/one_3"))
    assert jobs["runs/two_0"].game.build((0.8,)) == Game(train_then_deploy(100, 0))
    assert jobs["runs/current"] == train.Arguments(
        problem="current", initial_goal=(0.8,), out=Path("runs/current")
    )


VARIANTS = {
    "discount": (Game(discount=0.95), {}),
    "regularization": (Game(regularization=0.01), {}),
    "best_schedule": (
        Game(np.append(optimize_schedule(20, 80).rates.round(4), np.zeros(80))),
        {"turns": 2_000_000},
    ),
    "best_constant": (Game(train_then_deploy(20, 80, 0.023)), {"turns": 2_000_000}),
    "train_forever": (InfiniteHorizon([1.0], discount=0.9, max_episodes=100), {}),
    "deploy_forever": (InfiniteHorizon(max_episodes=400), {"games": 16}),
    "misconception": (Misconception(initial_belief=(-1.0, 1.0)), {}),
    "naive": (LearnableDiscount(discount_learning_rate=0.0, discount=(0.0, 1.0)), {}),
    "foreseeing": (LearnableDiscount(discount=(0.5, 1.0)), {}),
    "decoupling": (Decoupling(), {"turns": 3_000_000}),
    "belief": (HiddenDeployment(), {"games": 128}),
    "signal": (HiddenDeployment(observed="signal"), {"games": 128}),
    "memory": (HiddenDeployment(observed="signal"), {"games": 128, "turns": 3_000_000, "memory": True}),
}


def test_variants_are_three_seeds_of_every_learner():
    jobs = jobs_of(Arguments(names=("variants",)))
    assert [str(job.out) for job in jobs] == [
        f"runs/variants/{name}-{seed}" for name in VARIANTS for seed in range(3)
    ]
    for job in jobs:
        game, settings = VARIANTS[job.out.name.partition("-")[0]]
        assert job.game.build((-1.0, 1.0)) == dataclasses.replace(game, initial_goal=(-1.0, 1.0))
        assert job.settings == PPOSettings(**{"turns": 1_000_000} | settings)
        settings = job.settings
        assert job == train.Arguments(game=job.game, settings=settings, seed=job.seed, out=job.out)


def test_networks_are_five_seeds_with_one_goal_and_with_many_with_and_without_decay():
    jobs = jobs_of(Arguments(names=("networks",)))
    assert len(jobs) == 20
    for job in jobs:
        kind, _, seed = job.out.name.partition("-")
        expected = train_neural.Arguments(
            initial_goal=(0.8,) if kind.startswith("one") else None,
            settings=NeuralSettings(weight_decay=1.0 if kind.endswith("decay") else 0.0),
            seed=int(seed),
            out=Path("runs/variants") / job.out.name,
        )
        assert job == expected


def test_single_learners_and_seeds_can_be_chosen():
    assert folders("variants.memory", "results.initial") == [
        *(f"runs/variants/memory-{seed}" for seed in range(3)),
        "runs/initial",
    ]
    chosen = jobs_of(Arguments(names=("results.two",), seeds=(7, 9)))
    assert [(job.seed, str(job.out)) for job in chosen] == [(7, "runs/two_7"), (9, "runs/two_9")]


def test_only_missing_learners_are_trained_and_interrupted_ones_are_resumed(tiny):
    jobs = jobs_of(tiny)
    train.main(jobs[0])
    before = (jobs[0].out / "model.zip").stat().st_mtime_ns
    with RunFolder(jobs[1].out, "train") as folder:
        folder.record(jobs[1])
    assert [train_all.is_finished(job.out) for job in jobs] == [True, False, False, False]
    train_all.main(dataclasses.replace(tiny, workers=2))
    assert all(train_all.is_finished(job.out) for job in jobs)
    assert (jobs[0].out / "model.zip").stat().st_mtime_ns == before
    train_all.main(tiny)  # nothing is left to do


@pytest.mark.parametrize("owner", [None, "evaluate", "train"])
def test_a_figure_of_anything_else_is_no_finished_training(tmp_path, owner):
    if owner:
        with RunFolder(tmp_path, owner) as folder:
            folder.claim()
            folder.file("figure.png", b"a picture")
    (tmp_path / "evaluation.csv").write_text("mine")
    (tmp_path / "figure.png").write_bytes(b"a picture")
    assert not train_all.is_finished(tmp_path)


def test_a_learner_that_is_named_twice_is_trained_once(tiny):
    assert jobs_of(dataclasses.replace(tiny, names=("tiny", "tiny.short"))) == jobs_of(tiny)


@pytest.mark.parametrize(
    ("changes", "old", "new", "words"),
    [
        ({"names": ("tini",)}, "", "", "learners.toml are named tiny, tiny.short"),
        ({"names": ("tini",)}, "", "", "did you mean 'tiny'"),
        ({"workers": 0}, "", "", "workers must be a whole number in 1…1024; got 0"),
        ({"seeds": (-1,)}, "", "", "seed must be a whole number in 0…4294967295; got -1"),
        ({}, "hidden = 4", "hidden = 0", "hidden must be a whole number in 1…4096; got 0"),
        ({}, "hidden = 4", "width = 4", "learner short: "),
        ({}, "train_neural", "retrain", "command must be one of train, train_neural; got 'retrain'"),
        ({}, "-{seed}", "", "must have folders of their own; two have"),
        ({}, "{learner}-", "", "must have folders of their own; two have"),
        ({}, "{learner}-{seed}", "all/../all", "must have folders of their own; two have"),
        ({}, "learners.", "pupils.", "must be a group with a table of learners"),
        ({}, "seeds = ", "number = ", "must have a folder and seeds; it has no seeds"),
        ({}, "folder = ", "path = ", "must have a folder and seeds; it has no folder"),
        ({}, "seeds = [0, 1]", "seeds = 5", "seeds must be a list of whole numbers; got 5"),
        ({}, "seeds = [0, 1]", 'seeds = ["x"]', "seed must be a whole number"),
        (
            {},
            "seeds = [0, 1]",
            "seeds = [0]\nthreads = 'x'",
            "threads must be of type <class 'int'>",
        ),
        ({}, "seeds = [0, 1]", "seeds = [0]\nproblem = 'x'", "learner short: problem must be of type"),
        ({}, "seeds = [0, 1]", "seeds = [0]\nresume = true", "learner short: there is no 'resume'"),
        ({}, "seeds = [0, 1]", "seeds = [0]\ninitial_goal = 0.8", "initial_goal must be of type"),
        ({}, "game = { train = 2, deploy = 2 }", "game = 3", "learner short: game must be of type"),
        ({}, "train = 2,", "train = 1000000000000,", "train must be a whole number in 0…100000"),
        ({}, "train = 2,", "train = true,", "train must be of type"),
        ({}, "turns = 64", "turns = 8", "learner short: turns must allow one rollout"),
        ({}, "folder = ", "folder = 3 # ", "its folder must be a path; got 3"),
        ({"seeds": ()}, "", "", "--seeds must name at least one seed"),
        ({}, "[tiny]", "[tiny", "a file of learners must be a TOML file"),
    ],
)
def test_bad_learners_are_refused_before_any_work(tiny, capsys, changes, old, new, words):
    tiny.file.write_text(tiny.file.read_text().replace(old, new))
    assert words in refused(capsys, train_all.main, dataclasses.replace(tiny, **changes))
    assert not (tiny.file.parent / "runs").exists()
