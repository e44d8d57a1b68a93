"""What a search for hyper-parameters is asked to do: from the command line, Python, a TOML file or its own record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from relook.algorithms import algorithm
from relook.envs import EnvironmentSpec
from relook.errors import RelookError, WrongRequest
from relook.experiments.grid import (
    ENVIRONMENT,
    SCHEMA,
    as_json,
    defaults_of,
    environment_of,
    environment_record,
    preset_applied,
    read_toml,
    values_of,
)
from relook.experiments.spaces import Choice, Range, beyond, settings, space_of
from relook.population.hyperparameters import check
from relook.runs.reading import GRID
from relook.runs.tidy import TUNING_SEEDS
from relook.statistics.tuning import KIND, record_of
from relook.training import Arm, Request, check_length


@dataclass(frozen=True)
class Search:
    """What is searched over, where it starts, and what it may cost."""

    algorithm: str
    environment: EnvironmentSpec
    space: Mapping[str, Range | Choice]
    steps: int
    """Environment steps of each agent, in trials and in the confirmation."""
    start: Mapping[str, Any] = field(default_factory=dict)
    """The first trial's hyper-parameters. Those that the space does not have hold for all trials."""
    preset: str | None = None
    """What the defaults are, if it is not the algorithm's own."""
    trials: int = 32
    at_once: int = 8
    """Trials that are drawn, and train, at the same time."""
    seeds: int = 3
    """Of each trial; the same ones for all."""
    first_seed: int = TUNING_SEEDS
    """The seeds count from here; what is drawn follows from it too."""
    random: float = 0.5
    """Share of each batch that is drawn at random; at least one."""
    prune: bool = True
    failed_score: float | None = None
    """What a seed scores that crashed or diverged; None: the worst evaluation of all trials."""
    finalists: int = 4
    """So many of the best trials are trained on further tuning seeds, and the best of them there is chosen; with 1 the
    best trial is chosen as it is."""
    final_seeds: int = 10
    """Of each finalist."""
    confirm_seeds: int = 10
    """Fresh seeds on which the best setting, the start and the default are trained in the end."""
    evaluate_episodes: int = 10
    checkpoint_every: int = 10_000

    def check(self) -> None:
        """Raise `WrongRequest` for a search that cannot be carried out, before any of it is."""
        if self.environment.function is not None:
            raise WrongRequest(
                f"expected an environment that other processes can import; found {self.environment.name}"
            )
        for name, least in (
            ("trials", 1),
            ("at_once", 1),
            ("seeds", 1),
            ("finalists", 1),
            ("final_seeds", 1),
            ("confirm_seeds", 2),
            ("evaluate_episodes", 1),
        ):
            if (number := getattr(self, name)) < least:
                raise WrongRequest(f"expected {name} of at least {least}; found {number}")
        if self.first_seed < TUNING_SEEDS:
            raise WrongRequest(
                f"expected tuning seeds of {TUNING_SEEDS:,} and up, apart from those that results are reported on; "
                f"found {self.first_seed}"
            )
        if not 0 < self.random <= 1:
            raise WrongRequest(f"expected a share of random trials above 0 and up to 1; found {self.random:g}")
        if self.failed_score is not None and not math.isfinite(self.failed_score):
            raise WrongRequest(f"expected a finite score of failed seeds; found {self.failed_score}")
        if settings(self.space) < self.trials:
            raise WrongRequest(
                f"expected a space of at least {self.trials} settings, one for each trial; found "
                f"{settings(self.space)}: train all of them with relook grid"
            )
        config = algorithm(self.algorithm).config
        for values in (self.starting, self.default):
            check(config, values)
            config(**values).check()
            check_length(self.steps, config(**values))

    @property
    def default(self) -> dict[str, Any]:
        """All hyper-parameters of the algorithm, or of the preset, as they are."""
        return defaults_of(self.algorithm, self.preset)

    @property
    def starting(self) -> dict[str, Any]:
        """All hyper-parameters of the first trial."""
        return {**self.default, **self.start}

    def fits(self, values: Mapping[str, Any]) -> bool:
        """Whether values of the space go together with each other and with what holds for all trials."""
        config = algorithm(self.algorithm).config(**{**self.starting, **values})
        try:
            config.check()
            check_length(self.steps, config)
        except WrongRequest:
            return False
        return True

    def request(self, arms: Sequence[Arm], study: Mapping[str, Any], *, pause: int | None = None) -> Request:
        """A run of some settings. An arm changes the default."""
        _, spec = preset_applied(self.algorithm, self.preset, {}, self.environment)
        return Request(
            self.algorithm,
            spec,
            (),
            self.steps,
            {name: [value] for name, value in self.default.items()},
            self.evaluate_episodes,
            preset=self.preset,
            checkpoint_every=self.checkpoint_every,
            arms=arms,
            pause=pause,
            study=study,
        )

    def record(self) -> dict[str, Any]:
        """What is asked for, as JSON holds it."""
        space = {
            name: dimension.record() | {"beyond": beyond(self.algorithm, name, dimension)}
            for name, dimension in self.space.items()
        }
        asked = {f.name: getattr(self, f.name) for f in fields(self)}
        asked |= {"environment": environment_record(self.environment), "space": space, "start": dict(self.start)}
        return as_json({"schema": SCHEMA, "kind": KIND, **asked})


