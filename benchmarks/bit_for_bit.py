"""Is an agent bit for bit the same whoever trains beside it? `python -m benchmarks.bit_for_bit`

Trains seed 3 alone, among ten, with the agents permuted, beside another hyper-parameter setting (all as runs of one
process), and among ten in two processes, and compares `parameters_sha256`: for every algorithm and four environments,
with normalisation and an option of the algorithm on and off, with sizes that are and are not multiples of four. Writes
results/bit_for_bit.md.
"""

import itertools
import sys
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

from relook.algorithms import algorithm as registered
from relook.envs import EnvironmentSpec
from relook.runs.reading import Run
from relook.training import Request, carry_out, prepare, work

RESULTS = Path(__file__).parent / "results"
ENVIRONMENTS = ("CartPole-v1", "HalfCheetah-v5", "Pendulum-v1", "FrozenLake-v1")
NORMALISED: dict[bool, dict[str, Any]] = {
    False: {"normalise_observations": False, "scale_rewards": False},
    True: {"normalise_observations": True, "scale_rewards": True},
}
ALGORITHMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ppo": ({"epochs": 4}, {"target_kl": 0.001}),
    "trpo": ({"value_epochs": 4}, {"line_search": False}),
    "a2c": ({"rollouts": 3}, {"optimiser": "adam", "entropy_coefficient": 0.01}),
    "vpg": ({"value_epochs": 4}, {"entropy_coefficient": 0.01, "max_gradient_norm": 0.1}),
    "reinforce": ({"value_epochs": 4}, {"baseline": "none"}),
}
"""Settings of all its runs, and an option of its own that is on or off."""
SIZES: dict[str, dict[str, Any]] = {
    "multiples of four": {"envs": 4, "horizon": 16, "minibatch": 32, "hidden": (64, 64)},
    "no multiples": {"envs": 3, "horizon": 13, "minibatch": 10, "hidden": (50, 13)},
    "one environment": {"envs": 1, "horizon": 33, "minibatch": 7, "hidden": (21,)},
}
ITERATIONS = 6
LIMIT = 20
"""Time limit: episodes end in every iteration."""
TEN = tuple(range(10))


def digests(algorithm: str, environment: str, seeds: tuple[int, ...], workers: int, **settings: Any) -> list[str]:
    """`parameters_sha256` of every agent of seed 3, by setting."""
    spec = EnvironmentSpec(environment, max_episode_steps=LIMIT)
    values = {name: value if isinstance(value, list) else [value] for name, value in settings.items()}
    steps = ITERATIONS * settings["envs"] * settings["horizon"] * settings.get("rollouts", 1)
    with tempfile.TemporaryDirectory() as directory:
        request = Request(algorithm, spec, seeds, steps, values, evaluate_episodes=0, out=Path(directory) / "run")
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
        f"{ITERATIONS} iterations; `parameters_sha256` of seed 3 trained alone, compared with the same agent",
        "in other company. Made by `python -m benchmarks.bit_for_bit`.",
        "",
        "The options: target_kl for ppo, line_search off for trpo, adam and an entropy bonus for a2c, clipping and an",
        "entropy bonus for vpg, no baseline for reinforce.",
        "",
        "| algorithm | environment | normalised | option | sizes "
        "| among ten | permuted | beside a setting | in two processes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    different = 0
    for algorithm, environment, normalised, option, sizes in itertools.product(
        ALGORITHMS, ENVIRONMENTS, NORMALISED, (False, True), SIZES
    ):
        always, sometimes = ALGORITHMS[algorithm]
        settings = {**always, **(sometimes if option else {}), **NORMALISED[normalised], **SIZES[sizes]}
        defaults: dict[str, Any] = {f.name: f.default for f in fields(registered(algorithm).config)}
        if "minibatch" not in defaults:
            del settings["minibatch"]
        [alone] = digests(algorithm, environment, (3,), 1, **settings)
        rate = "value_learning_rate" if algorithm == "trpo" else "learning_rate"
        # The second learning rate trains ten more agents in the same population; the default one comes first.
        rates = [defaults[rate], 10 * defaults[rate]]
        others = (
            digests(algorithm, environment, TEN, 1, **settings)[0],
            digests(algorithm, environment, (7, 3, 0, 9), 1, **settings)[0],
            digests(algorithm, environment, TEN, 1, **{rate: rates}, **settings)[0],
            digests(algorithm, environment, TEN, 2, **settings)[0],
        )
        different += sum(other != alone for other in others)
        cells = ["same" if other == alone else "**differs**" for other in others]
        row = [algorithm, environment, "yes" if normalised else "no", "yes" if option else "no", sizes, *cells]
        lines.append(f"| {' | '.join(row)} |")
        print(lines[-1], flush=True)
    lines += ["", f"{different} differences."]
    (RESULTS / "bit_for_bit.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
