"""An ablation: what each part of an algorithm is worth, alone among the others and as the only one.

Patterson et al. 2024, "Empirical Design in Reinforcement Learning", on why the arms need fresh seeds, a noise floor and
intervals that hold for all of them at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relook.algorithms import algorithm
from relook.envs import EnvironmentSpec
from relook.errors import RelookError, WrongRequest
from relook.experiments.engine import Engine
from relook.experiments.grid import (
    ENVIRONMENT,
    SCHEMA,
    as_json,
    carry_out,
    defaults_of,
    environment_record,
    place,
    place_of,
    preset_applied,
    values_of,
)
from relook.population.hyperparameters import check
from relook.runs.files import read_json
from relook.runs.reading import GRID
from relook.runs.tidy import TUNING_SEEDS
from relook.statistics.ablation import AGAIN, BASE, FULL, Judged, added, judge, left_out
from relook.training import Arm, Request


@dataclass(frozen=True)
class Ablation:
    """One algorithm with all of its parts, without each of them, without any, and with each alone.

    Every arm has seeds of its own. The arms that all others are compared with, `full` and `base`, have √k times as many
    for k parts: their luck would be in every comparison. A second `full` says how far apart equal arms come to lie.
    """

    algorithm: str
    environments: Sequence[EnvironmentSpec]
    components: Mapping[str, Mapping[str, Any]]
    """Part → the hyper-parameters that it is off at."""
    seeds: int
    """Of each arm."""
    steps: int
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    """Of the full algorithm, where they are not the defaults."""
    preset: str | None = None
    first_seed: int = 0
    evaluate_episodes: int = 10
    checkpoint_every: int = 10_000

    def arms(self) -> list[Arm]:
        """Every arm with what it changes in the full algorithm. Raises `WrongRequest` for parts that cannot be."""
        self._check()
        off = {key: value for changed in self.components.values() for key, value in changed.items()}
        changes: dict[str, dict[str, Any]] = {FULL: {}, AGAIN: {}}
        changes |= {left_out(name): dict(changed) for name, changed in self.components.items()}
        if len(self.components) > 1:
            changes[BASE] = off
            for name, changed in self.components.items():
                changes[added(name)] = {key: value for key, value in off.items() if key not in changed}
        arms, first = [], self.first_seed
        for name, changed in changes.items():
            count = math.ceil(self.seeds * math.sqrt(len(self.components))) if name in (FULL, BASE) else self.seeds
            arms.append(Arm(name, changed, range(first, first + count)))
            first += count
        if first > TUNING_SEEDS:
            raise WrongRequest(
                f"expected seeds below {TUNING_SEEDS:,}, which are for tuning; found some up to {first - 1:,}: ask for "
                f"fewer seeds, or begin with a smaller one"
            )
        return arms

    def _check(self) -> None:
        known = algorithm(self.algorithm)
        if not self.components:
            raise WrongRequest(f"expected at least one part of {self.algorithm} that can be left out; found none")
        if self.seeds < 2:
            raise WrongRequest(f"expected at least two seeds of each arm; found {self.seeds}")
        full = defaults_of(self.algorithm, self.preset) | dict(self.hyperparameters)
        check(known.config, full)
        owner: dict[str, str] = {}
        for name, changed in self.components.items():
            if not changed:
                raise WrongRequest(f"expected hyper-parameters that {name!r} is off at; found none")
            check(known.config, dict(changed))
            for key, value in changed.items():
                if key in owner:
                    raise WrongRequest(
                        f"expected parts that have nothing in common; found {key} in {owner[key]!r} and {name!r}"
                    )
                if full[key] == value:
                    raise WrongRequest(f"expected the full algorithm to have {name!r}; found it off: {key} = {value}")
                owner[key] = name

    def requests(self) -> dict[str, Request]:
        """A run for each environment."""
        arms, found = self.arms(), dict[str, Request]()
        for environment in self.environments:
            asked = {key: [value] for key, value in self.hyperparameters.items()}
            values, spec = preset_applied(self.algorithm, self.preset, asked, environment)
            found[place(self.algorithm, spec, found)] = Request(
                self.algorithm,
                spec,
                (),
                self.steps,
                values,
                self.evaluate_episodes,
                preset=self.preset,
                checkpoint_every=self.checkpoint_every,
                arms=arms,
            )
        if not found:
            raise WrongRequest("expected at least one environment; found none")
        return found

    def record(self) -> dict[str, Any]:
        """What is asked for, as JSON holds it."""
        asked = {
            "schema": SCHEMA,
            "kind": "ablation",
            "algorithm": self.algorithm,
            "preset": self.preset,
            "environments": [environment_record(spec) for spec in self.environments],
            "components": {name: dict(changed) for name, changed in self.components.items()},
            "hyperparameters": dict(self.hyperparameters),
            "seeds": self.seeds,
            "first_seed": self.first_seed,
            "steps": self.steps,
            "evaluate_episodes": self.evaluate_episodes,
            "checkpoint_every": self.checkpoint_every,
        }
        return as_json(asked)


def reopened(out: Path) -> Ablation:
    """The ablation that a directory was made for. Raises `RelookError` if its record is damaged."""
    found = read_json(out / GRID)
    try:
        if (found["schema"], found["kind"]) != (SCHEMA, "ablation"):
            raise ValueError(f"a {found['kind']} of schema {found['schema']!r}")
        name = str(found["algorithm"])
        return Ablation(
            name,
            [EnvironmentSpec(**{key: entry[key] for key in ENVIRONMENT}) for entry in found["environments"]],
            {str(part): values_of(name, changed) for part, changed in found["components"].items()},
            int(found["seeds"]),
            int(found["steps"]),
            values_of(name, found["hyperparameters"]),
            found["preset"],
            int(found["first_seed"]),
            int(found["evaluate_episodes"]),
            int(found["checkpoint_every"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RelookError(f"expected an ablation in {out / GRID}; found it damaged: {error!r}") from error


def ablate(
    name: str,
    environments: Sequence[str | EnvironmentSpec],
    *,
    steps: int = 100_000,
    seeds: int = 10,
    components: Mapping[str, Mapping[str, Any]] | None = None,
    delta: float | None = None,
    preset: str | None = None,
    first_seed: int = 0,
    evaluate_episodes: int = 10,
    checkpoint_every: int = 10_000,
    out: str | Path | None = None,
    engine: Engine | None = None,
    **hyperparameters: Any,
) -> Judged:
    """Train an ablation, as `relook ablate` does, and return what each part is worth.

    `components` are parts with the hyper-parameters that they are off at; those that the algorithm declares if None.
    The same call goes on with what was interrupted.
    """
    asked = Ablation(
        name,
        [EnvironmentSpec(env) if isinstance(env, str) else env for env in environments],
        algorithm(name).components if components is None else components,
        seeds,
        steps,
        hyperparameters,
        preset,
        first_seed,
        evaluate_episodes,
        checkpoint_every,
    )
    directory = place_of(asked, None if out is None else Path(out))
    carry_out(asked, directory, engine)
    return judge(directory, delta)
