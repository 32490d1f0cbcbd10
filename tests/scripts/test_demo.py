"""The demo: train, compare, and find what was trained."""

import dataclasses

import pandas as pd

import agents
from agents.benchmark.run_folder import RunFolder
from agents.learning.settings import PPOSettings
from scripts import demo, train
from tests.conftest import refused


def test_the_learner_is_compared_with_every_reference_agent(tmp_path, capsys):
    arguments = demo.Arguments(out=tmp_path, turns=6400)
    demo.main(arguments)
    table = pd.read_csv(tmp_path / "comparison.csv")
    assert set(table["agent"]) == {*agents.NAMES, "learned"}
    printed = capsys.readouterr().out
    learned = table.set_index("agent").loc["learned"]
    assert f"pays its first agent {-learned['mesa_cost']:.4f}" in printed
    demo.main(arguments)
    assert "Found a trained learner" in capsys.readouterr().out
    other = dataclasses.replace(arguments, seed=1)
    assert "seed was 0 and is now 1" in refused(capsys, demo.main, other)


def test_a_demo_stopped_before_its_first_checkpoint_starts_again(tmp_path):
    arguments = demo.Arguments(out=tmp_path, turns=6400)
    settings = PPOSettings(turns=arguments.turns)
    with RunFolder(tmp_path, "train") as folder:
        folder.record(train.Arguments(settings=settings, out=tmp_path))
    demo.main(arguments)
    assert (tmp_path / "model.zip").exists()
