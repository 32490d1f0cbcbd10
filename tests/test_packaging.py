"""The wheel holds `mesa_env` alone, and works with the lowest versions that it allows."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import mesa_env

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

PLAY = """
import gymnasium, pettingzoo, mesa_env
game = mesa_env.Game(mesa_env.train_then_deploy(2, 3), initial_goal=(-1.0, 1.0))
env = pettingzoo.make("aec", "mesa_env/DeceptiveAlignment-v0", game=game)
env.reset(seed=0)
turns = 0
for agent in env.agent_iter():
    observation, reward, termination, truncation, info = env.last()
    turns += not termination
    env.step(None if termination or truncation else env.action_space(agent).sample())
assert turns == 5
for judge in ("initial", "current"):
    env = gymnasium.make("mesa_env/DeceptiveAlignment-v0", game=game, judge=judge)
    env.reset(seed=0)
    assert env.step(env.action_space.sample())[1] <= 0
    batch = gymnasium.make_vec("mesa_env/DeceptiveAlignment-v0", num_envs=8, game=game, judge=judge)
    batch.reset(seed=0)
    assert batch.step(batch.action_space.sample())[1].shape == (8,)
one_decision = {"game": game, "successors": mesa_env.solve_equilibrium(game)}
env = gymnasium.make("mesa_env/BestResponse-v0", **one_decision)
env.reset(seed=0)
assert env.step(env.action_space.sample())[2]
"""

SOLVE = """
import mesa_env
game = mesa_env.Game()
assert abs(mesa_env.solve_equilibrium(game)[0] - 0.0311513) < 1e-7
assert abs(mesa_env.grid_search(game)[0] - 0.03) < 1e-12
for kind in (mesa_env.Game, mesa_env.Misconception, mesa_env.LearnableDiscount, mesa_env.Decoupling):
    game = kind(mesa_env.train_then_deploy(3, 4))
    oracle = mesa_env.oracle(game)
    played = mesa_env.rollout(game, oracle, initial_goal=[0.8])
    assert mesa_env.audit(game, oracle, played).relative.max() < 1e-3, kind
"""

COMPARE = """
import numpy as np
import mesa_env

class Open:
    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.ones((len(observation), 1), dtype=np.float32), state

game = mesa_env.Game()
compared = mesa_env.compare(game, {"open": Open(), "oracle": mesa_env.oracle(game)}, [0.8])
of_open, of_oracle = compared["nash_conv"]
assert round(of_open) == 3222
assert abs(of_oracle) < 1e-6
"""


def run(*command: str | Path) -> str:
    """Output of a command, which must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip(*arguments: str | Path) -> str:
    return run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments)


def lowest(requirement: str) -> str:
    """The lowest version that a requirement allows, as a constraint."""
    parsed = Requirement(requirement)
    (bound,) = [specifier.version for specifier in parsed.specifier if specifier.operator == ">="]
    return f"{parsed.name}=={bound}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and its requirements, in their lowest versions."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    interpreter = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    constraints = folder / "constraints.txt"
    oldest = sys.version_info[:2] == (3, 11)  # later Pythons have no binaries of the lowest versions
    constraints.write_text("\n".join(map(lowest, PROJECT["dependencies"] if oldest else [])))
    pip("--python", interpreter, "install", "--only-binary=:all:", "--constraint", constraints, wheel)
    return interpreter


def test_the_wheel_holds_mesa_env_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"mesa_env"}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "mesa_env").rglob("*.py")}
    assert {name for name in names if name.startswith("mesa_env/")} == modules | {"mesa_env/py.typed"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_version_is_that_of_the_package(wheel):
    assert wheel.name == f"mesa_env-{mesa_env.__version__}-py3-none-any.whl"
    assert "version" in PROJECT["dynamic"]


def test_an_installed_wheel_knows_its_version(python):
    code = "import importlib.metadata as m, mesa_env; print(m.version('mesa-env') == mesa_env.__version__)"
    assert run(python, "-I", "-c", code).strip() == "True"


def test_extras_exist_for_every_trade():
    extras = {"render", "learn", "benchmark", "cluster", "clients", "docs", "dev"}
    assert extras <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("script", [PLAY, SOLVE, COMPARE], ids=["play", "solve", "compare"])
def test_a_clean_install_needs_nothing_else(python, script, tmp_path):
    (tmp_path / "script.py").write_text(script)
    run(python, "-I", tmp_path / "script.py")


def test_a_clean_install_is_slim(python):
    code = "import importlib.metadata as m; print(*(d.metadata['Name'] for d in m.distributions()))"
    installed = {name.lower().replace("_", "-") for name in run(python, "-I", "-c", code).split()}
    assert {"mesa-env", *(Requirement(one).name for one in PROJECT["dependencies"])} <= installed
    assert not installed & {"torch", "stable-baselines3", "sb3-contrib", "pandas", "matplotlib", "pygame-ce"}
