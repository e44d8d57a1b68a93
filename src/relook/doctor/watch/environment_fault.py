"""Did the environment fail?"""

from collections.abc import Iterator

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Watched

CHECK = Check(
    name="environment-fault",
    component="environment",
    asks="The environment answers every action, with numbers that are finite.",
    causes=(
        "an error in the environment, or in a wrapper",
        "a simulation that became unstable",
        "actions that the environment does not expect",
    ),
    remedy="Play the episode again from its reset seed and actions, which episodes.jsonl holds, and mend the "
    "environment.",
    lesson="One exception or one infinite reward ends an agent for good, and the others go on, so that a mean over "
    "seeds is one over the lucky ones. The episode is recorded up to the fault and can be repeated exactly. "
    "Simulations that blow up say so by observations that are not finite (Stable-Baselines3 has VecCheckNan for that).",
)


def look(watched: Watched) -> Iterator[Finding]:
    stop = watched.stop
    if stop is not None and (stop["status"] == "crashed" or "during" in stop):
        place = f" at step {stop['step']} of the episode of reset seed {stop['reset_seed']}" if "step" in stop else ""
        yield Finding(
            CHECK,
            "error",
            f"expected an answer to every action; {stop['reason']}{place if 'reset_seed' in stop else ''}",
            f"{watched.file('events')}, the event `stopped`",
            {"excess": 1.0, "reason": stop["reason"]},
        )
