"""What each part of an algorithm is worth: the arms of an ablation compared, all of them at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from relook.errors import RelookError, WrongRequest
from relook.runs.files import plain, read_json
from relook.runs.reading import GRID, opened
from relook.runs.tidy import figure
from relook.statistics import reports
from relook.statistics.aggregates import Estimate, around
from relook.statistics.comparison import Comparison, Difference, Rules, compare
from relook.statistics.references import reference
from relook.statistics.reports import Table, p_text, with_interval
from relook.statistics.scores import Training, checked, of_run
from relook.statistics.significance import Verdict

FULL, AGAIN, BASE = "full", "full again", "base"
"""The arms with all parts, with all of them once more, and with none."""

Worth = Literal["needed", "harmful", "no effect", "undecided"]
WORTH: Mapping[Verdict, Worth] = {
    "better": "needed",
    "worse": "harmful",
    "equivalent": "no effect",
    "undecided": "undecided",
}
"""What it means for a part that the arm with it is better, worse, … than the arm without."""


def left_out(part: str) -> str:
    """The arm with all parts but one."""
    return f"without {part}"


def added(part: str) -> str:
    """The arm with one part alone."""
    return f"base with {part}"


@dataclass(frozen=True)
class Gain:
    """An arm with a part against the arm that differs in this part alone."""

    effect: Estimate
    """Difference of their means, with an interval that holds for all parts at once."""
    improvement: Estimate
    """Probability that a training with the part scores higher than one without."""
    adjusted: float
    """p of Welch's test, adjusted by max-T for all parts."""
    worth: Worth | None
    """None where no verdict is due."""


@dataclass(frozen=True)
class Part:
    """What one part is worth."""

    name: str
    among: Gain
    """Beside all others: full - full without it."""
    alone: Gain | None
    """As the only one: base with it - base. None for an algorithm with a single part."""
    interaction: Estimate | None
    """The first minus the second: 0 if the parts do not depend on each other. Its level is Bonferroni's."""


@dataclass(frozen=True)
class Judged:
    """All parts of an algorithm, the most valuable first: over all tasks, and on each."""

    algorithm: str
    components: Mapping[str, Mapping[str, Any]]
    parts: list[Part]
    by_task: dict[str, list[Part]]
    """In the order of `parts`. Empty for a single task."""
    again: dict[str, Estimate]
    """Full again - full, on each task or, under "", over all: how far apart equal arms come to lie."""
    among: Comparison
    alone: Comparison | None

    @property
    def scopes(self) -> dict[str, list[Part]]:
        """Parts by task; over all tasks under "", or of the only one under its name."""
        return {"": self.parts, **self.by_task} if self.by_task else {self.among.tasks[0]: self.parts}


def judge(path: Path, delta: float | None = None, alpha: float = 0.05) -> Judged:
    """What came of the ablation in a directory.

    Several tasks are put on one scale by the reference scores, and `delta` is a share of it. Raises `RelookError` for a
    directory that holds none, or a damaged one.
    """
    if delta is not None and not 0 < delta < math.inf:
        raise WrongRequest(f"expected --delta above 0; found {delta:g}")
    algorithm, components = _asked(path)
    trainings = [
        replace(training, method=agent.arm or training.method)
        for run in opened(path)
        for agent, training in zip(run.agents, of_run(run), strict=True)
    ]
    return judged(algorithm, components, trainings, Rules(delta=delta, alpha=alpha))


