"""What is trained: each row of the tables is one command."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from relook.algorithms import ALGORITHMS
from relook.cli import grid
from relook.experiments.grid import as_json, defaults_of

RESULTS = Path(__file__).parents[1] / "results" / "learning"
RUNS = Path("runs/learning")


@dataclass(frozen=True)
class Row:
    """One algorithm on one environment."""

    study: str
    """The table that it stands in: a key of `STUDIES`."""
    algorithm: str
    environment: str
    steps: int
    bar: float | None = None
    """The mean final return that we set out for."""
    seeds: int = 10
    options: str = ""
    first_seed: int = 0

    @property
    def name(self) -> str:
        """How the row is asked for, and what its files are called."""
        return f"{self.study}-{self.algorithm}-{self.task.lower()}"

    @property
    def task(self) -> str:
        """What the environment is called in the tables."""
        return self.environment.removeprefix(ENDS)

    @property
    def command(self) -> str:
        """What trains it; after an interruption the same command goes on."""
        seeds = f"--first-seed {self.first_seed} --seeds {self.seeds}" if self.first_seed else f"--seeds {self.seeds}"
        asked = f"--env {self.environment} {EVALUATED.get(self.task, '')} {self.options} {seeds} --steps {self.steps}"
        return " ".join(f"relook grid {self.algorithm} {asked} --out {self.out}".split())

    @property
    def out(self) -> Path:
        """Where it trains."""
        return RUNS / self.name

    @property
    def has_its_own(self) -> bool:
        """Whether its settings are not those of its study."""
        return self.options == OPTIONS.get(self.task, {}).get(self.algorithm)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All hyper-parameters that its command asks for, as a run's record has them."""
        asked, _ = grid.requested(self.command.split()[2:])
        [request] = asked.requests().values()
        given = {name: value for name, [value] in request.hyperparameters.items()}
        return as_json(defaults_of(self.algorithm, None) | given)

    @property
    def table(self) -> Path:
        """Its evaluations, as `relook compare` reads them."""
        return RESULTS / f"{self.name}.parquet"


@dataclass(frozen=True)
class Search:
    """How an algorithm's settings for MuJoCo were found."""

    algorithm: str
    start: str
    """Where it begins; what the space does not have holds for all trials."""
    space: str
    trials: str
    about: str = ""
    """What it looks at, where there are several."""

    @property
    def name(self) -> str:
        """How it is asked for, and what its files are called."""
        return "-".join(filter(None, ("tune", self.algorithm, self.about)))

    @property
    def command(self) -> str:
        """What carries it out; after an interruption the same command goes on."""
        asked = f"--env HalfCheetah-v5 --steps 1000000 --evaluate-episodes 4 {self.trials} {self.start}"
        return f"relook tune {self.algorithm} {asked} --space {self.space} --out {self.out}"

    @property
    def out(self) -> Path:
        """Where it trains."""
        return RUNS / self.name

    @property
    def report(self) -> Path:
        """What it printed; beside it lies the same as JSON."""
        return RESULTS / f"{self.name}.md"


STUDIES = {
    "million": (
        "On-policy algorithms, a million steps",
        "Ten seeds, with our settings for MuJoCo (`--preset mujoco`) unless the command says otherwise.",
    ),
    "replay": (
        "Off-policy algorithms, 300,000 steps",
        "Five seeds, with default settings and batches of 100 transitions; a star: learning begins at step 1,000, the\n"
        "default when these rows were trained, and not at 10,000.",
    ),
    "classic": (
        "Small tasks",
        "Ten seeds, with default settings unless the command says otherwise. The best that any policy can reach on\n"
        "FrozenLake-v1 within the 100 steps of an episode is {optimum:.3f}, computed exactly from its table.",
    ),
    "nine": (
        "A common set for all nine",
        "Five seeds. DQN chooses among the ends and the middle of each component of an action. The rows of SAC, TD3\n"
        "and DDPG on HalfCheetah-v5, Hopper-v5 and Walker2d-v5 stand above, among the off-policy algorithms. What all\n"
        "this says: [which-algorithm.md](which-algorithm.md).",
    ),
}
"""What a table is about, and what its rows have in common."""

