"""A search for hyper-parameters: trials on tuning seeds, several in one population, and a confirmation on fresh seeds.

Optuna draws the settings: some at random, the others with its tree-structured Parzen estimator (TPE). Each batch of
trials is a run, whose record has the settings before it trains; so nothing is kept but plain files, and a search goes
on after any interruption as if there had been none. The pitfalls that it keeps from are those of Eimer et al. 2023
(arXiv:2306.01324) and Patterson et al. 2024 (JMLR 25:318).
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from relook import training
from relook.envs import EnvironmentSpec
from relook.errors import WrongRequest
from relook.experiments.engine import Embedded, Engine
from relook.experiments.grid import check_ended, claim, left, place_of, values_of
from relook.experiments.search import Search
from relook.experiments.spaces import space_of
from relook.population import stream
from relook.runs.files import plain
from relook.runs.reading import GRID, Run
from relook.runs.tidy import TUNING_SEEDS
from relook.runs.unit import EVALUATIONS
from relook.statistics.aggregates import Array
from relook.statistics.tuning import (
    DEFAULT,
    FINAL,
    RANDOM,
    START,
    TPE,
    TUNED,
    Trial,
    Tuned,
    batches,
    confirmations,
    final,
    judge,
    ranked,
    record_of,
    trials,
    worst_score,
)
from relook.training import Arm, prepare
from relook.workers import available_cores

PAUSE = 4 / EVALUATIONS
"""Share of the training after which a trial may be pruned: at the first evaluation past a third of it."""
FEWEST = 4
"""Trials that have been trained to the end before any is pruned."""
QUARTER = 0.25
TRIES = 100
"""Settings that are drawn in place of one that does not fit together, or that there has been already."""


# Drawing


def draw(search: Search, number: int, tried: Sequence[Trial]) -> dict[str, tuple[str, dict[str, Any]]]:
    """The trials of a batch: sampler and values of each, by its name.

    They follow from the search's first seed, the number of the batch and the trials before it. The first batch is drawn
    at random, and begins with the start.
    """
    optuna = _optuna()
    count = min(search.at_once, search.trials - number * search.at_once)
    randoms = count if number == 0 else max(1, round(search.random * count))
    drawn: list[tuple[str, dict[str, Any]]] = []
    seen = [dict(trial.values) for trial in tried]
    if number == 0:
        drawn.append((START, {name: search.starting[name] for name in search.space}))
    with _quiet(optuna):
        study = optuna.create_study(direction="maximize")
        _tell(study, search, tried)
        samplers = {
            RANDOM: optuna.samplers.RandomSampler(seed=_seed(search, RANDOM, number)),
            TPE: optuna.samplers.TPESampler(n_startup_trials=1, seed=_seed(search, TPE, number)),
        }
        for place in range(len(drawn), count):
            sampler = RANDOM if place < randoms else TPE
            study.sampler = samplers[sampler]
            drawn.append((sampler, _ask(study, search, [*seen, *(values for _, values in drawn)])))
    return {f"trial {number * search.at_once + place}": own for place, own in enumerate(drawn)}


def _optuna() -> ModuleType:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise WrongRequest(
            "relook tune needs a package that is not installed, Optuna: pip install '.[tune]' in relook's folder"
        ) from error
    return optuna


@contextmanager
def _quiet(optuna: ModuleType) -> Iterator[None]:
    """Without what Optuna has to say about studies that nobody sees."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _seed(search: Search, sampler: str, number: int) -> int:
    return int(stream(search.first_seed, f"search/{sampler}", number).integers(2**32))


def _tell(study: Any, search: Search, tried: Sequence[Trial]) -> None:
    """Tell Optuna what became of the trials; of those that were pruned, how far they had come."""
    from optuna.trial import TrialState, create_trial

    if not tried:
        return
    distributions = {name: dimension.distribution() for name, dimension in search.space.items()}
    worst = worst_score(tried, search.failed_score)
    for trial in tried:
        values = _values(search, trial)
        if not all(values[name] in dimension for name, dimension in search.space.items()):
            continue  # a start outside the space
        params = {name: search.space[name].told(value) for name, value in values.items()}
        score = trial.score(worst)
        how = {"state": TrialState.PRUNED, "intermediate_values": {1: score}} if trial.pruned else {"value": score}
        study.add_trial(create_trial(params=params, distributions=distributions, **how))