def judged(
    algorithm: str, components: Mapping[str, Mapping[str, Any]], trainings: Sequence[Training], rules: Rules
) -> Judged:
    """The same from trainings whose methods are the arms. Of `rules` δ, α and the number of samples count."""
    trainings, notes = checked(trainings)
    rules = replace(rules, adjust="max-t")
    table = reference() if len({training.task for training in trainings}) > 1 else None
    names = [*components]

    def family(arms: Sequence[str], baseline: str) -> Comparison:
        own = sorted((t for t in trainings if t.method in arms), key=lambda t: arms.index(t.method))
        if missing := [arm for arm in arms if arm not in {t.method for t in own}]:
            raise RelookError(f"expected all arms of the ablation; found no {missing[0]!r}")
        return compare(own, replace(rules, baseline=baseline), table, notes)

    among = family([FULL, AGAIN, *map(left_out, names)], FULL)
    alone = family([BASE, *map(added, names)], BASE) if len(names) > 1 else None
    parts = _parts(names, among.differences, alone.differences if alone else None, rules.alpha)
    parts.sort(key=lambda part: -part.among.effect.value)
    by_task = {}
    for task, found in among.per_task_differences.items():
        own = _parts(names, found, alone.per_task_differences[task] if alone else None, rules.alpha)
        by_task[task] = sorted(own, key=lambda part: [p.name for p in parts].index(part.name))
    again = {task: _effect(_of(AGAIN, found)) for task, found in among.per_task_differences.items()}
    again[""] = _effect(_of(AGAIN, among.differences))
    return Judged(algorithm, components, parts, by_task, again, among, alone)


