"""What does it cost that the doctor looks on? `python -m benchmarks.watching [ALGORITHM …]`

Trains ten seeds of every algorithm as `relook train` does, with two workers, and adds up the time that is spent inside
of the doctor: reading, judging, all of it. Printed, and written to results/watching.md, is its share of the time that
training takes, with and without the last look, which is made after training and is not limited. Run it on a machine
that does nothing else.
"""

import io
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from relook.cli.progress import showing
from relook.doctor.watch.live import Live
from relook.envs import EnvironmentSpec
from relook.training import Request, carry_out, prepare

RESULTS = Path(__file__).parent / "results"
SEEDS = 10
TRAININGS = (
    ("reinforce", "CartPole-v1", 100_000),
    ("vpg", "CartPole-v1", 100_000),
    ("a2c", "CartPole-v1", 100_000),
    ("trpo", "Pendulum-v1", 100_000),
    ("ppo", "CartPole-v1", 100_000),
    ("ppo", "HalfCheetah-v5", 100_000),
    ("dqn", "CartPole-v1", 20_000),
    ("ddpg", "Pendulum-v1", 3_000),
    ("td3", "Pendulum-v1", 3_000),
    ("sac", "Pendulum-v1", 3_000),
)
HEAD = """# What watching costs

Made by `python -m benchmarks.watching`: ten seeds, two workers; the doctor's own time ÷ the time of the training.

| training | steps | looks while training | share while training | share with the last look |
|---|---|---|---|---|
"""


class Counting(Live):
    """Counts looks."""

    looks = 0

    def _look(self) -> None:
        self.looks += 1
        super()._look()


def cost(algorithm: str, environment: str, steps: int, out: Path) -> tuple[int, float, float]:
    """Looks, and shares of the time without and with the last one."""
    spec = EnvironmentSpec(environment, max_episode_steps=500 if algorithm == "reinforce" else None)
    early = {"learning_starts": [1000]} if algorithm in ("ddpg", "td3") else {}
    run = prepare(Request(algorithm, spec, range(SEEDS), steps, early, out=out), workers=2)
    doctor, began = Counting(run), time.monotonic()
    with (
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
        showing(run, steps * SEEDS, doctor) as progress,
    ):
        carry_out(run, spec, 2, progress.update)
        looks, inside, took = doctor.looks, doctor.seconds, time.monotonic() - began
    return looks, inside / took, doctor.seconds / (time.monotonic() - began)


def main(names: list[str]) -> None:
    page = RESULTS / "watching.md"
    known = page.read_text(encoding="utf-8").splitlines() if page.exists() else []
    rows = {line.split("|")[1].strip(): line for line in known if line.count("|") == 6}
    with tempfile.TemporaryDirectory() as scratch:
        for i, (algorithm, environment, steps) in enumerate(TRAININGS):
            if not names or algorithm in names:
                looks, during, whole = cost(algorithm, environment, steps, Path(scratch) / str(i))
                name = f"{algorithm} {environment}"
                rows[name] = f"| {name} | {steps:,} | {looks} | {during:.2%} | {whole:.2%} |"
                print(rows[name], flush=True)
            own = [rows[name] for a, e, _ in TRAININGS if (name := f"{a} {e}") in rows]
            page.write_text(HEAD + "\n".join(own) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
