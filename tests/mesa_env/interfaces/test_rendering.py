"""Pictures and lines of a game, and the window that shows them."""

from __future__ import annotations

import copy
import pickle
import sys

import gymnasium
import matplotlib
import numpy as np
import pettingzoo
import pytest
from gymnasium.error import DependencyNotInstalled

import mesa_env
from mesa_env import Game, train_then_deploy
from mesa_env.interfaces import rendering

ID = "mesa_env/DeceptiveAlignment-v0"
GAME = Game(train_then_deploy(1, 2), coefficient_bound=1)
ACTION = np.full(1, 0.5, dtype=np.float32)
HISTORY = [
    {"goal": 0.8, "output": 0.4, "next_goal": 0.4, "training": True},
    {"goal": 0.4, "output": -0.2, "next_goal": 0.4, "training": False},
]


def shown(pygame):
    """What the window shows, as an array like a frame."""
    return pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)


# -- Lines and pictures -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "line"),
    [
        ([], "before episode 1 of 3"),
        (
            HISTORY[:1],
            "episode 1 of 3 (training): goal +0.8000, output +0.4000, next goal +0.4000",
        ),
        (HISTORY, "episode 2 of 3 (deployment): goal +0.4000, output -0.2000, next goal +0.4000"),
    ],
)
def test_text_describes_the_last_episode(history, line):
    assert rendering.text(GAME, history) == line


def test_a_frame_is_a_function_of_the_history():
    frames = [rendering.frame(GAME, HISTORY[:n]) for n in (0, 1, 2)]
    for picture in frames:
        assert picture.dtype == np.uint8
        assert picture.shape == frames[0].shape
        assert picture.shape[2] == 3
        assert picture.min() < 50 < 250 < picture.max()
    np.testing.assert_array_equal(rendering.frame(GAME, HISTORY), frames[2])
    assert not np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[1], frames[2])


def test_a_frame_does_not_depend_on_the_users_settings_for_saved_figures():
    plain = rendering.frame(GAME, HISTORY)
    with matplotlib.rc_context({"savefig.dpi": 50, "savefig.bbox": "tight", "figure.dpi": 50}):
        np.testing.assert_array_equal(rendering.frame(GAME, HISTORY), plain)


def test_a_goal_of_zero_has_no_coefficient_and_does_no_harm():
    history = [{"goal": 0.0, "output": 0.0, "next_goal": 0.0, "training": True}] * 3
    assert rendering.frame(GAME, history).shape[2] == 3


def test_long_games_line_up():
    lines = [rendering.text(Game(), HISTORY[:1] * n) for n in (1, 50, 100)]
    assert len({line.index("of") for line in lines}) == 1


# -- Environments -------------------------------------------------------------------------------------


@pytest.mark.parametrize("render_mode", ["rgb_array", "ansi"])
def test_both_interfaces_draw_the_same_game(render_mode):
    single = gymnasium.make(ID, game=GAME, render_mode=render_mode)
    aec = pettingzoo.make("aec", ID, game=GAME, render_mode=render_mode)
    single.reset(seed=0)
    aec.reset(seed=0)
    history = [single.step(ACTION)[4] for _ in range(2)]
    for _ in range(2):
        aec.step(ACTION)
    expected = {"rgb_array": rendering.frame, "ansi": rendering.text}[render_mode]
    np.testing.assert_array_equal(single.render(), expected(GAME, history))
    np.testing.assert_array_equal(aec.render(), expected(GAME, history))
    for env in (single, aec):
        env.reset()
        np.testing.assert_array_equal(env.render(), expected(GAME, []))


def test_without_a_render_mode_nothing_is_shown_but_a_warning():
    raw, single = mesa_env.raw_env(GAME), gymnasium.make(ID, game=GAME).unwrapped
    for env in (raw, single):
        env.reset()
        with pytest.warns(UserWarning, match="without a render_mode"):
            assert env.render() is None


@pytest.mark.parametrize(
    "build",
    [
        lambda mode: mesa_env.env(GAME, render_mode=mode),
        lambda mode: mesa_env.raw_env(GAME, render_mode=mode),
    ],
)
def test_unknown_render_modes_raise_with_the_known_ones(build):
    with pytest.raises(ValueError, match=r"\['human', 'rgb_array', 'ansi'\]; got 'braille'"):
        build("braille")


