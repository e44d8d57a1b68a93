"""Examines algorithms whose source has a bug in it: run as a script, in a process that never imports our relook.

It imports what takes long (torch and other libraries, nothing of relook), and forks for each line `tier algorithm` on
its standard input a child that imports relook from the copy in the current directory, where a bug may have been planted
since, and examines that algorithm from inside or from outside. The answer is one line of JSON.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Literal

sys.dont_write_bytecode = True  # a file that is patched twice within a second would be taken for the first one
sys.path[0] = str(Path.cwd())  # the copy, and not the folder of this script

import gymnasium  # noqa: E402, F401  # after the path, and only to have it: children find it imported
import safetensors.torch  # noqa: E402, F401
import scipy.stats  # noqa: E402, F401
import threadpoolctl  # noqa: E402, F401
import torch  # noqa: E402

torch.set_num_threads(1)
PATIENCE = {"inside": 120, "outside": 900}
"""Seconds after which an examination is given up: a bug may make a loop that never ends."""
STEPS = 6000
"""In each small environment, as `relook doctor algorithm` takes."""


def examine(tier: str, name: str) -> dict[str, object]:
    """What the examination of an algorithm says: from inside, until the first setting in which it finds something."""
    began = time.monotonic()
    try:
        if tier == "inside":
            from relook.doctor.examine.inside.examination import examine, located

            findings = examine(name, until_found=True).findings
            component = located(findings)
        else:
            from relook.doctor.examine.outside import examination
            from relook.doctor.examine.outside.adapters import ours

            kind: Literal["discrete", "continuous"]
            kind = "continuous" if name in ("ddpg", "td3", "sac") else "discrete"
            findings = examination.examine(ours(name), kind, steps=STEPS, seed=0, command="", until_found=True)
            component = findings[0].component if findings else ""
        rows = [{"check": f.check.name, "component": f.component, "evidence": f.evidence} for f in findings]
        return {"findings": rows, "component": component, "seconds": time.monotonic() - began}
    except Exception as error:  # the bug keeps relook itself from being imported
        row = {"check": "import", "component": "", "evidence": f"{type(error).__name__}: {error}"}
        return {"findings": [row], "component": "", "seconds": time.monotonic() - began}


def main() -> None:
    for line in sys.stdin:
        tier, name = line.split()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            signal.alarm(PATIENCE[tier])
            os.write(writing, json.dumps(examine(tier, name)).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            told = answer.read()
        os.waitpid(child, 0)
        hung = {"findings": [{"check": "runs", "component": "", "evidence": f"no end after {PATIENCE[tier]} s"}]}
        print(told or json.dumps({**hung, "component": "", "seconds": float(PATIENCE[tier])}), flush=True)


if __name__ == "__main__":
    main()
