"""skrl's wrapper on every environment; in the extra `clients`, run by `make test-clients`."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from tests.clients.environments import NEEDS_CLIENTS, every_environment

skrl = pytest.importorskip("skrl.envs.wrappers.torch", reason=NEEDS_CLIENTS)
torch = pytest.importorskip("torch", reason=NEEDS_CLIENTS)
pytestmark = pytest.mark.filterwarnings("default")  # of skrl's own


@every_environment
@pytest.mark.parametrize(
    "make", [gymnasium.make, lambda id, **arguments: gymnasium.make_vec(id, 3, **arguments)]
)
def test_an_environment_is_recognized_and_plays_the_same_game(id, arguments, make):
    """skrl looks at the direct bases of an environment's class for the name of its library."""
    wrapped = skrl.wrap_env(make(id, **arguments).unwrapped)
    plain = make(id, **arguments)
    assert type(wrapped).__name__ == "GymnasiumWrapper"
    plain.action_space.seed(3)
    expected, _ = plain.reset(seed=wrapped._seed)  # which skrl takes from its configuration
    seen, _ = wrapped.reset()
    for _ in range(3):
        np.testing.assert_allclose(seen.numpy().reshape(expected.shape), expected)
        action = plain.action_space.sample()
        seen, reward, terminated, *_ = wrapped.step(torch.as_tensor(action.reshape(wrapped.num_envs, -1)))
        expected, paid, over, cut, _ = plain.step(action)
        np.testing.assert_allclose(reward.numpy().ravel(), paid, rtol=1e-6)
        assert np.array_equal(terminated.numpy().ravel(), np.atleast_1d(over))
        if isinstance(plain, gymnasium.Env) and (over or cut):
            break