@pytest.mark.filterwarnings("ignore:.*'braille':UserWarning", "ignore:.*'ansi':UserWarning")
def test_gymnasium_environments_refuse_render_modes_that_they_lack():
    with pytest.raises(ValueError, match=r"\['human', 'rgb_array', 'ansi'\]; got 'braille'"):
        gymnasium.make(ID, render_mode="braille")
    with pytest.raises(TypeError, match="must be None, since this environment is not drawn; got 'ansi'"):
        gymnasium.make("mesa_env/BestResponse-v0", render_mode="ansi")


# -- The window ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("interface", ["aec", "gymnasium"])
def test_the_window_shows_the_game_so_far_until_it_is_closed(pygame, interface):
    if interface == "aec":
        env = mesa_env.env(GAME, render_mode="human")
    else:
        env = gymnasium.make(ID, game=GAME, render_mode="human")
    env.reset(seed=0)
    np.testing.assert_array_equal(shown(pygame), rendering.frame(GAME, []))
    env.step(ACTION)
    history = [{"goal": 0.8, "output": 0.4, "next_goal": 0.4, "training": True}]
    np.testing.assert_array_equal(shown(pygame), rendering.frame(GAME, history))
    assert env.render() is None
    env.close()
    assert not pygame.display.get_init()
    env.close()


def test_a_game_can_go_on_after_its_window_was_closed(pygame):
    env = mesa_env.env(GAME, render_mode="human")
    env.reset()
    env.close()
    env.step(ACTION)
    assert pygame.display.get_init()
    env.close()


def test_closing_one_window_leaves_another_environments_game_alone(pygame):
    first, second = (mesa_env.env(GAME, render_mode="human") for _ in range(2))
    first.reset()
    second.reset()
    first.close()
    second.step(ACTION)
    np.testing.assert_array_equal(shown(pygame), rendering.frame(GAME, HISTORY[:1]))
    second.close()


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["deepcopy", "pickle"]
)
def test_an_environment_with_a_window_can_be_copied(pygame, copied):
    env = mesa_env.env(GAME, render_mode="human")
    env.reset()
    twin = copied(env)
    twin.step(ACTION)
    assert twin.infos["episode_0"]["output"] == pytest.approx(0.4)
    assert env.infos["episode_0"] == {}
    env.close()
    twin.close()


@pytest.mark.parametrize(
    ("render_mode", "package", "module"),
    [("human", "pygame", "pygame"), ("rgb_array", "matplotlib", "matplotlib.figure")],
)
def test_a_missing_package_says_how_to_get_it(monkeypatch, render_mode, package, module):
    monkeypatch.setitem(sys.modules, module, None)
    env = mesa_env.raw_env(GAME, render_mode)
    with pytest.raises(DependencyNotInstalled, match=rf"{package}: run pip install 'mesa-env\[render\]'"):
        env.render()


@pytest.mark.parametrize("render_mode", ["human", "ansi"])
def test_rendering_does_not_change_the_game(pygame, render_mode):
    plain, drawn = mesa_env.env(GAME), mesa_env.env(GAME, render_mode=render_mode)
    for env in (plain, drawn):
        env.reset(seed=0)
    for _ in range(3):
        for env in (plain, drawn):
            env.step(ACTION)
        assert drawn.render_mode == "human" or drawn.render()
        assert plain.infos == drawn.infos
        assert plain.rewards == drawn.rewards
    drawn.close()


@pytest.mark.parametrize(
    ("goal", "shown"), [(1e-30, "+1.000e-30"), (-2e30, "-2.000e+30"), (0.25, "+0.2500"), (0.0, "+0.0000")]
)
def test_lines_show_goals_of_any_size(goal, shown):
    game = mesa_env.Game([0.0], goal_bound=1e31, initial_goal=goal)
    env = mesa_env.raw_env(game=game, render_mode="ansi")
    env.reset(seed=0)
    env.step(np.array([0.5]))
    assert f"goal {shown}, " in env.render()
