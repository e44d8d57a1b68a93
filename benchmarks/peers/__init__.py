"""Other libraries, installed in an environment of their own beside this file, and run as programs."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENT = HERE / ".venv"
REQUIREMENTS = HERE / "requirements.txt"


def python() -> Path:
    """The interpreter of the peers' environment, which is made when it is first asked for."""
    interpreter, ready = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        # torch by itself first: asked for exactly, it may come from a local build without gigabytes of CUDA.
        pip = [str(interpreter), "-m", "pip", "install", "--quiet"]
        torch = next(line for line in REQUIREMENTS.read_text().splitlines() if line.startswith("torch=="))
        subprocess.run([*pip, torch], check=True)
        subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
        ready.touch()
    return interpreter


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Run one of the scripts in this directory, with one thread for numpy's and torch's libraries."""
    command = [str(python()), str(HERE / script), *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def run(script: str, *arguments: str) -> list[str]:
    """Run a script to its end and return the lines that it printed."""
    process = start(script, *arguments)
    printed, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{script} {' '.join(arguments)} ended with status {process.returncode}")
    return printed.splitlines()
