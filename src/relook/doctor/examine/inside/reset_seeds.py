"""Does every episode of training start from a seed of its own?"""

from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check

CHECK = Check(
    name="reset-seeds",
    component="randomness",
    asks="Every reset is given a seed, no two training episodes share one, and no two environments start alike.",
    causes=(
        "the environments of an agent are seeded with the agent's seed, and nothing of their own",
        "a constant seed at every reset, which plays one episode again and again",
    ),
    remedy="Derive each reset's seed from the agent's, the environment's number and the episode's number.",
    lesson="Environments that share a seed play the same episode N times: the batch is N times smaller than it says, "
    "and nothing looks wrong (Ray 46986, TorchRL 4208, ChainerRL 455).",
)


def attach(patient: Patient) -> None:
    patient.afterwards(lambda: _look(patient))


def _look(patient: Patient) -> None:
    where = "relook/envs/vector.py, Environments._reset"
    firsts = [played for played in patient.ledger if played.actions]
    seeds = [played.seed for played in firsts]
    patient.ask(CHECK, None not in seeds, "expected an explicit seed for every reset; found resets without", where)
    # What is played again (evaluations, and the start-up check) repeats seeds on purpose: it is left out by instance.
    by_instance = [{p.seed for p in own if p.actions} for own in patient.ledger.episodes]
    learned = _training_instances(patient)
    all_of_it = [seed for i in learned for seed in by_instance[i]]
    count = sum(sum(bool(p.actions) for p in patient.ledger.episodes[i]) for i in learned)
    patient.ask(
        CHECK,
        len(set(all_of_it)) == count,
        f"expected {count} training episodes with seeds of their own; found {len(set(all_of_it))} different ones",
        where,
    )
    starts = [m.told.observation for m in patient.history[:1]]
    if starts:
        rows = starts[0].flatten(0, 1)
        different = len(rows.unique(dim=0)) == len(rows)
        patient.ask(CHECK, different, "expected environments that start differently; found some alike", where)


def _training_instances(patient: Patient) -> list[int]:
    """The wards that the algorithm learned in."""
    return sorted({env.unwrapped.instance for env in patient.envs._envs})
