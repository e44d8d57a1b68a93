"""Are environments treated as they ask to be?"""

from collections import Counter
from collections.abc import Iterator

from relook.doctor.examine.outside.trainer import Trained
from relook.doctor.findings import Check, Finding

CHECK = Check(
    name="treatment",
    component="environment",
    asks="Environments are reset after every end, stepped with actions of their space, as often as was asked for; "
    "parallel ones start from seeds of their own, and no episode from the seed of another.",
    causes=(
        "parallel environments are given one seed",
        "every reset is given the same seed",
        "actions are not cut to their bounds",
        "an environment is stepped beyond its end",
    ),
    remedy="Give each environment a seed of its own once, or each reset one; reset when `terminated or truncated`.",
    lesson="Environments that share a seed play the same episode side by side: the batch holds a fraction of what it "
    "seems to (Ray 46986, TorchRL 4208). Steps beyond an end are undefined, and often free reward.",
)
SPARE = 1.1
"""How many times the steps that were asked for may be taken: the last update may need a whole rollout."""


def look(trained: Trained, steps: int, command: str) -> Iterator[Finding]:
    """What the log of one training says, in an environment whose first observations are random."""
    log = trained.log
    busy = log.busy
    given = [(number, seed) for number, seed in log.seeds if seed is not None and number in busy]
    seeds = Counter(seed for _, seed in given)
    shared = {seed for seed in seeds if len({number for number, own in given if own == seed}) > 1}
    again = {seed for seed, count in seeds.items() if count > 1} - shared
    for wrong, evidence in (
        (
            shared,
            f"expected seeds of its own for each of {len(busy)} environments; found {len(shared)} that are shared",
        ),
        (
            again and max(seeds.values()) > 3,
            f"expected episodes of their own; found {len(again)} seeds that are used again",
        ),
        (
            log.odd_actions,
            f"expected actions of the action space; found {log.odd_actions} that are not, of {log.steps}",
        ),
        (log.after_end, f"expected a reset after every end; found {log.after_end} steps beyond one"),
        (log.steps > SPARE * steps + 2048, f"expected {steps:,} steps; found {log.steps:,}"),
    ):
        if wrong:
            yield Finding(CHECK, "error", evidence, command)
