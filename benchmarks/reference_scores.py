"""What random and good behaviour score: the scale of normalised scores. `python -m benchmarks.reference_scores`

Plays 1,000 episodes with uniformly random actions in every environment of `HIGH` and writes
src/relook/statistics/reference_scores.toml. A new measurement is a new version: comparisons print which one they used.
"""

from datetime import UTC, datetime
from pathlib import Path

import gymnasium
import numpy as np

EPISODES = 1000
OUT = Path(__file__).parents[1] / "src" / "relook" / "statistics" / "reference_scores.toml"

THRESHOLD = "reward_threshold of Gymnasium's registry"
HIGH: dict[str, tuple[float | None, str]] = {
    "CartPole-v1": (500, "the most that its time limit allows"),
    "Acrobot-v1": (None, THRESHOLD),
    "MountainCar-v0": (None, THRESHOLD),
    "MountainCarContinuous-v0": (None, THRESHOLD),
    "Pendulum-v1": (-150, "declared: about what converged SAC and TD3 agents reach"),
    "FrozenLake-v1": (None, THRESHOLD),
    "FrozenLake8x8-v1": (None, THRESHOLD),
    "CliffWalking-v1": (-13, "the shortest safe path"),
    "Taxi-v4": (None, THRESHOLD),
    "InvertedPendulum-v5": (1000, "the most that its time limit allows"),
    "InvertedDoublePendulum-v5": (None, THRESHOLD),
    "Reacher-v5": (None, THRESHOLD),
    "Swimmer-v5": (None, THRESHOLD),
    "HalfCheetah-v5": (None, THRESHOLD),
    "Hopper-v5": (None, THRESHOLD),
    "Walker2d-v5": (5000, "declared: between published PPO and SAC agents at a million steps"),
    "Ant-v5": (None, THRESHOLD),
    "Humanoid-v5": (5000, "declared: about what published SAC agents reach at a million steps"),
}
"""A high score, or None for the registry's, and where it comes from."""


def random_return(environment: str) -> float:
    """Mean undiscounted return of a uniformly random policy."""
    env = gymnasium.make(environment)
    env.action_space.seed(0)
    returns = []
    for episode in range(EPISODES):
        env.reset(seed=episode)
        total, over = 0.0, False
        while not over:
            _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    env.close()
    return float(np.mean(returns))


def main() -> None:
    lines = [
        f"# Made by `python -m benchmarks.reference_scores` with gymnasium {gymnasium.__version__}.",
        f"# random: mean return of {EPISODES:,} episodes of uniformly random actions. A score becomes",
        "# (score - random) / (high - random).",
        f'version = "relook {datetime.now(UTC):%Y-%m-%d}"',
    ]
    for name, (declared, source) in HIGH.items():
        high = gymnasium.spec(name).reward_threshold if declared is None else declared
        assert high is not None, f"{name} has no reward_threshold"
        found = random_return(name)
        lines += ["", f'[scores."{name}"]', f"random = {found:.4g}", f"high = {high:g}", f'source = "{source}"']
        print(name, found, high, flush=True)
    OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
