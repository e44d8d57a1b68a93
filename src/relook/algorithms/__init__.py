"""The registry: every algorithm that `relook train` knows. To add one, add its file and its line here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from relook.errors import WrongRequest

if TYPE_CHECKING:
    from relook.envs import Spaces
    from relook.population.hyperparameters import Preset


@dataclass(frozen=True)
class Algorithm:
    """An algorithm as its file defines it."""

    name: str
    title: str
    """One line for `relook algorithms`."""
    room: str = "relook.algorithms"
    """Where its file lies."""

    @property
    def _module(self) -> Any:
        return import_module(f"{self.room}.{self.name}")

    @property
    def config(self) -> type[Any]:
        """The file's `Config`."""
        return self._module.Config  # type: ignore[no-any-return]

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The file's `METRICS`."""
        return self._module.METRICS  # type: ignore[no-any-return]

    @property
    def components(self) -> Mapping[str, Mapping[str, Any]]:
        """The file's `COMPONENTS`: parts that it can do without, if it says so."""
        components: Mapping[str, Mapping[str, Any]] = getattr(self._module, "COMPONENTS", {})
        return components

    @property
    def presets(self) -> Mapping[str, Preset]:
        """Ours for MuJoCo and other implementations' settings of it, by name."""
        from relook.algorithms.presets import PRESETS

        return PRESETS.get(self.name, {})

    def preset(self, name: str) -> Preset:
        """One of them. Raises `WrongRequest` for unknown names."""
        if name not in self.presets:
            raise WrongRequest(f"expected a preset of {self.name} among {', '.join(self.presets)}; found {name!r}")
        return self.presets[name]

    @property
    def networks(self) -> type[Any]:
        """The class of the networks that it learns."""
        return inspect.signature(self.train).parameters["actor_critic"].default  # type: ignore[no-any-return]

    @property
    def build(self) -> Callable[..., Any]:
        """The file's `build(spaces, agents, config, actor_critic)`, which makes networks and optimiser."""
        return self._module.build  # type: ignore[no-any-return]

    def check_task(self, spaces: Spaces, time_limit: int | None) -> None:
        """Raise `WrongRequest` for a task that it cannot learn: the file's `check_task`, if it has one."""
        getattr(self._module, "check_task", lambda *_: None)(spaces, time_limit)

    @property
    def train(self) -> Callable[..., None]:
        """The file's algorithm function, which has the file's name and trains one unit of work."""
        return getattr(self._module, self.name)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Tabular(Algorithm):
    """One on tables: its file says what is learned from a step; the rest all of them share."""

    room: str = "relook.tabular"

    @property
    def _shared(self) -> Any:
        return import_module(f"{self.room}.training")

    @property
    def metrics(self) -> Mapping[str, Any]:
        """What all of them log."""
        return self._shared.METRICS  # type: ignore[no-any-return]  # a module that is imported by its name

    @property
    def build(self) -> Callable[..., Any]:
        """Makes the tables."""
        return self._shared.build  # type: ignore[no-any-return]  # as above

    def check_task(self, spaces: Spaces, time_limit: int | None) -> None:
        """Raise `WrongRequest` for anything but finitely many states and one choice among actions."""
        self._shared.check_task(spaces, time_limit)


ALGORITHMS = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("reinforce", "REINFORCE, the smallest policy gradient: whole episodes, any action space"),
        Algorithm("vpg", "Vanilla policy gradient, with a value function: on-policy, any action space"),
        Algorithm("a2c", "Advantage actor-critic (synchronous, n-step): on-policy, any action space"),
        Algorithm("trpo", "Trust region policy optimisation, or natural policy gradient: on-policy, any action space"),
        Algorithm("ppo", "Proximal Policy Optimisation (clipped): on-policy, any action space"),
        Algorithm("dqn", "Deep Q-learning, double, dueling and n-step on request: off-policy, one discrete choice"),
        Algorithm("ddpg", "Deep deterministic policy gradient: off-policy, continuous actions with bounds"),
        Algorithm("td3", "Twin delayed DDPG: off-policy, continuous actions with bounds"),
        Algorithm("sac", "Soft actor-critic: off-policy, continuous actions with bounds"),
    )
}
"""Files are imported when they are first used, so that asking what there is needs no torch."""


TABULAR = {
    algorithm.name: algorithm
    for algorithm in (
        Tabular("monte_carlo", "Monte Carlo control: whole episodes"),
        Tabular("sarsa", "SARSA: the next action is the one that is done"),
        Tabular("expected_sarsa", "Expected SARSA: the mean over next actions"),
        Tabular("n_step_sarsa", "n-step SARSA: between SARSA and Monte Carlo"),
        Tabular("sarsa_lambda", "SARSA(λ): errors go back along a trace"),
        Tabular("q_learning", "Q-learning: the best next action, whatever is done"),
        Tabular("double_q_learning", "Double Q-learning: two tables, one judges the other's choice"),
        Tabular("dyna_q", "Dyna-Q: Q-learning, and again from remembered steps"),
        Tabular("prioritised_sweeping", "Prioritised sweeping: the largest errors first"),
        Tabular("tabular_reinforce", "REINFORCE with a baseline, a softmax in each state"),
    )
}
"""Classical algorithms on tables, for environments of finitely many states and one discrete choice."""


def algorithm(name: str) -> Algorithm:
    """Look an algorithm up, deep or tabular. Raises `WrongRequest` for unknown names."""
    found = ALGORITHMS.get(name) or TABULAR.get(name)
    if found is None:
        raise WrongRequest(f"expected an algorithm among {', '.join((*ALGORITHMS, *TABULAR))}; found {name!r}")
    return found
