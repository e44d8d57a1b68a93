"""Does the doctor leave healthy runs alone? `python -m benchmarks.healthy [DIR]`

Trains every setting below with five seeds while the doctor looks on, and judges the records again afterwards, as
`relook doctor run` does: nothing is planted, so whatever it finds is a false alarm. Thresholds were set on CALIBRATION.
TEST has other environments, other seeds and other options; it was looked at once, and one check was mended then
(LOG.md), so that what counts is TEST with seeds that are new again, and with settings that are (AGAIN). Odd but correct
settings are among all: a KL that nothing stops, tiny networks, negative and sparse rewards, tasks that are solved long
before the end.

DIR keeps the runs (a scratch directory unless said otherwise): what is there already is not trained again.
Writes results/healthy.csv and results/healthy.md. The margins there are of CALIBRATION: how many of its settings would
be alarmed about if a threshold were half or twice what it is.
"""

import io
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl

from relook.cli.progress import showing
from relook.doctor.findings import Finding
from relook.doctor.watch.checks import CHECKS
from relook.doctor.watch.judging import judge
from relook.doctor.watch.live import Live
from relook.doctor.watch.records import AFTERWARDS, Records
from relook.envs import EnvironmentSpec
from relook.runs.reading import Run
from relook.training import Request, carry_out, prepare
from relook.workers import available_cores

RESULTS = Path(__file__).parent / "results"
SEEDS = 5
ON, OFF = 50_000, 10_000
SMALL: dict[str, Any] = {"hidden": (64, 64), "batch": 64, "learning_starts": 500, "iteration": 500}
REPLAY: dict[str, Any] = {**SMALL, "random_steps": 1000}


@dataclass(frozen=True)
class Setting:
    """Five runs that differ in their seeds."""

    algorithm: str
    environment: str
    steps: int
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    limit: int | None = None
    """Of an episode, where the environment has none or another is wanted."""
    preset: str | None = None

    @property
    def options(self) -> str:
        words = [f"{name}={value}" for name, value in self.hyperparameters.items()]
        words += [f"preset={self.preset}"] * (self.preset is not None)
        words += [f"max_episode_steps={self.limit}"] * (self.limit is not None)
        return " ".join(words)

    @property
    def name(self) -> str:
        return re.sub(r"[^A-Za-z0-9=.-]+", "_", f"{self.algorithm}-{self.environment}-{self.options}").strip("_-")


def on(algorithm: str, environment: str, steps: int = ON, limit: int | None = None, **changed: Any) -> Setting:
    return Setting(algorithm, environment, steps, changed, limit, changed.pop("preset", None))


def off(algorithm: str, environment: str, steps: int = OFF, limit: int | None = None, **changed: Any) -> Setting:
    return Setting(algorithm, environment, steps, {**(SMALL if algorithm == "dqn" else REPLAY), **changed}, limit)


CALIBRATION = (
    on("ppo", "CartPole-v1"),
    on("ppo", "Pendulum-v1"),
    on("ppo", "FrozenLake-v1"),
    on("ppo", "InvertedPendulum-v5"),
    on("ppo", "CartPole-v1", hidden=(4,)),
    on("ppo", "CartPole-v1", learning_rate=3e-3, epochs=20),
    on("ppo", "Pendulum-v1", scale_rewards=False, normalise_advantages=False),
    on("ppo", "CartPole-v1", limit=20),
    on("vpg", "CartPole-v1"),
    on("vpg", "Pendulum-v1"),
    on("reinforce", "CartPole-v1"),
    on("reinforce", "FrozenLake-v1"),
    on("a2c", "CartPole-v1"),
    on("a2c", "Pendulum-v1"),
    on("a2c", "InvertedPendulum-v5"),
    on("trpo", "CartPole-v1", 100_000),
    on("trpo", "Pendulum-v1", 100_000),
    on("trpo", "FrozenLake-v1", 100_000),
    off("dqn", "CartPole-v1"),
    off("dqn", "FrozenLake-v1"),
    off("dqn", "CartPole-v1", target_rate=0.01, target_interval=4, dueling=True),
    off("ddpg", "Pendulum-v1"),
    off("ddpg", "InvertedPendulum-v5"),
    off("td3", "Pendulum-v1"),
    off("td3", "Pendulum-v1", hidden=(8, 8)),
    off("sac", "Pendulum-v1"),
    off("sac", "InvertedPendulum-v5"),
    off("sac", "Pendulum-v1", learn_temperature=False, temperature=0.2),
)

