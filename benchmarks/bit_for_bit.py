"""Is an agent bit for bit the same whoever trains beside it? `python -m benchmarks.bit_for_bit [NAME …]`

Trains seed 3 alone, among ten, with the agents permuted, beside another hyper-parameter setting (all as runs of one
process), and among ten in two processes, and compares `parameters_sha256`: for every algorithm, or those that are
named, and up to four environments, with normalisation and an option of the algorithm on and off, with sizes that are
and are not multiples of four. Writes results/bit_for_bit.md.
"""

import itertools
import sys
import tempfile
from collections.abc import Iterator, Sequence
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
    "dqn": ({}, {"dueling": True, "n_step": 3, "loss": "huber"}),
    "ddpg": ({}, {"n_step": 3}),
    "td3": ({}, {"policy_delay": 3}),
    "sac": ({}, {"learn_temperature": False, "temperature": 0.1}),
}
"""Settings of all its runs, and an option of its own that is on or off."""
SIZES: dict[str, dict[str, Any]] = {
    "multiples of four": {"envs": 4, "horizon": 16, "minibatch": 32, "hidden": (64, 64)},
    "no multiples": {"envs": 3, "horizon": 13, "minibatch": 10, "hidden": (50, 13)},
    "one environment": {"envs": 1, "horizon": 33, "minibatch": 7, "hidden": (21,)},
}
REPLAYS: dict[str, dict[str, Any]] = {
    "multiples of four": {"envs": 4, "update_interval": 8, "iteration": 64, "batch": 32, "hidden": (64, 64)},
    "no multiples": {"envs": 3, "update_interval": 3, "iteration": 39, "batch": 10, "hidden": (50, 13)},
    "one environment": {"envs": 1, "update_interval": 1, "iteration": 33, "batch": 7, "hidden": (21,)},
}
"""The same for algorithms that learn from a replay."""
ITERATIONS = 6
LIMIT = 20
"""Time limit: episodes end in every iteration."""
TEN = tuple(range(10))


def digests(algorithm: str, environment: str, seeds: tuple[int, ...], workers: int, **settings: Any) -> list[str]:
    """`parameters_sha256` of every agent of seed 3, by setting."""
    spec = EnvironmentSpec(environment, max_episode_steps=LIMIT)
    values = {name: value if isinstance(value, list) else [value] for name, value in settings.items()}
    each = registered(algorithm).config(**{name: value[0] for name, value in values.items()}).steps_each
    steps = ITERATIONS * each
    with tempfile.TemporaryDirectory() as directory:
        request = Request(algorithm, spec, seeds, steps, values, evaluate_episodes=0, out=Path(directory) / "run")
        run = prepare(request, workers)
        if workers == 1:
            for unit in run.units:
                work(run, unit, spec)
        else:
            carry_out(run, spec, workers)
        return [row["parameters_sha256"] for row in Run(run.path).agent_summaries if row["seed"] == 3]


def cases(names: Sequence[str]) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """The first cells of each row of the table, and the settings."""
    yes_no = {True: "yes", False: "no"}
    for algorithm, environment, option in itertools.product(ALGORITHMS, ENVIRONMENTS, (False, True)):
        config = registered(algorithm).config
        known = {f.name for f in fields(config)}
        discrete = environment in ("CartPole-v1", "FrozenLake-v1")
        if (names and algorithm not in names) or ("capacity" in known and discrete != (algorithm == "dqn")):
            continue
        always, sometimes = ALGORITHMS[algorithm]
        own = {**always, **(sometimes if option else {})}
        if "capacity" in known:
            for sizes, values in REPLAYS.items():
                interval = values["update_interval"]
                schedule: dict[str, Any] = {"update_to_data": 1 / interval, "learning_starts": 30, "capacity": 120}
                schedule |= {"target_interval": 3 * interval} if algorithm == "dqn" else {"random_steps": 20}
                yield [algorithm, environment, "–", yes_no[option], sizes], {**values, **schedule, **own}
            continue
        for normalised, sizes in itertools.product(NORMALISED, SIZES):
            settings = {**own, **NORMALISED[normalised], **SIZES[sizes]}
            settings = {name: value for name, value in settings.items() if name in known}
            yield [algorithm, environment, yes_no[normalised], yes_no[option], sizes], settings


def main(names: list[str]) -> int:
    page = RESULTS / "bit_for_bit.md"
    before = page.read_text(encoding="utf-8").splitlines() if page.exists() else []
    kept = [line for line in before if line.split(" | ")[0].removeprefix("| ") in {*ALGORITHMS} - {*names} and names]
    lines = []
    for cells, settings in cases(names):
        algorithm, environment = cells[:2]
        [alone] = digests(algorithm, environment, (3,), 1, **settings)
        rate = "value_learning_rate" if algorithm == "trpo" else "learning_rate"
        # The second learning rate trains ten more agents in the same population; the default one comes first.
        default = getattr(registered(algorithm).config(), rate)
        others = (
            digests(algorithm, environment, TEN, 1, **settings)[0],
            digests(algorithm, environment, (7, 3, 0, 9), 1, **settings)[0],
            digests(algorithm, environment, TEN, 1, **{rate: [default, 10 * default]}, **settings)[0],
            digests(algorithm, environment, TEN, 2, **settings)[0],
        )
        verdicts = ["same" if other == alone else "**differs**" for other in others]
        lines.append(f"| {' | '.join([*cells, *verdicts])} |")
        print(lines[-1], flush=True)
        everything = sorted([*kept, *lines], key=lambda line: [*ALGORITHMS].index(line.split(" | ")[0][2:]))
        page.write_text("\n".join([*HEAD, *everything, "", f"{differences(everything)} differences."]) + "\n")
    return int(differences(lines) > 0)


def differences(lines: Sequence[str]) -> int:
    return sum(line.count("**differs**") for line in lines)


HEAD = [
    "# Seed 3, bit for bit",
    "",
    f"{ITERATIONS} iterations; `parameters_sha256` of seed 3 trained alone, compared with the same agent",
    "in other company. Made by `python -m benchmarks.bit_for_bit`.",
    "",
    "The options: target_kl for ppo, line_search off for trpo, adam and an entropy bonus for a2c, clipping and an",
    "entropy bonus for vpg, no baseline for reinforce; dueling, three steps and the Huber loss for dqn, three steps",
    "for ddpg, a policy that moves at every third update for td3, a fixed temperature for sac.",
    "",
    "| algorithm | environment | normalised | option | sizes "
    "| among ten | permuted | beside a setting | in two processes |",
    "|---|---|---|---|---|---|---|---|---|",
]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
