"""Minari stores an environment's spec with its data, and recovers it; run by `make test-clients`."""

from __future__ import annotations

import gymnasium
import pytest

import mesa_env
from tests.clients.environments import BEST_RESPONSE, GAMES, NEEDS_CLIENTS, every_environment, play
from tests.conftest import same

minari = pytest.importorskip("minari", reason=NEEDS_CLIENTS)
pytestmark = pytest.mark.filterwarnings(
    "ignore:`.*` is set to None:UserWarning", "ignore:Implicitly cleaning up:ResourceWarning"
)


@every_environment
def test_a_data_set_recovers_the_environment_it_was_collected_in(id, arguments, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    collector = minari.DataCollector(gymnasium.make(id, **arguments))
    played = play(collector)
    stored = collector.create_dataset(
        "mesa/games-v0", algorithm_name="random", author="a", author_email="a@b", description="d"
    )
    recovered = minari.load_dataset("mesa/games-v0").recover_environment()
    assert stored.total_episodes > 0
    assert same(play(recovered), play(gymnasium.make(id, **arguments)))
    rewards = [step[1] for step in played if len(step) == 5]
    kept = [reward for episode in stored.iterate_episodes() for reward in episode.rewards.tolist()]
    assert kept == pytest.approx(rewards[: len(kept)])


def test_an_environment_with_an_agent_is_refused_before_anything_is_collected(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    game = GAMES["DeceptiveAlignment"]
    env = gymnasium.make(BEST_RESPONSE, game=game, successors=mesa_env.oracle(game))
    with pytest.raises(ValueError, match="JSON cannot hold an agent"):
        minari.DataCollector(env)