TEST = (
    on("ppo", "Acrobot-v1"),
    on("ppo", "MountainCar-v0"),  # no reward but -1 is ever seen
    on("ppo", "MountainCarContinuous-v0"),
    on("ppo", "HalfCheetah-v5"),
    on("ppo", "Hopper-v5"),
    on("ppo", "Reacher-v5"),
    on("ppo", "Swimmer-v5"),
    on("ppo", "CliffWalking-v1", limit=200),
    on("ppo", "Blackjack-v1"),
    on("ppo", "InvertedDoublePendulum-v5", 100_000),
    on("ppo", "Acrobot-v1", learning_rate=3e-3, epochs=30),  # a KL that nothing stops
    on("ppo", "Acrobot-v1", hidden=(3,)),
    on("ppo", "Acrobot-v1", discount=1.0),
    on("ppo", "Acrobot-v1", entropy_coefficient=0.05),
    on("ppo", "Acrobot-v1", envs=1, horizon=512),
    on("ppo", "Acrobot-v1", preset="cleanrl"),
    on("ppo", "Hopper-v5", value_clip=0.2, target_kl=0.01),
    on("ppo", "Reacher-v5", normalise_observations=True, scale_rewards=False),
    on("ppo", "InvertedDoublePendulum-v5", learning_rate=1e-5),  # hardly learns
    on("vpg", "Acrobot-v1"),
    on("vpg", "Hopper-v5"),
    on("vpg", "Blackjack-v1"),
    on("reinforce", "Acrobot-v1"),
    on("reinforce", "Blackjack-v1", limit=20, baseline="none"),
    on("reinforce", "InvertedDoublePendulum-v5", limit=1000),
    on("a2c", "Acrobot-v1"),
    on("a2c", "HalfCheetah-v5"),
    on("a2c", "Swimmer-v5"),
    on("a2c", "Reacher-v5", optimiser="adam", normalise_advantages=True),
    on("trpo", "Acrobot-v1", 100_000),
    on("trpo", "Hopper-v5", 100_000),
    on("trpo", "Reacher-v5", 100_000, line_search=False),
    off("dqn", "Acrobot-v1", 20_000),
    off("dqn", "MountainCar-v0", 20_000),
    off("dqn", "CliffWalking-v1", limit=200),
    off("dqn", "Blackjack-v1", n_step=1, double=False),
    off("dqn", "Acrobot-v1", loss="huber", batch=16),
    off("ddpg", "MountainCarContinuous-v0"),
    off("ddpg", "Reacher-v5"),
    off("ddpg", "HalfCheetah-v5"),
    off("td3", "Reacher-v5"),
    off("td3", "InvertedDoublePendulum-v5"),
    off("td3", "Hopper-v5", batch=16, capacity=2000),
    off("sac", "Reacher-v5"),
    off("sac", "InvertedDoublePendulum-v5"),
    off("sac", "HalfCheetah-v5"),
    off("sac", "Swimmer-v5", n_step=3),
    off("sac", "MountainCarContinuous-v0", hidden=(8,)),
)
AGAIN = (
    *TEST,
    on("ppo", "CartPole-v1", anneal_learning_rate=False, anneal_clip=False),
    on("ppo", "FrozenLake-v1", hidden=(8,), activation="relu"),
    on("a2c", "CliffWalking-v1", limit=200),
    on("vpg", "MountainCar-v0", normalise_observations=True),
    on("trpo", "CliffWalking-v1", limit=200),
    off("dqn", "FrozenLake-v1", hidden=(8,), final_epsilon=0.2),
    off("td3", "Pendulum-v1", n_step=5, exploration_noise=0.5),
    off("sac", "Pendulum-v1", target_rate=0.05, discount=0.9),
)
FIRST_SEED = {"calibration": 0, "test": 100, "again": 200}
SETS = {"calibration": CALIBRATION, "test": TEST, "again": AGAIN}