def _ask(study: Any, search: Search, seen: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Values that fit together, and that are new unless these are hard to find."""
    from optuna.trial import TrialState

    distributions = {name: dimension.distribution() for name, dimension in search.space.items()}
    found = None
    for _ in range(TRIES):
        trial = study.ask(distributions)
        values = {name: search.space[name].drawn(trial.params[name]) for name in search.space}
        if search.fits(values):
            found = values
            if plain(values) not in [plain(other) for other in seen]:
                return values
        study.tell(trial, state=TrialState.FAIL)
    if found is None:
        raise WrongRequest(
            f"expected a space whose values go together; of {TRIES} settings that were drawn none did, such as "
            f"{', '.join(f'{name}={value}' for name, value in values.items())}: choose it otherwise"
        )
    return found


# Pruning


def clearly_behind(batch: Sequence[Array], earlier: Sequence[Array]) -> list[bool]:
    """Which trials that pause, by their evaluations so far, are not worth going on with.

    Those that are in the lower half of their batch, and below the lower quartile of what earlier trials, that were
    trained to the end, had when they were as far, and not rising: who starts slowly is spared. As long as few have been
    trained to the end, nobody is behind.
    """
    if len(earlier) < FEWEST or not batch:
        return [False] * len(batch)
    then = np.quantile([curve[math.ceil(PAUSE * (len(curve) - 1))] for curve in earlier], QUARTER)
    half = np.median([curve[-1] for curve in batch])
    return [bool(curve[-1] < min(half, then)) and not rising(curve) for curve in batch]


def rising(curve: Array) -> bool:
    """Whether the later half of the evaluations has a mean above every one of the earlier half.

    The one before the first step, of a policy that has learned nothing, does not count if there are enough others.
    """
    since = curve[1:] if len(curve) > 2 else curve
    middle = len(since) // 2
    return bool(middle and since[middle:].mean() > since[:middle].max())


def _pruned(search: Search, run: Run, tried: Sequence[Trial]) -> Run:
    """The run of a batch, going on without the trials that are clearly behind."""
    worst = worst_score(tried, search.failed_score)
    waiting = [trial for trial in tried if trial.waits]
    earlier = [trial.curve(worst) for trial in tried if not trial.pruned and not _of(run, trial)]
    behind = clearly_behind([trial.curve(worst) for trial in waiting], earlier)
    gone = [trial for trial, is_behind in zip(waiting, behind, strict=True) if is_behind]
    return training.prune(run, {agent for trial in gone for agent in _of(run, trial)})


def _of(run: Run, trial: Trial) -> list[int]:
    """The agents of a trial in a run."""
    return [agent.agent for agent in run.agents if agent.arm == f"trial {trial.number}"]


# Carrying out

Watching = Callable[[Run], AbstractContextManager[Callable[[], None]]]
"""What shows how a run trains: it is entered while units are carried out, and called a few times a second."""


def first_batch(search: Search, out: Path, engine: Engine) -> tuple[Run, EnvironmentSpec]:
    """A directory for the search, with its first trials, which have not begun to train. What is there stays.

    Raises `WrongRequest` if the directory is another search's; how many seeds confirm it may differ.
    """
    search.check()
    there = record_of(out) if (out / GRID).is_file() else {}
    claim(out, search.record() | {key: there[key] for key in ("confirm_seeds",) if key in there})
    return _batch(search, out, 0, engine), search.request([], {}).environment


def _tried(search: Search, out: Path) -> list[Trial]:
    return trials(batches(out), [*search.space])


def _batch(search: Search, out: Path, number: int, engine: Engine) -> Run:
    """The run of a batch of trials: the one that is there, or a new one, drawn from what came before."""
    path = out / f"trials-{number:03d}"
    if not (path / "run.json").is_file():
        shutil.rmtree(path, ignore_errors=True)  # begun, and killed before it was a run
        drawn = draw(search, number, _tried(search, out))
        seeds = range(search.first_seed, search.first_seed + search.seeds)
        arms = [Arm(name, {**search.start, **values}, seeds) for name, (_, values) in drawn.items()]
        study = {
            "samplers": {name: sampler for name, (sampler, _) in drawn.items()},
            "optuna": metadata.version("optuna"),
        }
        pause = math.ceil(PAUSE * search.steps) if search.prune and number else None
        prepare(replace(search.request(arms, study, pause=pause), out=path), engine.workers, here=engine.here)
    return Run(path)


def _train(run: Run, spec: EnvironmentSpec, out: Path, engine: Engine, watching: Watching) -> Run:
    """Carry out what is left of a run. Units that fail are failed trials, unless all of them do."""
    tasks = left([(run, spec)])
    if tasks:
        with watching(run) as watch:
            engine.carry_out(tasks, watch)
    ended = [run.has_ended(unit) for unit in run.units]
    failed = ["failed" in run.unit_events(unit) for unit in run.units]
    if not any(ended) or not all(e or f for e, f in zip(ended, failed, strict=True)):
        check_ended([run], out)
    return Run(run.path)


def carry_out(
    search: Search,
    out: Path,
    engine: Engine,
    watching: Watching = lambda _: nullcontext(lambda: None),
    told: Callable[[Sequence[Trial], float], None] = lambda *_: None,
    confirm_seeds: int | None = None,
) -> Tuned:
    """Search in a directory, going on where it stood, and confirm what was found; returns what came of it.

    `told` is given all trials so far, and what failed seeds score, after each batch. Another number of `confirm_seeds`
    than the newest confirmation has, or than the search was to have, confirms once more.
    """
    _, spec = first_batch(search, out, engine)
    if search.confirm_seeds != record_of(out)["confirm_seeds"]:
        confirm_seeds = search.confirm_seeds
    begun = len(batches(out)) if confirmations(out) else len(batches(out)) - 1
    for number in range(begun, math.ceil(search.trials / search.at_once)):
        run = _train(_batch(search, out, number, engine), spec, out, engine, watching)
        if "pause" in run.record:
            run = _train(_pruned(search, run, _tried(search, out)), spec, out, engine, watching)
        tried = _tried(search, out)
        told(tried, worst_score(tried, search.failed_score))
    if not confirmations(out) and (last := _final(search, out, engine)) is not None:
        _train(last, spec, out, engine, watching)
    for run in confirmations(out):
        check_ended([_train(run, spec, out, engine, watching)], out)
    if (new := _confirmation(search, out, confirm_seeds, engine)) is not None:
        check_ended([_train(new, spec, out, engine, watching)], out)
    return judge(out)


def _final(search: Search, out: Path, engine: Engine) -> Run | None:
    """The best trials on seeds that did not choose them, so that luck on a few seeds is not all that counts.

    None for a search that chooses its best trial as it is.
    """
    if min(search.finalists, search.trials) == 1:
        return None
    if (there := final(out)) is not None:
        return there
    tried = _tried(search, out)
    best = ranked(tried, worst_score(tried, search.failed_score))[: search.finalists]
    first = search.first_seed + search.seeds
    seeds = range(first, first + search.final_seeds)
    arms = [Arm(f"trial {trial.number}", {**search.start, **_values(search, trial)}, seeds) for trial in best]
    study = {"samplers": {f"trial {trial.number}": trial.sampler for trial in best}}
    shutil.rmtree(out / FINAL, ignore_errors=True)  # begun, and killed before it was a run
    return prepare(replace(search.request(arms, study), out=out / FINAL), engine.workers, here=engine.here)


def _values(search: Search, trial: Trial) -> dict[str, Any]:
    """What a trial's record holds, in the types of the hyper-parameters."""
    return values_of(search.algorithm, dict(trial.values))


def _confirmation(search: Search, out: Path, seeds: int | None, engine: Engine) -> Run | None:
    """A new run on seeds that no confirmation had: of the best trial, of the start, and of the default.

    None if there is one already with so many seeds.
    """
    there = confirmations(out)
    wanted = search.confirm_seeds if seeds is None else seeds
    if there and (seeds is None or len({agent.seed for agent in there[-1].agents}) == seeds):
        return None
    first = 1 + max((agent.seed for run in there for agent in run.agents), default=-1)
    if wanted < 2 or first + wanted > TUNING_SEEDS:
        raise WrongRequest(
            f"expected from 2 to {TUNING_SEEDS - first:,} seeds for a confirmation, as those from {TUNING_SEEDS:,} on "
            f"are for tuning; found {wanted}"
        )
    tried, last = _tried(search, out), final(out)
    finalists = trials([] if last is None else [last], [*search.space])
    best = ranked(finalists or tried, worst_score([*tried, *finalists], search.failed_score))[0]
    arms = {TUNED: {**search.starting, **_values(search, best)}}
    for name, setting in ((DEFAULT, search.default), (START, search.starting)):
        if setting not in arms.values():
            arms[name] = setting
    digest = sha256(json.dumps(record_of(out), sort_keys=True).encode()).hexdigest()[:12]
    study = {"search": digest, "trials": {TUNED: len(tried)}, "tuned": f"trial {best.number}"}
    own = [Arm(name, setting, range(first, first + wanted)) for name, setting in arms.items()]
    path = out / ("confirmed" if not there else f"confirmed-{len(there) + 1}")
    shutil.rmtree(path, ignore_errors=True)  # begun, and killed before it was a run
    return prepare(replace(search.request(own, study), out=path), engine.workers, here=engine.here)


def tune(
    name: str,
    environment: str | EnvironmentSpec,
    *,
    space: Mapping[str, Any],
    steps: int = 100_000,
    trials: int = 32,
    at_once: int = 8,
    seeds: int = 3,
    first_seed: int = TUNING_SEEDS,
    random: float = 0.5,
    prune: bool = True,
    failed_score: float | None = None,
    finalists: int = 4,
    final_seeds: int = 10,
    confirm_seeds: int = 10,
    preset: str | None = None,
    evaluate_episodes: int = 10,
    checkpoint_every: int = 10_000,
    out: str | Path | None = None,
    engine: Engine | None = None,
    **hyperparameters: Any,
) -> Tuned:
    """Search for hyper-parameters, as `relook tune` does, and return what came of it.

    `space` gives each one that is searched over a range, `relook.experiments.spaces.Range(1e-5, 1e-2, log=True)` or
    "1e-5:1e-2:log", or a list of values. `hyperparameters` are where the search starts; those that the space does not
    have hold for all trials. The same call goes on with what was interrupted.
    """
    search = Search(
        name,
        EnvironmentSpec(environment) if isinstance(environment, str) else environment,
        space_of(name, space),
        steps,
        values_of(name, hyperparameters),
        preset,
        trials,
        at_once,
        seeds,
        first_seed,
        random,
        prune,
        failed_score,
        finalists,
        final_seeds,
        confirm_seeds,
        evaluate_episodes,
        checkpoint_every,
    )
    directory = place_of(search, None if out is None else Path(out))
    return carry_out(search, directory, engine or Embedded(available_cores()))
