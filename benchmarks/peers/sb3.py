"""One training of Stable-Baselines3 or sb3-contrib with default hyper-parameters, run in the peers' own environment.

    python sb3.py ppo --env CartPole-v1 --envs 8 --steps 294912 --seed 0 [--evaluate-episodes 10]

Prints one line of JSON for each evaluation (at the start and at every tenth of training, between a rollout and the
next, as relook does), and at the end one with the seconds that `learn` took and the peak memory of the process.
"""

import argparse
import json
import resource
import time

import numpy as np
import torch
from sb3_contrib import TRPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

ALGORITHMS = {"ppo": PPO, "a2c": A2C, "trpo": TRPO, "dqn": DQN, "ddpg": DDPG, "td3": TD3, "sac": SAC}
TENTHS = 10


class Evaluations(BaseCallback):
    """Deterministic episodes in an environment of their own, reset to the same seeds every time."""

    def __init__(self, env: str, episodes: int, seed: int, iterations: int) -> None:
        super().__init__()
        self.id, self.episodes, self.seed, self.iterations = env, episodes, seed, iterations
        self.done = 0

    def _on_rollout_start(self) -> None:  # the update of the rollout before has been made
        if self.done == 0 or self.done * TENTHS // self.iterations > (self.done - 1) * TENTHS // self.iterations:
            self.evaluate()
        self.done += 1

    def _on_training_end(self) -> None:
        self.evaluate()

    def _on_step(self) -> bool:
        return True

    def evaluate(self) -> None:
        env = make_vec_env(self.id, n_envs=1, seed=1_000_000 + self.seed)
        returns, _ = evaluate_policy(self.model, env, self.episodes, return_episode_rewards=True)
        env.close()
        row = {"seed": self.seed, "steps": self.num_timesteps, "mean_return": float(np.mean(returns))}
        print(json.dumps(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algorithm", choices=ALGORITHMS)
    parser.add_argument("--env", required=True)
    parser.add_argument("--envs", type=int, default=1)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--evaluate-episodes", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--hidden", type=int, nargs="+", help="units in the hidden layers, instead of the default")
    asked = parser.parse_args()

    torch.set_num_threads(asked.threads)
    env = make_vec_env(asked.env, n_envs=asked.envs, seed=asked.seed)
    layers = {"net_arch": asked.hidden} if asked.hidden else None
    model = ALGORITHMS[asked.algorithm]("MlpPolicy", env, seed=asked.seed, device="cpu", policy_kwargs=layers)
    each = getattr(model, "n_steps", 1) * asked.envs  # steps of an iteration; off-policy algorithms stop anywhere
    iterations = asked.steps // each
    if iterations < 1:
        raise SystemExit(f"expected at least {each} steps, one iteration; found {asked.steps}")
    callback = None
    if asked.evaluate_episodes:
        callback = Evaluations(asked.env, asked.evaluate_episodes, asked.seed, iterations)
    began = time.perf_counter()
    model.learn(iterations * each, callback=callback)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"steps": model.num_timesteps, "seconds": seconds, "peak_mebibytes": peak}), flush=True)


if __name__ == "__main__":
    main()