def reopened(out: Path, env: str | None = None) -> Search:
    """The search that a directory was made for. Raises `RelookError` if its record is damaged.

    A name of an environment that imports code is only taken from it if the user repeats it, as `env`.
    """
    found = record_of(out)
    try:
        if found["schema"] != SCHEMA:
            raise ValueError(f"schema {found['schema']!r}")
        name, environment = str(found["algorithm"]), {key: found["environment"][key] for key in ENVIRONMENT}
        if ":" in environment["name"] and environment["name"] != env:
            raise WrongRequest(
                f"this search's environment imports code, {environment['name']}, and relook imports nothing because a "
                f"file says so; repeat it: --env {environment['name']}"
            )
        space = {k: {part: v for part, v in said.items() if part != "beyond"} for k, said in found["space"].items()}
        declared = found["failed_score"]
        counts: dict[str, Any] = {key: int(found[key]) for key in COUNTS}
        return Search(
            name,
            EnvironmentSpec(**environment),
            space_of(name, space),
            start=values_of(name, found["start"]),
            preset=found["preset"],
            random=float(found["random"]),
            prune=bool(found["prune"]),
            failed_score=None if declared is None else float(declared),
            **counts,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RelookError(f"expected a search in {out / GRID}; found it damaged: {error!r}") from error


COUNTS = (
    "steps",
    "trials",
    "at_once",
    "seeds",
    "first_seed",
    "finalists",
    "final_seeds",
    "confirm_seeds",
    "evaluate_episodes",
    "checkpoint_every",
)
KEYS = ("algorithm", "environment", "preset", *COUNTS, "random", "prune", "failed_score")


def from_toml(path: Path) -> Search:
    """The search that a TOML file asks for; docs/tuning.md describes it. Raises `WrongRequest` for anything else."""
    found = read_toml(path, "a search")
    if unknown := [key for key in found if key not in (*KEYS, "space", "start")]:
        raise WrongRequest(
            f"expected the keys {', '.join(KEYS)} and the tables space and start in {path}; found {unknown[0]!r}"
        )
    name, environment, space, start = (found.get(key) for key in ("algorithm", "environment", "space", "start"))
    if not isinstance(name, str) or not isinstance(space, dict) or not isinstance(start or {}, dict):
        raise WrongRequest(f'expected algorithm = "NAME" and a table [space] in {path}; found {name!r} and {space!r}')
    try:
        own: dict[str, Any] = {key: int(found[key]) for key in COUNTS if key in found}
        own |= {key: found[key] for key in ("preset", "random", "prune", "failed_score") if key in found}
        spec = environment_of(environment or {})
    except (TypeError, ValueError) as error:
        raise WrongRequest(
            f"expected the name of an environment or a table of it, and whole numbers, in {path}; {error}"
        ) from error
    return Search(name, spec, space_of(name, space), start=values_of(name, start or {}), **{"steps": 100_000, **own})
