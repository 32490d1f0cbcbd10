"""Videos by the wrappers of Gymnasium and PettingZoo, which need MoviePy; in the extra `clients`."""

from __future__ import annotations

import gymnasium
import pettingzoo
import pytest
from gymnasium.wrappers import RecordVideo
from pettingzoo.utils import wrappers as aec_wrappers

from tests.clients.environments import (
    CASES,
    NEEDS_CLIENTS,
    every_aec_environment,
    play,
    play_agents,
)
from tests.conftest import same

pytest.importorskip("moviepy", reason=NEEDS_CLIENTS)
pytest.importorskip("matplotlib")
pytestmark = pytest.mark.filterwarnings("default")  # of MoviePy's own
DRAWN = [case for case in CASES if "judge" in case.values[1]]


@pytest.mark.parametrize(("id", "arguments"), DRAWN[::2], ids=[case.id for case in DRAWN[::2]])
def test_a_single_environment_is_filmed_and_plays_the_same_game(id, arguments, tmp_path):
    env = RecordVideo(
        gymnasium.make(id, render_mode="rgb_array", **arguments),
        str(tmp_path / "video"),
        lambda game: game == 0,
    )
    assert same(play(env, steps=6), play(gymnasium.make(id, **arguments), steps=6))
    env.close()
    assert [file.name for file in tmp_path.glob("video/*.mp4")] == ["rl-video-episode-0.mp4"]


@every_aec_environment
def test_a_game_of_agents_is_filmed_and_is_the_same_game(id, arguments, tmp_path):
    env = aec_wrappers.RecordVideo(
        pettingzoo.make("aec", id, render_mode="rgb_array", **arguments),
        str(tmp_path / "video"),
        lambda game: game == 0,
    )
    assert same(play_agents(env), play_agents(pettingzoo.make("aec", id, **arguments)))
    env.close()
    assert len(list(tmp_path.glob("video/*.mp4"))) == 1