def _asked(path: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """The algorithm of the ablation in a directory, and its parts."""
    if not (path / GRID).is_file():
        raise WrongRequest(f"expected the directory of an ablation; found no {GRID} in {path}")
    record = read_json(path / GRID)
    try:
        if record["kind"] != "ablation":
            raise WrongRequest(f"expected the directory of an ablation; found a {record['kind']} in {path}")
        parts = {str(name): dict(changed) for name, changed in record["components"].items()}
        return str(record["algorithm"]), parts
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RelookError(f"expected an ablation in {path / GRID}; found it damaged: {error!r}") from error


def _of(arm: str, differences: Sequence[Difference]) -> Difference:
    return next(difference for difference in differences if difference.first == arm)


def _effect(difference: Difference) -> Estimate:
    return difference.simultaneous or difference.mean


def _parts(
    names: Sequence[str], among: Sequence[Difference], alone: Sequence[Difference] | None, alpha: float
) -> list[Part]:
    parts = []
    for name in names:
        first = _reversed(_of(left_out(name), among))
        second = None if alone is None else _gain(_of(added(name), alone))
        between = None if second is None else _apart(first.effect, second.effect, 1 - alpha / len(names))
        parts.append(Part(name, first, second, between))
    return parts


def _gain(difference: Difference) -> Gain:
    worth = None if difference.verdict is None else WORTH[difference.verdict]
    return Gain(_effect(difference), difference.improvement, difference.adjusted, worth)


def _reversed(difference: Difference) -> Gain:
    """Of a comparison whose first arm is the one without the part."""
    gain = _gain(difference)
    turned: Mapping[Worth | None, Worth] = {"needed": "harmful", "harmful": "needed"}
    e, p = gain.effect, gain.improvement
    return Gain(
        Estimate(-e.value, -e.high, -e.low, e.error, e.freedom),
        Estimate(1 - p.value, 1 - p.high, 1 - p.low, p.error, p.freedom),
        gain.adjusted,
        turned.get(gain.worth, gain.worth),
    )


def _apart(first: Estimate, second: Estimate, level: float) -> Estimate:
    """The difference of two independent estimates, with Welch and Satterthwaite's degrees of freedom."""
    value, error = first.value - second.value, math.hypot(first.error, second.error)
    if not error > 0:
        return Estimate(value, value, value, error)
    freedom = error**4 / (first.error**4 / first.freedom + second.error**4 / second.freedom)
    return around(value, error, freedom, level)


# What is said of it


def heading(found: Judged) -> list[str]:
    """What was compared, and what a reader must know."""
    among, again = found.among, found.again[""]
    arms = [among, *([found.alone] if found.alone else [])]
    seeds = {c.methods[0]: c.seeds(c.methods[0]) for c in arms} | {"every other arm": among.seeds(AGAIN)}
    unit = f"normalised by {among.reference}" if among.reference else "return"
    delta = "none declared" if among.rules.delta is None else f"{among.rules.delta:g}"
    lines = [
        f"{found.algorithm} on {', '.join(among.tasks)}; seeds, each arm its own: "
        + ", ".join(f"{arm} {count}" for arm, count in seeds.items()),
        f"score: {among.score_name}",
        f"intervals: {among.rules.level:.0%}, Welch's, for all parts at once (max-T); smallest difference that matters "
        f"δ: {delta}",
        f"noise floor, the full algorithm against itself on other seeds: {with_interval(again)} ({unit})",
    ]
    return [*lines, *(f"note: {note}" for note in dict.fromkeys(note for c in arms for note in c.notes))]


def tables(found: Judged, *, by_task: bool = True) -> Iterator[Table]:
    """Every part among the others and alone, over all tasks and, if wanted, on each; and what the parts are."""
    for task, parts in [*found.scopes.items()][: None if by_task else 1]:
        where = f" on {task}" if task else " on all tasks"
        yield Table(
            f"Left out{where}",
            ["part", "full − without", "P(full better)", "adjusted p", "verdict"],
            [[part.name, *_cells(part.among)] for part in parts],
        )
        if found.alone:
            yield Table(
                f"Alone{where}",
                ["part", "with it − base", "P(with better)", "adjusted p", "verdict", "left out − alone"],
                [
                    [part.name, *_cells(part.alone), with_interval(part.interaction)]
                    for part in parts
                    if part.alone and part.interaction
                ],
                "left out − alone: where its interval leaves out 0, the part's worth depends on the others",
            )
    off = [[name, ", ".join(f"{k} = {figure(v)}" for k, v in own.items())] for name, own in found.components.items()]
    yield Table("What the parts are off at", ["part", "off at"], off, "an arm differs from full in nothing else")


def _cells(gain: Gain) -> list[str]:
    shown = [with_interval(gain.effect), with_interval(gain.improvement), p_text(gain.adjusted)]
    return [*shown, gain.worth or "none"]


def markdown(found: Judged) -> str:
    """The whole report."""
    return reports.markdown(heading(found), [*tables(found)], f"What each part of {found.algorithm} is worth")


def as_json(found: Judged) -> dict[str, Any]:
    """Every figure, for programs."""
    scopes = {task or "all tasks": [_part_json(part) for part in parts] for task, parts in found.scopes.items()}
    return {
        "algorithm": found.algorithm,
        "tasks": found.among.tasks,
        "components": plain(found.components),
        "delta": found.among.rules.delta,
        "alpha": found.among.rules.alpha,
        "reference": found.among.reference,
        "noise_floor": {task or "all": _estimate_json(e) for task, e in found.again.items()},
        "parts": scopes,
        "notes": found.among.notes,
    }


def _part_json(part: Part) -> dict[str, Any]:
    gains = {"left_out": part.among, **({"alone": part.alone} if part.alone else {})}
    return {
        "part": part.name,
        **{
            name: {
                "effect": _estimate_json(gain.effect),
                "probability_of_improvement": _estimate_json(gain.improvement),
                "adjusted_p": plain(gain.adjusted),
                "verdict": gain.worth,
            }
            for name, gain in gains.items()
        },
        "interaction": None if part.interaction is None else _estimate_json(part.interaction),
    }


def _estimate_json(found: Estimate) -> dict[str, Any]:
    return {key: plain(getattr(found, key)) for key in ("value", "low", "high")}


def curves(found: Judged) -> dict[str, dict[str, dict[str, list[Training]]]]:
    """Task → part → full and without it, as trainings."""
    of = {
        (task, arm): [t for t in found.among.trainings if (t.task, t.method) == (task, arm)]
        for task in found.among.tasks
        for arm in found.among.methods
    }
    return {
        task: {part.name: {FULL: of[task, FULL], "without it": of[task, left_out(part.name)]} for part in found.parts}
        for task in found.among.tasks
    }
