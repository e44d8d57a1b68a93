"""Is an agent bit for bit the same whoever trains beside it? `python -m benchmarks.bit_for_bit`

Trains seed 3 alone, among ten, with the agents permuted, beside another hyper-parameter setting (all as runs of one
process), and among ten in two processes, and compares `parameters_sha256`: for four environments, with normalisation
and KL stop on and off, with sizes that are and are not multiples of four. Writes results/bit_for_bit.md.
"""

import itertools
import sys
import tempfile
from pathlib import Path
from typing import Any

from relook.envs import EnvironmentSpec
from relook.runs.reading import Run
from relook.training import Request, carry_out, prepare, work

RESULTS = Path(__file__).parent / "results"
ENVIRONMENTS = ("CartPole-v1", "HalfCheetah-v5", "Pendulum-v1", "FrozenLake-v1")
NORMALISED: dict[bool, dict[str, Any]] = {
    False: {"normalise_observations": False, "scale_rewards": False},
    True: {"normalise_observations": True, "scale_rewards": True},
}
STOPPED: dict[bool, dict[str, Any]] = {False: {}, True: {"target_kl": 0.001}}
SIZES: dict[str, dict[str, Any]] = {
    "multiples of four": {"envs": 4, "horizon": 16, "minibatch": 32, "hidden": (64, 64)},
    "no multiples": {"envs": 3, "horizon": 13, "minibatch": 10, "hidden": (50, 13)},
    "one environment": {"envs": 1, "horizon": 33, "minibatch": 7, "hidden": (21,)},
}
ITERATIONS = 6
TEN = tuple(range(10))


def digests(environment: str, seeds: tuple[int, ...], workers: int, **settings: Any) -> list[str]:
    """`parameters_sha256` of every agent of seed 3, by setting."""
    spec = EnvironmentSpec(environment)
    values = {name: value if isinstance(value, list) else [value] for name, value in settings.items()}
    steps = ITERATIONS * settings["envs"] * settings["horizon"]
    with tempfile.TemporaryDirectory() as directory:
        request = Request("ppo", spec, seeds, steps, values, evaluate_episodes=0, out=Path(directory) / "run")
        run = prepare(request, workers)
        if workers == 1:
            for unit in run.units:
                work(run, unit, spec)
        else:
            carry_out(run, spec, workers)
        return [row["parameters_sha256"] for row in Run(run.path).agent_summaries if row["seed"] == 3]


def main() -> int:
    lines = [
        "# Seed 3, bit for bit",
        "",
        f"PPO, {ITERATIONS} iterations; `parameters_sha256` of seed 3 trained alone, compared with the same agent",
        "in other company. Made by `python -m benchmarks.bit_for_bit`.",
        "",
        "| environment | normalised | KL stop | sizes | among ten | permuted | beside a setting | in two processes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    different = 0
    for environment, normalised, stopped, sizes in itertools.product(ENVIRONMENTS, NORMALISED, STOPPED, SIZES):
        settings = {"epochs": 4, **NORMALISED[normalised], **STOPPED[stopped], **SIZES[sizes]}
        [alone] = digests(environment, (3,), 1, **settings)
        # The second learning rate trains ten more agents in the same population; the default one comes first.
        others = (
            digests(environment, TEN, 1, **settings)[0],
            digests(environment, (7, 3, 0, 9), 1, **settings)[0],
            digests(environment, TEN, 1, learning_rate=[1e-3, 1e-2], **settings)[0],
            digests(environment, TEN, 2, **settings)[0],
        )
        different += sum(other != alone for other in others)
        cells = ["same" if other == alone else "**differs**" for other in others]
        row = [environment, "yes" if normalised else "no", "yes" if stopped else "no", sizes, *cells]
        lines.append(f"| {' | '.join(row)} |")
        print(lines[-1], flush=True)
    lines += ["", f"{different} differences."]
    (RESULTS / "bit_for_bit.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
