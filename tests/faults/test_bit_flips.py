"""Files with one flipped bit: each is read as what was written, or refused in one sentence."""

import random

import pytest

from agents.benchmark.run import Run, execute
from agents.benchmark.sweep_folder import SweepFolder, read_folder
from agents.learning import checkpoints, neural
from agents.learning.settings import PPOSettings
from agents.learning.training import Training
from mesa_env import Game, train_then_deploy

GAME = Game(train_then_deploy(3, 5))
RUN = Run.of("tiny", GAME, "ppo", {"games": 8, "hidden": 8}, 128, 0)


def weights(model):
    """Every number that decides what a model does."""
    policy = getattr(model, "policy", model)
    return {name: tensor.tolist() for name, tensor in policy.state_dict().items()}


def write_policy(folder):
    neural.save(neural.NeuralPolicy([2.0, 2.0], (8,)), folder / "policy.pt")
    return folder / "policy.pt", lambda: weights(neural.load(folder / "policy.pt"))


def write_model(folder):
    model = Training(GAME, PPOSettings(turns=64, games=8, hidden=8)).run()
    checkpoints.save(model, folder / "model.zip")
    return folder / "model.zip", lambda: weights(checkpoints.load(folder / "model.zip"))


def write_result(folder):
    with SweepFolder(folder, resume=False) as sweep:
        sweep.keep(RUN, execute(RUN))
    run = folder / "runs" / RUN.id
    return run / "result.json", lambda: read_folder(run)


@pytest.mark.parametrize("write", [write_policy, write_model, write_result])
@pytest.mark.filterwarnings("ignore")
def test_no_flipped_bit_is_read_as_another_number(tmp_path, times, record_faults, write):
    path, read = write(tmp_path)
    content, expected = path.read_bytes(), read()
    generator, tried = random.Random(0), 20 * times
    failures, lost = [], []
    for _ in range(tried):
        place = generator.randrange(8 * len(content))
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            if read() != expected:
                lost.append(place)
        except ValueError as error:
            if "\n" in str(error):
                failures.append((place, error))
        except Exception as error:
            failures.append((place, error))
    record_faults(f"flipped bits of {path.name}", tried, failures, lost)
