"""What does the doctor say of other libraries? `python -m benchmarks.peers_examined PYTHON`

PYTHON is one that has relook and the peers: `pip install -e . -r benchmarks/peers/examined.txt`, in an environment of
its own. Each training function is examined by the command that the table shows, from outside, as anybody's. What it
said lies in results/peers_examined/, one file for each, and is not asked for again; docs/peers-examined.md is made of
it.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "peers_examined"
PAGE = ROOT / "docs" / "peers-examined.md"
SB3, TIANSHOU, SKRL = "Stable-Baselines3 2.9.2", "Tianshou 2.0.1", "skrl 2.1.1"
EXAMINED = (
    (SB3, "sb3:PPO", "discrete"),
    (SB3, "sb3:PPO", "continuous"),
    (SB3, "sb3:A2C", "discrete"),
    (SB3, "sb3:A2C", "continuous"),
    (SB3, "sb3:DQN", "discrete"),
    (SB3, "sb3:TD3", "continuous"),
    (SB3, "sb3:SAC", "continuous"),
    (TIANSHOU, "benchmarks.peers.trainers:tianshou_ppo", "discrete"),
    (SKRL, "benchmarks.peers.trainers:skrl_ppo", "discrete"),
    (SKRL, "benchmarks.peers.trainers:skrl_ppo_bootstrapping", "discrete"),
)
LIMITS = ("probe-time-limit", "probe-last-observation", "probe-stay")
HEAD = """# Other libraries, examined

Training functions of other libraries, examined by `relook doctor algorithm` from outside, exactly as it examines
anybody's: in small environments with known answers, twice where the first answer is wrong (with another seed and three
times the steps). What they are given is in `src/relook/doctor/examine/outside/adapters.py` and
`benchmarks/peers/trainers.py`: defaults but for smaller buffers and, for most, a larger learning rate, so that they
learn such small problems in a few thousand steps. Every row is what its command prints; all that it printed is in
`benchmarks/results/peers_examined/`. Made by `python -m benchmarks.peers_examined PYTHON`.

A finding says that a property does not hold of this version with these settings; it may be on purpose, or a documented
default. "Time limits" asks whether values go on beyond a truncation (probe-time-limit, probe-last-observation),
"resets" whether environments are reset after every end, never stepped beyond one, and started from seeds of their own
(treatment).

| library | command | time limits | resets | all findings |
|---|---|---|---|---|
"""


def main(python: str) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    rows, findings = [], []
    for library, name, kind in EXAMINED:
        path = RESULTS / f"{name.rpartition(':')[2]}-{kind}.json"
        command = ["doctor", "algorithm", name, "--kind", kind]
        if not path.exists():
            whole = [python, "-m", "relook.cli", *command, "--json"]
            done = subprocess.run(whole, cwd=ROOT, capture_output=True, text=True, check=False)
            if not done.stdout.strip().startswith("{"):
                raise RuntimeError(done.stderr)
            path.write_text(done.stdout[done.stdout.index("{") :], encoding="utf-8")
        told = {finding["check"]: finding for finding in json.loads(path.read_text(encoding="utf-8"))["findings"]}
        rows.append(
            f"| {library} | `relook {' '.join(command)}` | {_said(told, LIMITS, 'values go on beyond them')} | "
            f"{_said(told, ('treatment',), 'as they should be')} | {', '.join(told) or 'none'} |"
        )
        findings += [f"- {name} ({kind}), {check}: {finding['evidence']}." for check, finding in told.items()]
        print(rows[-1], flush=True)
    lines = ["", "## What was found", "", *(findings or ["Nothing."])]
    PAGE.write_text(HEAD + "\n".join([*rows, *lines]) + "\n", encoding="utf-8")


def _said(told: dict[str, Any], checks: tuple[str, ...], otherwise: str) -> str:
    return "; ".join(told[check]["evidence"] for check in checks if check in told) or otherwise


if __name__ == "__main__":
    main(*sys.argv[1:])