MILLION = {
    "ppo": {
        "HalfCheetah-v5": 6500,
        "Hopper-v5": 2800,
        "Walker2d-v5": 3600,
        "Swimmer-v5": 108,
        "Ant-v5": 1500,
        "InvertedDoublePendulum-v5": 9000,
    },
    "trpo": {"HalfCheetah-v5": 4000, "Hopper-v5": 2000, "Walker2d-v5": 2800},
    "a2c": {"HalfCheetah-v5": 1830, "Hopper-v5": 1253, "Walker2d-v5": 1092},
    "vpg": {"HalfCheetah-v5": -49, "Hopper-v5": 391, "Walker2d-v5": 293},
}
REPLAY: dict[str, dict[str, float | None]] = {
    "sac": {"HalfCheetah-v5": 8593, "Hopper-v5": 2160, "Walker2d-v5": 2470},
    "td3": {"HalfCheetah-v5": 7697, "Hopper-v5": 2410, "Walker2d-v5": 3335},
    "ddpg": {"HalfCheetah-v5": None, "Hopper-v5": None, "Walker2d-v5": None},
}

FEW = "--trials 6 --seeds 2 --finalists 2 --final-seeds 3 --confirm-seeds 5"
ON_POLICY = "--envs 64 --horizon 32 --minibatch 64 --discount 0.99 --normalise-observations True"
PPO = (
    f"{ON_POLICY} --learning-rate 4e-4 --gae-lambda 0.93 --clip 0.2 --anneal-clip False --initial-log-std -1 "
    "--value-coefficient 0.25 --recompute-advantages True"
)
SEARCHES = (
    Search(
        "ppo",
        PPO,
        "learning_rate=1e-4:6e-4:log gae_lambda=0.9:0.98 discount=0.98:0.995 clip=0.1:0.3",
        "--trials 16 --seeds 3 --finalists 2 --final-seeds 5 --confirm-seeds 5",
    ),
    Search(
        "ppo",
        f"{PPO} --entropy-coefficient 0.003",
        "entropy_coefficient=0.001:0.005:log learning_rate=3e-4:6e-4:log",
        "--trials 5 --seeds 3 --finalists 2 --final-seeds 4 --confirm-seeds 5",
        about="entropy",
    ),
    Search(
        "ppo",
        f"{PPO} --entropy-coefficient 0.01",
        "entropy_coefficient=0.003:0.03:log learning_rate=2e-4:6e-4:log",
        "--trials 5 --seeds 3 --finalists 2 --final-seeds 4 --confirm-seeds 5",
        about="more-entropy",
    ),
    Search(
        "trpo",
        f"{ON_POLICY} --gae-lambda 0.93 --target-kl 0.03 --initial-log-std -1",
        "target_kl=0.01:0.06:log gae_lambda=0.9:0.98 discount=0.98:0.995 value_learning_rate=3e-4:3e-3:log",
        "--trials 8 --seeds 3 --finalists 2 --final-seeds 5 --confirm-seeds 5",
    ),
    Search(
        "a2c",
        "--envs 16 --horizon 8 --rollouts 16 --discount 0.99 --normalise-observations True --gae-lambda 0.95 "
        "--learning-rate 2e-3 --initial-log-std -1",
        "learning_rate=5e-4:5e-3:log gae_lambda=0.9:1 discount=0.98:0.995 value_coefficient=0.1:1:log",
        FEW,
    ),
    Search(
        "vpg",
        f"{ON_POLICY} --gae-lambda 0.95 --learning-rate 3e-3 --initial-log-std -1",
        "learning_rate=1e-3:2e-2:log gae_lambda=0.9:0.98 discount=0.98:0.995 value_learning_rate=3e-4:3e-3:log",
        FEW,
    ),
)
"""What the searches for `--preset mujoco` were asked to do."""

