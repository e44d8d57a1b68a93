"""`relook VERB …`: finds the verb's file, and turns errors into one sentence and an exit status."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from relook.errors import RelookError, WrongRequest

VERBS = {
    "train": "train agents: relook train ppo --env CartPole-v1",
    "grid": "train several algorithms on several environments: relook grid ppo trpo --env CartPole-v1 Acrobot-v1",
    "ablate": "say what each part of an algorithm is worth: relook ablate ppo --env CartPole-v1",
    "tune": "search for hyper-parameters, and confirm them: relook tune ppo --env Acrobot-v1 --space …",
    "resume": "go on with a run that did not end, or to more steps",
    "fork": "a new run from a step of another one, with one thing changed",
    "show": "say what a run is and how it ended",
    "evaluate": "play fresh episodes with a run's agents, also in a changed environment",
    "replay": "look at recorded episodes again, as a film or a filmstrip",
    "verify": "play recorded episodes again and recompute digests: is a run what it says?",
    "reproduce": "train a run once more and say whether the same came of it",
    "compare": "say which method is better, and how certain that is",
    "sensitivity": "say how much tuning an algorithm asks for, from a grid over several environments",
    "doctor": "say what is wrong with a run, and what to do about it: relook doctor run runs/first",
    "plot": "draw learning curves, or any metric, as PNG, SVG or PDF",
    "export": "write what runs hold for other tools",
    "algorithms": "list the algorithms",
    "labs": "list the labs: concepts to predict, run, look at and check",
    "lab": "one of them: relook lab trajectories; relook lab --all --check",
    "play": "play tic-tac-toe or Connect Four against what was solved or trained: relook play --players",
}
HIDDEN = ("work", "nursery")
"""Verbs that relook calls itself."""


def usage() -> str:
    lines = ["usage: relook VERB …      (relook VERB --help says more)", ""]
    lines += [f"  {verb:<12}{meaning}" for verb, meaning in VERBS.items()]
    lines += ["", "  --version   print the version", "  --debug     show the whole traceback when something fails"]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 success, 2 a wrong request, 1 a failure."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.append(str(Path.cwd()))  # so that module:function finds a module that lies where relook is run
    words = [word for word in words if word != "--debug"]
    try:
        return _run(words)
    except RelookError as error:
        if debug:
            raise
        print(f"relook: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("relook: interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:
        if debug:
            raise
        print(f"relook: failed: {type(error).__name__}: {error} (--debug shows where)", file=sys.stderr)
        return 1


def _run(words: list[str]) -> int:
    match words:
        case [] | ["--help" | "-h", *_]:
            print(usage())
        case ["--version", *_]:
            from relook import __version__

            print(f"relook {__version__}")
        case [verb, *rest] if verb in VERBS or verb in HIDDEN:
            import_module(f"relook.cli.{verb}").run(rest)
        case [verb, *_]:
            raise WrongRequest(f"expected a verb among {', '.join(VERBS)}; found {verb!r}; see relook --help")
    return 0
