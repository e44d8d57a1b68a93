"""Does what lies on disk say what happened: every episode, evaluation and mean of them?"""

from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from relook.doctor.examine.inside.patient import Patient
from relook.doctor.examine.inside.ward import Played
from relook.doctor.findings import Check
from relook.networks import from_settings
from relook.runs.evaluation import Evaluation
from relook.runs.files import read_lines
from relook.runs.unit import PARAMETERS, Unit

CHECK = Check(
    name="recordings",
    component="record",
    asks="Each recorded episode has the actions, the ending, the steps and the value estimates of one that happened, "
    "no episode is missing, and each agent's means are those of its own.",
    causes=(
        "memory that is written over is kept, and not a copy of it",
        "an offset, a stride or a position is that of another agent or environment",
        "steps are counted an iteration too early or too late",
        "episodes of all agents are taken for those of one",
    ),
    remedy="Play a recorded episode again from its seed and actions, and compare.",
    lesson="Whoever looks at a run later sees nothing but its files. If they say something else than what happened, "
    "every question that is asked of them is answered wrongly, and nobody knows.",
)
WHERE = "episodes.jsonl, evaluations.jsonl and metrics.jsonl"

Values = NDArray[np.float32]


class Happened(NamedTuple):
    """An episode as the ledger has it, and where it belongs."""

    played: Played
    steps: int
    """Steps of each agent when it was written down."""
    values: Values | None
    """V(s) of what was acted on [length], if any was estimated."""


