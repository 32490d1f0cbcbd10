"""One iteration of RLlib's PPO on an id with plain arguments, sampled by a worker that has imported nothing.

Called with the id and its arguments as JSON; prints how many steps were sampled, the mean length and the mean
return of the games. It runs in its own process, because Ray changes the process that imports it.
"""

import json
import sys

import ray
from ray.rllib.algorithms.ppo import PPOConfig


def main():
    id, arguments = sys.argv[1], json.loads(sys.argv[2])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    config = (
        PPOConfig()
        .environment(id, env_config=arguments)
        .env_runners(num_env_runners=1, num_envs_per_env_runner=2, rollout_fragment_length=70)
        .training(train_batch_size=140, minibatch_size=70, num_epochs=1)
    )
    algorithm = config.build_algo()
    result = algorithm.train()["env_runners"]
    algorithm.stop()
    ray.shutdown()
    names = ("num_env_steps_sampled", "episode_len_mean", "episode_return_mean")
    print(json.dumps([float(result[name]) for name in names]))


if __name__ == "__main__":
    main()
