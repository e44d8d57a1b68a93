"""Does every episode of training start from a seed of its own?"""

from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check
from relook.population import reset_seed
from relook.runs.files import read_lines

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
    if patient.asked.once:
        _once(patient, where)
        return
    patient.ask(CHECK, None not in seeds, "expected an explicit seed for every reset; found resets without", where)
    many = {reset_seed(11, "train", n, e) for n in range(4) for e in range(100)}
    patient.ask(CHECK, len(many) == 400, f"expected 400 episodes with seeds of their own; found {len(many)}", where)
    for i, env in enumerate(patient.envs._envs):
        a, n = divmod(i, patient.envs.count)
        for played in patient.ledger.episodes[env.unwrapped.instance]:
            expected = reset_seed(patient.agents[a].seed, "train", n, played.episode)
            said = f"expected the seed {expected} of agent {a}, environment {n}; found {played.seed}"
            patient.ask(CHECK, played.seed == expected, said, where)
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
    starts = {patient.ledger.episodes[i][0].observations[0].tobytes() for i in learned}
    patient.ask(
        CHECK, len(starts) == len(learned), "expected environments that start differently; found some alike", where
    )
    rows = read_lines(patient.directory / "episodes.jsonl")
    evaluated = {row["reset_seed"] for row in rows if row["kind"] == "evaluation"}
    shared = evaluated & set(all_of_it)
    patient.ask(
        CHECK, not shared, f"expected evaluations with seeds of their own; found {len(shared)} of training", where
    )


def _once(patient: Patient, where: str) -> None:
    """Only the first reset of each environment has a seed."""
    for i in _training_instances(patient):
        seeded = [played.seed is not None for played in patient.ledger.episodes[i]]
        right = seeded[0] and not any(seeded[1:])
        patient.ask(CHECK, right, f"expected a seed for the first reset alone; found {sum(seeded)} with one", where)


def _training_instances(patient: Patient) -> list[int]:
    """The wards that the algorithm learned in."""
    return sorted({env.unwrapped.instance for env in patient.envs._envs})
