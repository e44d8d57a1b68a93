"""How fast is training, against Stable-Baselines3 and sb3-contrib, and for more and more agents?

    python -m benchmarks.speed [compare|agents] [--rounds N] [--only NAME …]

`compare`: the same algorithm with the same hyper-parameters (their defaults) on the same machine, the two
sides in turn, round after round; what counts is the median over rounds of the ratio within a round. Each side uses two
cores as best it can: ours as `relook train` does, theirs with two processes at once, one thread each; for a single seed
theirs is measured with one thread and with two, and the better counts. No evaluation. Steps per second are those of the
learning itself; the time of the whole command, with starting Python and torch, is in the raw results.

For SAC at 256×256 the limit is arithmetic; each round measures it too, and the share of it that we reach is told.

`agents`: what an agent-step costs with 1 … 50 agents in one process, the whole command included.

Writes results/speed.csv (every measurement), results/speed.md and results/speed.png.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from benchmarks import peers
from benchmarks.speed.arithmetic import SAC_UPDATE
from benchmarks.timing import learning
from relook.runs.reading import Run

RESULTS = Path(__file__).parents[1] / "results"
CSV = RESULTS / "speed.csv"
AGENTS = (1, 2, 5, 10, 20, 50)


@dataclass(frozen=True)
class Comparison:
    """A task for both sides."""

    name: str
    algorithm: str
    env: str
    envs: int
    seeds: int
    steps: int
    """Per agent."""
    bar: float
    hidden: tuple[int, ...] = ()
    """Units in the hidden layers, instead of their default."""


COMPARISONS = (
    Comparison("PPO, CartPole-v1, ten seeds", "ppo", "CartPole-v1", 8, 10, 32_768, 8.0),
    Comparison("PPO, CartPole-v1, one seed", "ppo", "CartPole-v1", 8, 1, 32_768, 2.5),
    Comparison("PPO, HalfCheetah-v5, ten seeds", "ppo", "HalfCheetah-v5", 1, 10, 8_192, 4.0),
    Comparison("A2C, CartPole-v1, ten seeds", "a2c", "CartPole-v1", 1, 10, 10_000, 5.0),
    Comparison("A2C, CartPole-v1, ten seeds, 8 envs", "a2c", "CartPole-v1", 8, 10, 40_000, 5.0),
    Comparison("TRPO, HalfCheetah-v5, ten seeds", "trpo", "HalfCheetah-v5", 1, 10, 8_192, 3.0),
    Comparison("SAC, HalfCheetah-v5, two seeds", "sac", "HalfCheetah-v5", 1, 2, 2_000, 1.5),
    Comparison("SAC, HalfCheetah-v5, one seed", "sac", "HalfCheetah-v5", 1, 1, 2_000, 1.4),
    Comparison("SAC 64×64, Pendulum-v1, ten seeds", "sac", "Pendulum-v1", 1, 10, 2_000, 8.0, (64, 64)),
    Comparison("DQN, CartPole-v1, ten seeds", "dqn", "CartPole-v1", 1, 10, 20_000, 6.0),
    Comparison("DQN, CartPole-v1, one seed", "dqn", "CartPole-v1", 1, 1, 20_000, 2.0),
)


def ours(
    algorithm: str, env: str, envs: int, seeds: int, steps: int, workers: int, hidden: tuple[int, ...] = ()
) -> dict[str, float]:
    """One `relook train`: steps per second of learning, seconds of the whole command, peak memory of the workers."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "run"
        options = f"--env {env} --preset sb3 --envs {envs} --seeds {seeds} --steps {steps} --workers {workers}"
        options += f" --hidden {','.join(map(str, hidden))}" if hidden else ""
        command = [sys.executable, "-m", "relook.cli", "train", algorithm, *options.split(), "--evaluate-episodes", "0"]
        began = time.perf_counter()
        subprocess.run([*command, "--out", str(out)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        whole = time.perf_counter() - began
        timing = Run(out).timing
    learned = learning(timing).group_by("unit").agg(pl.col("seconds").sum())["seconds"]
    memory = timing.group_by("unit").agg(pl.col("peak_mebibytes").max())["peak_mebibytes"]
    made = int(timing["steps"].to_numpy().max()) * seeds
    speed = made / float(learned.to_numpy().max())
    peak = float(memory.to_numpy().sum())
    return {"steps": made, "steps_per_second": speed, "whole_seconds": whole, "peak_mebibytes": peak}


def theirs(c: Comparison, threads: int = 1) -> dict[str, float]:
    """Stable-Baselines3: one training, or two at once that stand for many seeds."""
    options = f"--env {c.env} --envs {c.envs} --steps {c.steps} --threads {threads}".split()
    options += ["--hidden", *map(str, c.hidden)] if c.hidden else []
    began = time.perf_counter()
    processes = [peers.start("sb3.py", c.algorithm, *options, "--seed", str(seed)) for seed in range(min(c.seeds, 2))]
    ends = [json.loads(process.communicate()[0].splitlines()[-1]) for process in processes]
    made = sum(end["steps"] for end in ends)
    return {
        "steps": made,
        "steps_per_second": sum(end["steps"] / end["seconds"] for end in ends),
        "whole_seconds": time.perf_counter() - began,
        "peak_mebibytes": sum(end["peak_mebibytes"] for end in ends),
    }


def arithmetic(processes: int) -> dict[str, float]:
    """The updates of SAC a second that matrix products alone would allow, in so many processes at once."""
    command = [sys.executable, "-m", "benchmarks.speed.arithmetic"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    began = time.perf_counter()
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(processes)]
    rates = [float(process.communicate()[0]) for process in running]
    speed = sum(rates) * 1e9 / SAC_UPDATE
    return {
        "steps": 0.0,
        "steps_per_second": speed,
        "whole_seconds": time.perf_counter() - began,
        "peak_mebibytes": 0.0,
    }


def compare(comparisons: Sequence[Comparison], rounds: int) -> None:
    for number in range(rounds):
        for c in comparisons:
            if c.hidden == () and c.algorithm == "sac":
                keep("limit", c.name, "arithmetic", number, arithmetic(2))
            measured = ours(c.algorithm, c.env, c.envs, c.seeds, c.steps, 2, c.hidden)
            keep("compare", c.name, "relook", number, measured)
            for threads in (1, 2) if c.seeds == 1 else (1,):
                side = f"stable-baselines3, {threads} thread{'s' * (threads > 1)} a process"
                keep("compare", c.name, side, number, theirs(c, threads))


def agents(rounds: int) -> None:
    for number in range(rounds):
        for count in AGENTS:
            measured = ours("ppo", "CartPole-v1", 8, count, 32_768, workers=1)
            keep("agents", str(count), "relook", number, measured)


def keep(what: str, name: str, side: str, number: int, measured: dict[str, float]) -> None:
    print(f"{name:<37}{side:<39}{measured['steps_per_second']:>10,.0f} steps/s", flush=True)
    row = pl.DataFrame(
        {"what": what, "name": name, "side": side, "round": number, **{k: float(v) for k, v in measured.items()}}
    )
    (pl.concat([pl.read_csv(CSV), row.cast(pl.read_csv(CSV).schema)]) if CSV.exists() else row).write_csv(CSV)


def ratios(kept: pl.DataFrame, c: Comparison) -> tuple[str, list[float]]:
    """The faster way to use their library, and our steps per second over theirs in each round."""
    own = kept.filter((pl.col("what") == "compare") & (pl.col("name") == c.name))
    mine = own.filter(pl.col("side") == "relook").sort("round")["steps_per_second"]
    others = own.filter(pl.col("side") != "relook")
    side = others.group_by("side").agg(pl.col("steps_per_second").median()).sort("steps_per_second")["side"][-1]
    other = others.filter(pl.col("side") == side).sort("round")["steps_per_second"]
    return side, (mine / other).to_list()


def report(kept: pl.DataFrame) -> str:
    lines = ["# Speed", "", "Made by `python -m benchmarks.speed`; every measurement is in `speed.csv`.", ""]
    if "compare" in kept["what"]:
        rounds = kept.filter(pl.col("what") == "compare")["round"].n_unique()
        lines += [
            "## Against Stable-Baselines3 and sb3-contrib 2.9.2",
            "",
            f"Their default hyper-parameters on both sides, two cores, {rounds} rounds. Ratio of steps per second: the",
            "median over rounds (lowest … highest). Memory is the peak of the processes that train, in MiB.",
            "",
            "| task | ratio | bar | our memory | theirs | their side |",
            "|---|---|---|---|---|---|",
        ]
        for c in (c for c in COMPARISONS if c.name in kept["name"]):
            side, of_rounds = ratios(kept, c)
            peaks = [
                kept.filter((pl.col("name") == c.name) & (pl.col("side") == s))["peak_mebibytes"].to_numpy().max()
                for s in ("relook", side)
            ]
            lines.append(
                f"| {c.name} | **{statistics.median(of_rounds):.1f}×** ({min(of_rounds):.1f} … {max(of_rounds):.1f}) "
                f"| {c.bar:g}× | {peaks[0]:,.0f} | {peaks[1]:,.0f} | {side} |"
            )
        lines.append("")
    for c in COMPARISONS:
        limits = kept.filter((pl.col("what") == "limit") & (pl.col("name") == c.name)).sort("round")
        if limits.is_empty():
            continue
        own = kept.filter((pl.col("name") == c.name) & (pl.col("side") == "relook")).sort("round")
        shares = (own["steps_per_second"] / limits["steps_per_second"]).to_list()
        lines += [
            f"{c.name}: {statistics.median(shares):.0%} ({min(shares):.0%} … {max(shares):.0%}) of what the matrix",
            "products of its updates alone would allow on two cores, measured in the same rounds",
            "(`benchmarks/speed/arithmetic.py`).",
            "",
        ]
    if "agents" in kept["what"]:
        lines += [
            "## More agents in one process (PPO, CartPole-v1, 8 environments each, the same hyper-parameters)",
            "",
            "Relative to one agent: steps per second of all agents together and of each agent, and what an agent-step",
            "costs; over the whole command, which starts Python and torch, and, in the last column, while learning.",
            "",
            "| agents | in all | each agent | cost of an agent-step | peak memory, MiB | cost while learning |",
            "|---|---|---|---|---|---|",
        ]
        for count, cost, learning, memory in scaling(kept):
            whole = f"{1 / cost:.2f}× | {1 / cost / count:.2f}× | {cost:.3f}"
            lines.append(f"| {count} | {whole} | {memory:,.0f} | {learning:.3f} |")
        lines.append("")
    return "\n".join(lines)


def scaling(kept: pl.DataFrame) -> list[tuple[int, float, float, float]]:
    """For each number of agents: cost of an agent-step relative to one agent's, whole and while learning; memory."""
    own = kept.filter(pl.col("what") == "agents").with_columns(
        pl.col("name").cast(pl.Int64).alias("agents"),
        (pl.col("whole_seconds") / pl.col("steps")).alias("whole"),
        (1 / pl.col("steps_per_second")).alias("learning"),
    )
    columns = pl.col("whole", "learning").median(), pl.col("peak_mebibytes").max()
    medians = own.group_by("agents").agg(*columns).sort("agents")
    _, one, one_learning, _ = medians.row(0)
    return [(n, cost / one, learning / one_learning, peak) for n, cost, learning, peak in medians.iter_rows()]


def draw(kept: pl.DataFrame, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    compared = [c for c in COMPARISONS if c.name in kept["name"]]
    names = [c.name for c in compared]
    medians = [statistics.median(ratios(kept, c)[1]) for c in compared]
    left.barh(names[::-1], medians[::-1], color="C0")
    for place, (c, ratio) in enumerate(zip(compared[::-1], medians[::-1], strict=True)):
        left.text(ratio, place, f" {ratio:.1f}×", va="center")
        left.plot([c.bar, c.bar], [place - 0.4, place + 0.4], color="black", linewidth=1)
    left.axvline(1, color="grey", linewidth=0.8, linestyle=":")
    left.set_xlim(0, 1.3 * max(medians))
    left.set_xlabel("steps per second, relative to Stable-Baselines3\n(black line: the bar)")
    rows = scaling(kept)
    right.loglog([row[0] for row in rows], [row[1] for row in rows], marker="o", label="whole command")
    right.loglog([row[0] for row in rows], [row[2] for row in rows], marker="o", label="while learning")
    right.legend()
    right.set_xticks(AGENTS, [str(n) for n in AGENTS])
    right.set_yticks([1, 0.5, 0.25, 0.125], ["1", "1/2", "1/4", "1/8"])
    right.minorticks_off()
    right.grid(alpha=0.3)
    right.set_xlabel("agents in one process")
    right.set_ylabel("cost of an agent-step, relative to one agent")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=[[], "compare", "agents"], default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="comparisons, by a word of their name: a2c trpo")
    asked = parser.parse_args()
    what = asked.what or ["compare", "agents"]
    comparisons = [c for c in COMPARISONS if not asked.only or any(word in c.name.lower() for word in asked.only)]
    if CSV.exists():  # measured again, not added to: rounds belong to one sitting
        stays = ~pl.col("what").is_in([*what, *(["limit"] if "compare" in what else [])])
        if asked.only:
            stays |= pl.col("what").is_in(["compare", "limit"]) & ~pl.col("name").is_in([c.name for c in comparisons])
        old = pl.read_csv(CSV).filter(stays)
        old.write_csv(CSV) if len(old) else CSV.unlink()
    if "compare" in what:
        compare(comparisons, asked.rounds)
    if "agents" in what:
        agents(asked.rounds)
    kept = pl.read_csv(CSV)
    (RESULTS / "speed.md").write_text(report(kept), encoding="utf-8")
    if {"compare", "agents"} <= set(kept["what"]):
        draw(kept, RESULTS / "speed.png")


if __name__ == "__main__":
    main()
