"""The oracle of every kind of game."""

import re

import pytest

import agents
import mesa_env
from mesa_env import GAMES, Game
from mesa_env.solutions.oracles import ORACLES
from tests.conftest import ONE_OF_EACH_KIND


def test_there_is_an_oracle_of_every_kind_of_game():
    assert ONE_OF_EACH_KIND.keys() == GAMES.keys()
    assert all(type(game) is GAMES[name] for name, game in ONE_OF_EACH_KIND.items())
    assert ORACLES.keys() == set(GAMES.values())


@pytest.mark.parametrize("make", [mesa_env.oracle, lambda game: agents.make("equilibrium", game)])
def test_games_without_an_oracle_are_refused(make):
    class Unsolved(Game):
        """A game of the user's own."""

    names = ", ".join(kind.__name__ for kind in ORACLES)
    with pytest.raises(ValueError, match=re.escape(f"there are oracles for {names}; got Unsolved")):
        make(Unsolved([1.0, 0.0]))
