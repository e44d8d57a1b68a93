"""Examines algorithms whose source has a bug in it: run as a script, in a process that never imports our relook.

It imports what takes long (torch and other libraries, nothing of relook), and forks for each line `algorithm` on its
standard input a child that imports relook from the copy in the current directory, where a bug may have been planted
since, and examines that algorithm. The answer is one line of JSON.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True  # a file that is patched twice within a second would be taken for the first one
sys.path[0] = str(Path.cwd())  # the copy, and not the folder of this script

import gymnasium  # noqa: E402, F401  # after the path, and only to have it: children find it imported
import safetensors.torch  # noqa: E402, F401
import scipy.stats  # noqa: E402, F401
import threadpoolctl  # noqa: E402, F401
import torch  # noqa: E402

torch.set_num_threads(1)
PATIENCE = 120
"""Seconds after which an examination is given up: a bug may make a loop that never ends."""


def examine(name: str) -> dict[str, object]:
    """What the examination of an algorithm says, until the first setting in which it finds something."""
    began = time.monotonic()
    try:
        from relook.doctor.examine.inside.examination import examine, located

        found = examine(name, until_found=True)
        rows = [{"check": f.check.name, "component": f.component, "evidence": f.evidence} for f in found.findings]
        return {"findings": rows, "component": located(found.findings), "seconds": time.monotonic() - began}
    except Exception as error:  # the bug keeps relook itself from being imported
        row = {"check": "import", "component": "", "evidence": f"{type(error).__name__}: {error}"}
        return {"findings": [row], "component": "", "seconds": time.monotonic() - began}


def main() -> None:
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            signal.alarm(PATIENCE)
            os.write(writing, json.dumps(examine(line.strip())).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            told = answer.read()
        os.waitpid(child, 0)
        hung = {"findings": [{"check": "runs", "component": "", "evidence": f"no end after {PATIENCE} s"}]}
        print(told or json.dumps({**hung, "component": "", "seconds": float(PATIENCE)}), flush=True)


if __name__ == "__main__":
    main()