def attach(patient: Patient) -> None:
    training: list[Values] = []
    evaluated: list[tuple[Any, Values]] = []

    def record(
        call: Callable[..., Any],
        unit: Any,
        diagnostics: Any,
        episodes: Any,
        value: Any = None,
        *rest: Any,
        **named: Any,
    ) -> Any:
        if value is not None and patient.has("replay_for"):
            keep(value)
        return call(unit, diagnostics, episodes, value, *rest, **named)

    def keep(value: Tensor) -> None:
        training.append((value * patient.reward_scale.view(-1, 1, 1)).transpose(0, 1).numpy().copy())

    def evaluation(call: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
        found = call(self, *args, **kwargs)
        evaluated.append((self, _estimated(patient, self)))
        return found

    def look() -> None:
        if not patient.history:
            return
        values = np.concatenate(training) if training else None
        _training(patient, values)
        _loaded(patient)
        if patient.evaluate_episodes:
            _evaluations(patient, evaluated)

    patient.when_judged(lambda estimates: keep(estimates.value))
    patient.around(Unit, "record", record)
    patient.around(Evaluation, "__call__", evaluation)
    patient.afterwards(look)


def _estimated(patient: Patient, evaluation: Any) -> Values:
    """V(s) [step, A, environment] in units of raw reward of what was seen in the newest episodes."""
    envs, values = evaluation.envs, []
    for a in range(len(patient.agents)):
        for n in range(envs.count):
            instance = envs._envs[a * envs.count + n].unwrapped.instance
            played = [p for p in patient.ledger.episodes[instance] if p.actions][-1]
            seen = torch.from_numpy(np.stack(played.observations[: len(played.actions)]))
            everyone = seen.expand(len(patient.agents), *seen.shape)
            values.append(patient.ac.value(everyone)[a] * patient.reward_scale[a])
    longest = max(map(len, values))
    padded = [torch.nn.functional.pad(v, (0, longest - len(v))).numpy() for v in values]
    return np.stack(padded, 1).reshape(longest, len(patient.agents), envs.count)


def _rows(patient: Patient, kind: str) -> dict[tuple[int, int, int, int], Mapping[str, Any]]:
    """The recorded episodes of a kind by agent, evaluation (0 in training), environment and episode."""
    rows = [row for row in read_lines(patient.directory / "episodes.jsonl") if row["kind"] == kind]
    return {(row["agent"], row["evaluation"] or 0, row["environment"], row["episode"]): row for row in rows}


def _training(patient: Patient, values: Values | None) -> None:
    envs, each = patient.envs.count, patient.config.steps_each
    happened: dict[tuple[int, int, int, int], Happened] = {}
    for a in range(len(patient.agents)):
        for n in range(envs):
            began = 0
            for played in _whole(patient, patient.envs, a, n):
                end = began + len(played.actions)
                iteration = (end - 1) * envs // each
                own = None if values is None else values[began:end, a, n]
                happened[a, 0, n, played.episode] = Happened(played, (iteration + 1) * each, own)
                began = end
    _same(patient, "training", happened)
    _means(patient, happened)


def _whole(patient: Patient, envs: Any, a: int, n: int) -> Iterator[Played]:
    """The episodes of an environment that have ended."""
    instance = envs._envs[a * envs.count + n].unwrapped.instance
    for played in patient.ledger.episodes[instance]:
        if played.actions and any(played.end(len(played.actions) - 1)):
            yield played


def _evaluations(patient: Patient, evaluated: list[tuple[Any, Values]]) -> None:
    """The first one was before training began; what it estimated nobody kept."""
    if not evaluated:
        return
    envs, due, count = evaluated[0][0].envs, patient.evaluated_at, patient.evaluate_episodes
    happened: dict[tuple[int, int, int, int], Happened] = {}
    for a in range(len(patient.agents)):
        for n in range(envs.count):
            whole = list(_whole(patient, envs, a, n))
            patient.ask(
                CHECK,
                len(whole) == len(due),
                f"expected {len(due)} evaluations to play their episodes to the end; found {len(whole)}",
                "relook/runs/evaluation.py",
                part="evaluation",
            )
            for index, played in enumerate(whole[: len(due)]):
                values = evaluated[index - 1][1][: len(played.actions), a, n] if index else None
                happened[a, index, n, 0] = Happened(played, due[index], values)
    _same(patient, "evaluation", happened)
    where = "relook/runs/unit.py, Unit._evaluate"
    for row in read_lines(patient.directory / "evaluations.jsonl"):
        first = 0 if row["deterministic"] else count
        own = [happened.get((row["agent"], row["evaluation"], n, 0)) for n in range(first, first + count)]
        lengths = [len(episode.played.actions) for episode in own if episode]
        returns = [float(np.sum(episode.played.rewards)) for episode in own if episode]
        if len(returns) == count:
            for what, found, expected in (
                ("steps of an evaluation", row["steps"], due[row["evaluation"]]),
                ("returns of an evaluation", row["returns"], returns),
                ("mean return of an evaluation", row["mean_return"], np.mean(returns)),
                ("mean length of an evaluation", row["mean_length"], np.mean(lengths)),
            ):
                patient.compare(CHECK, what, found, expected, where, 1e-5, 1.0, part="evaluation")


def _loaded(patient: Patient) -> None:
    """Networks that are built and loaded from what was recorded say what those that were trained say."""
    where, seen = "relook/networks/loading.py", patient.history[-1].told.observation.clone()
    [networks] = [row for row in read_lines(patient.directory / "events.jsonl") if row["event"] == "networks"]
    made = from_settings(networks["kind"], patient.envs.spaces, patient.agents, networks["settings"])
    made.load(load_file(patient.directory / PARAMETERS))
    for what in ("act_deterministically", "value"):
        said = f"what loaded networks say ({what})"
        one, other = getattr(made, what)(seen), getattr(patient.ac, what)(seen)
        patient.compare(CHECK, said, one, other, where, 1e-5, 1e-2, part="networks")


def _same(patient: Patient, kind: str, happened: Mapping[tuple[int, int, int, int], Happened]) -> None:
    """Recorded episodes are those that happened, one by one."""
    rows, where = _rows(patient, kind), "relook/runs/unit.py, Unit._record_episodes"
    missing, invented = set(happened) - set(rows), set(rows) - set(happened)
    patient.ask(
        CHECK,
        not missing and not invented,
        f"expected a record of each of {len(happened)} {kind} episodes; found {len(missing)} without and "
        f"{len(invented)} that never happened",
        where,
    )
    actions = (patient.directory / "actions.bin").read_bytes()
    stored = (patient.directory / f"{kind}-values.bin").read_bytes()
    for key in sorted(set(happened) & set(rows)):
        (played, steps, values), row = happened[key], rows[key]
        terminated, _ = played.end(len(played.actions) - 1)
        for what, found, expected in (
            ("reset seed", row["reset_seed"], played.seed),
            ("length", row["length"], len(played.actions)),
            ("ending", row["ending"], "terminated" if terminated else "truncated"),
            ("steps", row["steps"], steps),
            ("digest", row["digest"], _digest(played, row["ending"])),
        ):
            said = f"expected the {what} of {kind} episode to be {expected}; found {found}"
            patient.ask(CHECK, found == expected, said, where)
        patient.compare(CHECK, f"return of {kind} episode", row["return"], np.sum(played.rewards), where, 1e-5, 1.0)
        _actions(patient, kind, actions, row["actions"], played)
        place = row["values"]
        if place and values is not None:
            at = [place["offset"] + t * place["stride"] for t in range(len(values))]
            inside = min(at) >= 0 and max(at) + 4 <= len(stored)
            beyond = f"expected value estimates inside a file of {len(stored)} bytes; found them at {max(at)}"
            patient.ask(CHECK, inside, beyond, "relook/runs/unit.py, Unit._place")
            if inside:
                estimates = [float(np.frombuffer(stored, "<f4", 1, offset)[0]) for offset in at]
                what = f"value estimates of {kind} episode"
                patient.compare(CHECK, what, estimates, values.astype(float), WHERE, 1e-4, 1.0)


def _actions(patient: Patient, kind: str, content: bytes, place: Mapping[str, Any], played: Played) -> None:
    """The recorded actions of an episode are those that it had."""
    what, where = f"actions of {kind} episode", "relook/envs/vector.py"
    done, kinds = np.stack(played.actions), np.dtype(place["dtype"])
    shape, offset = tuple(place["shape"]), place["offset"]
    inside = 0 <= offset <= len(content) - int(np.prod(shape)) * kinds.itemsize
    patient.ask(CHECK, inside, f"expected {what} inside a file of {len(content)} bytes; found them at {offset}", where)
    if inside:
        found = np.frombuffer(content, kinds, int(np.prod(shape)), offset).reshape(shape)
        patient.compare(CHECK, what, found.astype(float), done.astype(float), where, 1e-6)


def _digest(played: Played, ending: str) -> str:
    """The hash of an episode: its observations in float32, its rewards in float64, and how it ended."""
    whole = blake2b(digest_size=16)
    for observation in played.observations:
        whole.update(observation.astype("<f4").tobytes())
    whole.update(np.array(played.rewards, dtype="<f8").tobytes() + ending.encode())
    return whole.hexdigest()


def _means(patient: Patient, happened: Mapping[tuple[int, int, int, int], Happened]) -> None:
    """Each agent's means over the episodes that ended in an iteration."""
    for row in read_lines(patient.directory / "metrics.jsonl"):
        own = [e.played for (a, *_), e in happened.items() if a == row["agent"] and e.steps == row["steps"]]
        lengths = [len(played.actions) for played in own]
        returns = [float(np.sum(played.rewards)) for played in own]
        where = "relook/runs/unit.py, Unit.record"
        for name, found, values in (
            ("episode_return", row["episode_return"], returns),
            ("episode_length", row["episode_length"], lengths),
        ):
            none = found is None
            patient.ask(CHECK, none != bool(values), f"expected {name} of {len(values)} episodes; found {found}", where)
            if not none and values:
                patient.compare(CHECK, name, found, np.mean(values), where, 1e-5, 1.0)
        expected = (row["iteration"] + 1) * patient.config.steps_each
        patient.ask(CHECK, row["steps"] == expected, f"expected {expected} steps; found {row['steps']}", where)
        patient.ask(CHECK, row["episodes"] == len(own), f"expected {len(own)} episodes; found {row['episodes']}", where)