CLASSIC = {
    "CartPole-v1": {
        "reinforce": 300_000,
        "vpg": 200_000,
        "a2c": 200_000,
        "trpo": 200_000,
        "ppo": 100_000,
        "dqn": 100_000,
    },
    "Acrobot-v1": {"a2c": 300_000, "trpo": 300_000, "ppo": 300_000, "dqn": 200_000},
    "MountainCar-v0": {"a2c": 1_000_000, "ppo": 1_000_000, "dqn": 120_000},
    "LunarLander-v3": {"a2c": 1_000_000, "ppo": 500_000, "dqn": 250_000},
    "FrozenLake-v1": {"a2c": 200_000, "ppo": 200_000, "dqn": 100_000},
    "Pendulum-v1": dict.fromkeys(("reinforce", "vpg", "a2c", "trpo", "ppo"), 300_000),
}
NINE = {"Pendulum-v1": 50_000, "InvertedPendulum-v5": 50_000} | dict.fromkeys(REPLAY["sac"], 300_000)
"""The common set: task → steps. On the long ones, the off-policy algorithms' rows are those of `replay`."""
ENDS = "benchmarks.learning.discretised:Ends/"
MUJOCO = "--preset mujoco"
BATCHES = "--batch 100 --capacity 300000"
OPTIONS = {
    "HalfCheetah-v5": {
        "ppo": f"{MUJOCO} --learning-rate 4.4e-4 --entropy-coefficient 0.014",  # its search's, rounded
        **dict.fromkeys(("td3", "ddpg"), f"{BATCHES} --learning-starts 1000"),  # the default when they were trained
    },
    "InvertedDoublePendulum-v5": {"ppo": "--initial-log-std -1"},
    "Hopper-v5": {"a2c": f"{MUJOCO} --gae-lambda 0.98 --entropy-coefficient 0.01"},
    "Swimmer-v5": {"ppo": f"{MUJOCO} --discount 0.9999 --gae-lambda 0.98"},
    "FrozenLake-v1": {
        "a2c": "--discount 0.99 --gae-lambda 0.95 --entropy-coefficient 0.2",
        "ppo": "--discount 0.99 --gae-lambda 0.95 --entropy-coefficient 0.05",
    },
    "MountainCar-v0": {
        "a2c": "--envs 16 --discount 0.99 --normalise-observations True",
        "ppo": "--envs 16 --discount 0.99 --gae-lambda 0.98 --normalise-observations True",
        "dqn": "--n-step 1 --learning-rate 4e-3 --batch 128 --capacity 10000 --learning-starts 960 --iteration 960 "
        "--discount 0.98 --target-interval 576 --update-interval 16 --update-to-data 0.5 --exploration 0.2 "
        "--final-epsilon 0.07 --hidden 256,256 --anneal-learning-rate False --double False",
    },
    "LunarLander-v3": {
        "a2c": "--horizon 16 --discount 0.995 --gae-lambda 0.95 --learning-rate 8.3e-4 --entropy-coefficient 1e-5 "
        "--clip-together True --scale-rewards False",
        "ppo": "--envs 16 --discount 0.999 --gae-lambda 0.98",
    },
}
"""Where the settings of a study do not do (LOG.md): task → algorithm → what is asked for. The common set has
none, but for what it takes from `replay`."""
EVALUATED = {"FrozenLake-v1": "--evaluate-episodes 100"}
"""Where ten episodes say too little: one is worth 0 or 1."""


def _options(algorithm: str, environment: str, usual: str = "") -> str:
    return OPTIONS.get(environment, {}).get(algorithm, usual)


ROWS = (
    *(
        Row("million", algorithm, environment, 1_000_000, bar, options=_options(algorithm, environment, MUJOCO))
        for algorithm, bars in MILLION.items()
        for environment, bar in bars.items()
    ),
    *(
        Row("replay", algorithm, environment, 300_000, bar, seeds=5, options=_options(algorithm, environment, BATCHES))
        for algorithm, bars in REPLAY.items()
        for environment, bar in bars.items()
    ),
    *(
        Row("classic", algorithm, environment, steps, options=_options(algorithm, environment))
        for environment, algorithms in CLASSIC.items()
        for algorithm, steps in algorithms.items()
    ),
    *(
        Row("nine", algorithm, environment, steps, seeds=5, options="" if algorithm == "reinforce" else MUJOCO)
        for environment, steps in NINE.items()
        for algorithm in ("reinforce", "vpg", "a2c", "trpo", "ppo")
    ),
    *(Row("nine", "dqn", ENDS + environment, steps, seeds=5) for environment, steps in NINE.items()),
    *(
        Row("nine", algorithm, environment, NINE[environment], seeds=5, options=BATCHES)
        for environment in ("Pendulum-v1", "InvertedPendulum-v5")
        for algorithm in ("ddpg", "td3", "sac")
    ),
)
COMMON = [
    next(row for row in ROWS if row.study in ("replay", "nine") and (row.algorithm, row.task) == pair)
    for pair in product(ALGORITHMS, NINE)
]
"""The row of each algorithm on each task of the common set."""
AGAIN = {
    row: replace(row, study="again", first_seed=10)
    for row in ROWS
    if row.name
    in (
        "million-ppo-halfcheetah-v5",
        "million-ppo-inverteddoublependulum-v5",
        "million-a2c-hopper-v5",
        "classic-dqn-mountaincar-v0",
        "classic-a2c-lunarlander-v3",
        "classic-a2c-frozenlake-v1",
        "classic-ppo-frozenlake-v1",
    )
}
"""Rows whose settings changed after a first result → the same on as many seeds that took no part in that."""
PLANNED = (*ROWS, *AGAIN.values())
BY_NAME = {row.name: row for row in PLANNED} | {search.name: search for search in SEARCHES}