class Remembering(Live):
    """Keeps every finding of every look, also what a later look no longer finds."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.ever: dict[tuple[str, str], str] = {}

    def _look(self) -> None:
        super()._look()
        self.ever |= {(finding.check.name, finding.severity): _said(finding) for finding in self.found}


def _said_of(out: Path) -> Path:
    """Where it lies what was said while a run trained."""
    return out.with_name(f"{out.name}.json")


def _said(finding: Finding) -> str:
    return f"{finding.subject}: {finding.evidence}"


def train(name: str, setting: Setting, out: Path) -> None:
    """Train five seeds of a setting with a doctor beside them, and keep what it ever said."""
    said = _said_of(out)
    if said.exists():
        return
    spec = EnvironmentSpec(setting.environment, max_episode_steps=setting.limit)
    seeds = range(FIRST_SEED[name], FIRST_SEED[name] + SEEDS)
    asked = {key: [value] for key, value in setting.hyperparameters.items()}
    run = prepare(
        Request(setting.algorithm, spec, seeds, setting.steps, asked, out=out, preset=setting.preset), workers=1
    )
    doctor = Remembering(run)
    with (
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
        showing(run, setting.steps * SEEDS, doctor) as progress,
    ):
        carry_out(run, spec, 1, progress.update)
    assert doctor.failed is None, doctor.failed
    said.write_text(json.dumps([[*key, evidence] for key, evidence in doctor.ever.items()]))


def told(out: Path) -> dict[tuple[str, str], str]:
    """Check and severity of all that was found in a run, while it trained or afterwards, with the evidence."""
    live = {(check, severity): evidence for check, severity, evidence in json.loads(_said_of(out).read_text())}
    return live | afterwards(out)


def afterwards(out: Path) -> dict[tuple[str, str], str]:
    report = judge(Records(Run(out)).read().watched(AFTERWARDS), CHECKS)
    return {(finding.check.name, finding.severity): _said(finding) for finding in report.findings}


def thresholds() -> Iterable[tuple[ModuleType, str, float]]:
    """The numeric constants of the checks."""
    for module in CHECKS:
        assert isinstance(module, ModuleType)
        own = Path(str(module.__file__)).read_text(encoding="utf-8")
        for name, value in vars(module).items():
            if name.isupper() and type(value) in (int, float) and re.search(rf"^{name}\b|, {name}\b.* = ", own, re.M):
                yield module, name, value


def margins(runs: list[Path]) -> list[str]:
    """Errors and warnings over the settings with each threshold halved and doubled: rows for those that matter."""
    read = [Records(Run(out)).read().watched(AFTERWARDS) for out in runs]

    def count() -> Counter[str]:
        return Counter(finding.severity for agents in read for finding in judge(agents, CHECKS).findings)

    before, rows, others = count(), [], 0
    for module, name, value in thresholds():
        counts = []
        for factor in (0.5, 2.0):
            setattr(module, name, type(value)(value * factor))
            found = count()
            counts += [found["error"] - before["error"], found["warning"] - before["warning"]]
            setattr(module, name, value)
        check = module.__name__.rpartition(".")[2]
        others += not any(counts)
        if any(counts):
            rows.append(f"| {check} | {name} | {value:g} | " + " | ".join(f"{count:+d}" for count in counts) + " |")
    return [*rows, "", f"With each of the other {others} thresholds, half or twice, the findings are the same."]


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    jobs = [(name, setting, directory / f"{name}-{setting.name}") for name in SETS for setting in SETS[name]]
    with ProcessPoolExecutor(available_cores(), get_context("spawn")) as pool:
        for (_, _, out), done in [(job, pool.submit(train, *job)) for job in jobs]:
            done.result()
            print(f"{out.name}: {told(out) or 'nothing found'}", flush=True)
    rows = []
    for name, setting, out in jobs:
        found = told(out)
        words = {
            level: sorted(check for check, severity in found if severity == level) for level in ("error", "warning")
        }
        rows.append(
            {
                "set": name,
                "algorithm": setting.algorithm,
                "environment": setting.environment,
                "options": setting.options,
                "steps": setting.steps,
                "runs": SEEDS,
                "errors": " ".join(words["error"]),
                "warnings": " ".join(words["warning"]),
                "evidence": " / ".join(found.values()),
            }
        )
    table = pl.DataFrame(rows)
    table.write_csv(RESULTS / "healthy.csv")
    write(table, margins([out for name, _, out in jobs if name == "calibration"]))


def write(table: pl.DataFrame, rows: list[str]) -> None:
    """The page."""
    lines = ["# Healthy runs, and what the doctor says of them", "", "Made by `python -m benchmarks.healthy`.", ""]
    lines += [
        "| set | settings | runs | settings with an error | with a warning | rate of errors over settings, 95 % |"
    ]
    lines += ["|---|---|---|---|---|---|"]
    for name in SETS:
        part = table.filter(pl.col("set") == name)
        wrong, odd = (part.filter(pl.col(column) != "") for column in ("errors", "warnings"))
        bound = f"below {1 - 0.05 ** (1 / len(part)):.1%}" if wrong.is_empty() else f"{len(wrong) / len(part):.1%} seen"
        lines += [f"| {name} | {len(part)} | {part['runs'].sum()} | {len(wrong)} | {len(odd)} | {bound} |"]
    lines += ["", "Five seeds of a setting are not five settings: the bound counts settings.", ""]
    lines += ["## Everything that was said", ""]
    for row in table.filter((pl.col("errors") != "") | (pl.col("warnings") != "")).iter_rows(named=True):
        where = " ".join([row["algorithm"], row["environment"], row["options"]]).strip()
        said = " ".join([*(f"**{word}**" for word in row["errors"].split()), row["warnings"]]).strip()
        lines += [f"- {row['set']}, {where}: {said}. {row['evidence']}"]
    lines += ["", "## Margins", ""]
    lines += ["How many findings more or fewer there would be over the settings of the calibration.", ""]
    lines += ["| check | threshold | value | errors at half | warnings at half | errors at twice | warnings at twice |"]
    lines += ["|---|---|---|---|---|---|---|", *rows]
    (RESULTS / "healthy.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:]:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
