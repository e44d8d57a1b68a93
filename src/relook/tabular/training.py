"""How tabular algorithms are trained by `relook train`: the loop that all of them share.

collect   ε-greedy action  →  step  →  learn from it at once, agent by agent
record    the mean |error| of what was learned, the tables as they are
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relook.envs import Environments, Spaces
from relook.errors import RelookError
from relook.formulas.schedules import linear
from relook.networks.tables import Tables
from relook.population import Agents, stream
from relook.population.hyperparameters import anneals, numeric, structural
from relook.runs.metrics import Metric
from relook.runs.unit import Unit
from relook.runs.work import Work
from relook.tabular.learner import ActionValues, Step

METRICS = {
    "td_error": Metric("mean |target - Q(s, a)| of what was learned from", "reward"),
    "value": Metric("mean V(s) of what was seen", "reward"),
    "epsilon": Metric("probability of any action, all alike", "probability"),
    "learning_rate": Metric("α", ""),
}


@dataclass(frozen=True)
class TableConfig:
    """What every tabular algorithm has."""

    learning_rate: float = numeric(0.1, "α, the share of the way that a value goes to its target; 0.01 to 1", above=0)
    discount: float = numeric(0.99, "discount γ; usually 0.9 to 1", low=0, high=1)
    epsilon: float = numeric(0.1, "ε, the probability of any action, all alike; usually 0.01 to 0.2", low=0, high=1)
    iteration: int = structural(1000, "environment steps of each agent between records", low=1, at_start=True)
    anneal_learning_rate: bool = structural(True, "let α fall linearly to 0: values that are drawn then settle")
    anneal_epsilon: bool = structural(False, "let ε fall linearly to 0")

    def check(self) -> None:
        """Nothing that fits by itself does not fit together."""

    @property
    def steps_each(self) -> int:
        """Environment steps per agent in one iteration."""
        return self.iteration


Learner = Callable[[Any, Any], ActionValues]
"""Makes one agent's learner from its table and its hyper-parameters."""


def build(spaces: Spaces, agents: Agents, config: Any, tables: Callable[..., Tables]) -> tuple[Tables]:
    """The tables, made by the function that was passed in."""
    return (tables(spaces, agents),)


def check_task(spaces: Spaces, time_limit: int | None) -> None:
    """Raise `WrongRequest` for anything but finitely many states and one choice among actions."""
    Tables(spaces, Agents([]))


class Memories:
    """What learners need beside their tables, for checkpoints: arrays of any length, one after another."""

    def __init__(self, learners: list[ActionValues]) -> None:
        self._learners = learners

    def state(self) -> dict[str, Tensor]:
        """All arrays of a name in one, and the shapes to part them again."""
        found: dict[str, Tensor] = {}
        for name in self._learners[0].memory():
            own = [learner.memory()[name] for learner in self._learners]
            found[name] = torch.from_numpy(np.concatenate([x.reshape(-1) for x in own]))
            found[f"{name}/shape"] = torch.tensor([x.shape for x in own])
        return found

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave. Raises `RelookError` for arrays that are missing or of other sizes."""
        parted: list[dict[str, Any]] = [{} for _ in self._learners]
        try:
            for name in self._learners[0].memory():
                shapes = [tuple(shape) for shape in state[f"{name}/shape"].tolist()]
                pieces = np.split(state[name].numpy(), np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1])
                for own, piece, shape in zip(parted, pieces, shapes, strict=True):
                    own[name] = piece.reshape(shape).copy()
        except (KeyError, ValueError) as error:
            raise RelookError(f"expected the memory of tabular learners in a checkpoint; found {error!r}") from error
        for learner, own in zip(self._learners, parted, strict=True):
            learner.remember(own)


def train(work: Work, make: Learner, actor_critic: Callable[..., Tables]) -> None:
    """Train one unit of work: its agents one beside another, each with a table of its own."""
    config: Any = work.config
    with Unit(work, METRICS) as run, closing(Environments(work.environment, run.agents, 1)) as envs:
        agents = run.agents
        (tables,) = build(envs.spaces, agents, config, actor_critic)
        settings = [SimpleNamespace(**{**asdict(config), **agent.hyperparameters}) for agent in agents]
        learners = [make(tables.action_value[a], h) for a, h in enumerate(settings)]
        run.check(lambda some: torch.tensor([agent.seed for agent in some]).unsqueeze(1))  # nothing is shared
        run.start(tables, envs, memories=Memories(learners))
        rows = np.arange(len(agents))

        for iteration in run.iterations(config.steps_each):
            for agent, h in zip(agents, settings, strict=True):
                left = linear(run.progress)
                vars(h).update({name: agent.hyperparameters[name] * left for name in anneals(config)})
            random = [stream(agent.seed, "explore", iteration) for agent in agents]
            alive = [a for a in range(len(agents)) if a not in agents.stopped]
            state = tables.state_of(envs.observation)[:, 0].tolist()
            chosen = [learner.act(s, rng) for learner, s, rng in zip(learners, state, random, strict=True)]
            error, value = np.zeros(len(agents)), []

            with run.stage("collect"):
                for _ in range(config.iteration):
                    value.append(tables.state_value[rows, state])
                    told = envs.step(torch.tensor(chosen).view(-1, 1, 1))
                    following = tables.state_of(told.next_observation)[:, 0].tolist()
                    ended = bool((told.terminated | told.truncated).any())
                    begun = tables.state_of(envs.observation)[:, 0].tolist() if ended else following
                    for a in alive:
                        learner, rng = learners[a], random[a]
                        terminated, truncated = bool(told.terminated[a, 0]), bool(told.truncated[a, 0])
                        next_action = learner.act(following[a], rng)
                        reward = float(told.reward[a, 0])
                        step = Step(state[a], chosen[a], reward, following[a], next_action, terminated, truncated)
                        error[a] += abs(learner.learn(step, rng))
                        goes_on = learner.on_policy and not (terminated or truncated)
                        chosen[a] = next_action if goes_on else learner.act(begun[a], rng)
                    state = begun

            for a, learner in enumerate(learners):
                tables.policy[a], tables.state_value[a] = learner.tables()
            seen = torch.from_numpy(np.stack(value, 1)).float()
            diagnostics = {"td_error": torch.from_numpy(error / config.iteration), "value": seen.mean(1)}
            for name in ("epsilon", "learning_rate"):
                diagnostics[name] = torch.tensor([getattr(h, name) for h in settings])
            run.record(diagnostics, envs.finished_episodes(), seen.unsqueeze(2))
