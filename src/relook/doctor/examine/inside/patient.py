"""An algorithm of ours that trains for a moment in wards, with checks that look at every call of its parts.

A check is a file with a `CHECK` and a function `attach(patient)`, which says what it wants to look at:
`patient.around(owner, name, hook)` has `hook(call, *args, **kwargs)` called in place of a function, for as long as the
patient trains. The hook calls `call`, looks, and returns what came. A check compares each part with what its own inputs
ask for, so that a fault is found where it is, and not in all that follows from it.
"""

import functools
import importlib
import os
import tempfile
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relook.algorithms import algorithm
from relook.buffers import Estimates
from relook.doctor.examine.inside.settings import SHARE, Setting
from relook.doctor.examine.inside.ward import Fault, Ledger, ward
from relook.doctor.findings import Check, Finding
from relook.envs import Environments, Transition
from relook.population import Agent, Agents, Optimiser, Parameters
from relook.population.hyperparameters import names
from relook.runs.evaluation import Evaluation
from relook.runs.unit import Unit
from relook.runs.work import Work

Hook = Callable[..., Any]

KINDS = 3
"""Numbers of a mixed observation that say its kind, and are not normalised."""

TOLERANCE = 2e-4
"""Relative to the largest number compared: what float32 loses in an update is ten times less, faults are larger."""


class Moment(NamedTuple):
    """A step of all environments that an algorithm learns in."""

    iteration: int
    action: Tensor
    told: Transition


class Move(NamedTuple):
    """A step of an optimiser."""

    optimiser: Any
    rates: Mapping[str, Tensor]
    asked: Mapping[str, Any]
    """`active`, and `max_norm` and `clip_together` where they are given."""
    before: Tensor
    gradient: Tensor
    """As the step found it."""
    after: Tensor


class Patient:
    """One algorithm with one setting, examined while it trains."""

    def __init__(self, name: str, asked: Setting, seeds: Sequence[int] = (11, 12), position: int = 0) -> None:
        """An agent for each seed. Of numeric hyper-parameters each has `SHARE` times what the one before it has.

        `position`: how many agents come before these, for one alone that is second among others.
        """
        known = algorithm(name)
        self.name, self.known, self.asked, self.continuous = name, known, asked, asked.continuous
        self.module = importlib.import_module(f"relook.algorithms.{name}")
        self.config = known.config(**asked.values)
        numeric = {key: value for key, value in asdict(self.config).items() if key in names(known.config, "numeric")}
        own = [{key: value * SHARE ** (position + a) for key, value in numeric.items()} for a in range(len(seeds))]
        self.agents = Agents([Agent(a, seed, own[a]) for a, seed in enumerate(seeds)])
        self.iterations, self.evaluate_episodes = asked.iterations, asked.evaluate_episodes
        self.steps = asked.iterations * self.config.steps_each + asked.more_steps
        """Steps that are asked for: whole iterations, and perhaps some that are too few for one more."""
        self.ledger = Ledger()
        self._make_networks = asked.networks or known.networks
        self.ac: Any = None
        """The networks, once they are built."""
        self.envs: Any = None
        """The environments that it learns in."""
        self.replay: Any = None
        """Its experience, if it keeps any."""
        self.kept: Mapping[str, Any] = {}
        """What it keeps in its checkpoints beside the networks: optimisers, targets, scalers, a replay."""
        self.first: Mapping[str, Tensor] = {}
        """What the networks start with, by name."""
        self.theta: Tensor = torch.zeros(0)
        """θ as this iteration found it."""
        self.history: list[Moment] = []
        """What the environments were given and said, step by step."""
        self.moves: list[Move] = []
        """The optimisers' steps of this iteration."""
        self.beyond: list[Tensor] = []
        """What lies beyond the ends of each agent's episodes, for who looks at returns."""
        self.rollout_seen: Tensor = torch.zeros(0)
        """The observations [A, T · N, D] of a rollout that returns are computed of."""
        self.value_targets: list[dict[bytes, float]] = [{} for _ in seeds]
        """The value target of each observation of this iteration's rollout, for each agent."""
        self.losses: dict[str, list[list[float]]] = defaultdict(list)
        """Losses of this iteration as checks computed them: of each step, for each agent."""
        self.directory = Path()
        self.learns = False
        """Whether training has begun: what the start-up self-check calls before is not looked at."""
        self.drawn: list[tuple[str, int]] = []
        """Purpose and block of all numbers that its agents have drawn, from the first evaluation on."""
        self.evaluates = False
        """Whether what acts at this moment is an evaluation."""
        self.iteration = 0
        self.counted: list[int] = []
        """The iterations that were trained, in order."""
        self.findings: list[Finding] = []
        self.looks: dict[str, int] = defaultdict(int)
        """How often each check has compared something."""
        self._hooks: list[tuple[Any, str, Hook]] = []

    @property
    def setting(self) -> str:
        return f"{self.name} with {'continuous' if self.continuous else 'discrete'} actions"

    @property
    def evaluated_at(self) -> list[int]:
        """Steps of each agent at which it is to be evaluated: none, and each tenth of training in whole iterations."""
        whole, each = self.iterations, self.config.steps_each
        return [0] + [i * each for i in range(1, whole + 1) if i * 10 // whole > (i - 1) * 10 // whole]

    # -- what checks call ----------------------------------------------------------------------------------------------

    def around(self, owner: Any, name: str, hook: Hook, *, always: bool = False) -> None:
        """Have `hook(call, …)` called in place of a function or method of a module or class, while agents train.

        `always`: also before they do, by the start-up check and the first evaluation.
        """
        if not hasattr(owner, name):
            raise AttributeError(f"expected {name} in {owner}")
        self._hooks.append((owner, name, hook if always else self._when_it_learns(hook)))

    def when_judged(self, look: Callable[[Estimates], None]) -> None:
        """Have `look(estimates)` called with what each rollout was judged by, before anything is learned from it."""

        def hook(call: Callable[..., Any], *args: Any) -> Any:
            found, estimates_only = call(*args), self.name != "a2c"
            if not (estimates_only and self.moves):  # else advantages are recomputed within an update
                look(found if estimates_only else found[0])
            return found

        if self.has("estimate"):
            self.around(self.module, "estimate", hook)
        elif self.name == "a2c":  # whose update judges as well
            self.around(self.module, "update", hook)

    @property
    def reward_scale(self) -> Tensor:
        """What rewards are divided by at this moment [A]."""
        scaler = self.kept.get("reward_scaler")
        return torch.ones(len(self.agents)) if scaler is None else scaler.scale

    def has(self, name: str) -> bool:
        """Whether the algorithm's file has a function of this name."""
        return hasattr(self.module, name)

    def report(self, check: Check, evidence: str, where: str, part: str = "", **figures: Any) -> None:
        """Something is broken: the check's own component, or `part`.

        Only the first finding of each check is kept: the others follow from it.
        """
        if all(found.check is not check for found in self.findings):
            self.findings.append(Finding(check, "error", evidence, where, figures, self.setting, part))

    def ask(self, check: Check, holds: Any, evidence: str, where: str, part: str = "", **figures: Any) -> None:
        """Report unless something holds."""
        self.looks[check.name] += 1
        if not bool(holds):
            self.report(check, evidence, where, part, **figures)

    def compare(
        self,
        check: Check,
        what: str,
        found: Any,
        expected: Any,
        where: str,
        tolerance: float = TOLERANCE,
        floor: float = 1e-8,
        part: str = "",
    ) -> None:
        """Report unless numbers are as expected, up to a share of the largest of them, or of `floor`."""
        x, y = _numbers(found), _numbers(expected)
        if x.shape != y.shape:
            self.ask(check, False, f"{what}: expected shape {list(y.shape)}; found {list(x.shape)}", where, part)
            return
        if not x.size:
            return
        self.looks[check.name] += 1
        with np.errstate(invalid="ignore"):  # ∞ - ∞
            error = np.nan_to_num(np.abs(x - y), nan=np.inf)
        if error.max() <= tolerance * max(float(np.abs(y).max()), floor):
            return
        at = np.unravel_index(int(error.argmax()), x.shape)
        one, other = float(x[at]), float(y[at])
        place = f" at {[int(i) for i in at]}" if at else ""
        evidence = f"{what}: expected {other:.6g}{place}; found {one:.6g}"
        self.report(check, evidence, where, part, expected=other, found=one)

    # -- training ------------------------------------------------------------------------------------------------------

    def train(self, *, pause: Callable[[Path], None] | None = None) -> None:
        """Train, with all checks looking on. A training that raises an exception is a finding of its own.

        `pause`: stop after each iteration, call this with the directory, and go on from the checkpoint.
        """
        asked = self.asked
        spec = ward(self.ledger, continuous=asked.continuous, still=asked.still, mixed=asked.mixed, faulty=self._faulty)
        spec = replace(spec, rescale_actions=asked.rescale, reset_seed="once" if asked.once else "each")
        with ExitStack() as hooks, tempfile.TemporaryDirectory(prefix="relook-doctor-") as scratch:
            self.directory = Path(scratch)
            hooks.enter_context(_patched(os, "fsync", lambda *_: None))  # nobody needs these files after a power cut
            hooks.enter_context(_patched(Environments, "step", self._when_it_learns(self._remember)))
            hooks.enter_context(_patched(Evaluation, "__call__", self._evaluate))
            for name in ("normal", "uniform", "chance", "permutation"):
                hooks.enter_context(_patched(Agents, name, self._draw))
            for optimiser in (Optimiser, *Optimiser.__subclasses__()):
                if "step" in vars(optimiser):
                    hooks.enter_context(_patched(optimiser, "step", self._when_it_learns(self._move)))
            for owner, name, hook in self._hooks:
                hooks.enter_context(_patched(owner, name, hook))
            hooks.enter_context(_patched(Unit, "start", self._start))
            hooks.enter_context(_patched(Unit, "iterations", self._counted))
            each = self.config.steps_each
            work = Work(self.directory, spec, self.agents, self.config, self.steps, self.evaluate_episodes)
            try:
                if pause is not None:
                    work = replace(work, milestones=(each,))
                    for iteration in range(1, self.iterations):
                        self.known.train(replace(work, until=iteration * each), self._networks)
                        pause(self.directory)
                self.known.train(work, self._networks)
                self.learns = False
                for after in self._after:
                    after()
            except Exception as error:
                self._crash(error)
            finally:
                self.learns = False

    def _crash(self, error: Exception) -> None:
        """An exception is the finding that explains all others."""
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "relook" in frame.filename and "doctor" not in frame.filename] or frames
        place, line = ours[-1].filename.rpartition("relook/")[2], ours[-1].lineno
        part = next((part for word, part in PLACES if word in f"{place} {ours[-1].name}"), RUNS.component)
        evidence = f"expected no exception; found {type(error).__name__}: {error}"
        self.findings.append(Finding(RUNS, "error", evidence, f"relook/{place}, line {line}", {}, self.setting, part))

    def _faulty(self) -> Fault:
        """What is wrong with the next ward: the second agent's learn to be faulty, if that is asked for."""
        envs = getattr(self.config, "envs", 1)
        made = len(self.ledger.episodes)
        return self.asked.fault if envs <= made < 2 * envs else ""

    _after: tuple[Callable[[], None], ...] = ()

    def afterwards(self, look: Callable[[], None]) -> None:
        """Look once more when training has ended, before its directory goes."""
        self._after = (*self._after, look)

    def _when_it_learns(self, hook: Hook) -> Hook:
        def looked_at(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            return hook(call, *args, **kwargs) if self.learns else call(*args, **kwargs)

        return looked_at

    def _draw(self, call: Callable[..., Tensor], agents: Agents, purpose: str, block: int, *shape: Any) -> Tensor:
        if agents is self.agents:
            self.drawn.append((purpose, block))
        return call(agents, purpose, block, *shape)

    def _evaluate(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.evaluates = True
        try:
            return call(*args, **kwargs)
        finally:
            self.evaluates = False

    def _remember(self, call: Callable[..., Transition], envs: Any, action: Tensor) -> Transition:
        chosen = action.clone()
        told = call(envs, action)
        if envs is self.envs:
            self.history.append(Moment(self.iteration, chosen, Transition(*(x.clone() for x in told))))
        return told

    def _move(self, call: Callable[..., Any], optimiser: Any, rates: Any, **kwargs: Any) -> Any:
        parameters = optimiser.parameters
        before, gradient = parameters.theta.clone(), parameters.gradient.clone()
        given = call(optimiser, rates, **kwargs)
        self.moves.append(Move(optimiser, dict(rates), kwargs, before, gradient, parameters.theta.clone()))
        return given

    def _networks(self, *args: Any, **kwargs: Any) -> Any:
        self.ac = self._make_networks(*args, **kwargs)
        return self.ac

    def _start(
        self, call: Callable[..., Any], unit: Any, actor_critic: Any, envs: Any, *args: Any, **kwargs: Any
    ) -> None:
        self.drawn.clear()  # rehearsals draw the same again and again
        call(unit, actor_critic, envs, *args, **kwargs)
        self.ac, self.envs, self.kept, self.learns = actor_critic, envs, kwargs, True  # rehearsals have built others
        self.replay = args[0] if args else None
        self.first = actor_critic.state()

    def _counted(self, call: Callable[..., Iterator[int]], *args: Any, **kwargs: Any) -> Iterator[int]:
        for self.iteration in call(*args, **kwargs):
            self.counted.append(self.iteration)
            self.theta = self.ac.parameters.theta.clone()
            self.moves.clear()
            self.losses.clear()
            yield self.iteration
        self.learns = False

    def seen(self, a: int, observation: Tensor) -> Tensor:
        """What the networks of an agent see of observations [B, D], in float64: the normaliser's numbers, if any."""
        normaliser, x = getattr(self.ac, "normaliser", None), observation.double()
        if normaliser is None:
            return x
        scaled = ((x - normaliser.mean[a]) / (normaliser.variance[a] + 1e-8).sqrt()).clamp(-10, 10)
        return torch.cat([x[:, :KINDS], scaled[:, KINDS:]], 1) if self.asked.mixed else scaled

    def hyperparameter(self, a: int, name: str) -> float:
        """What an agent was given, now: those that fall to 0 have fallen as far as training has come."""
        value = float(self.agents[a].hyperparameters[name])
        falls = getattr(self.config, f"anneal_{name}", False)
        return value * (1 - self.iteration / self.iterations) if falls else value

    def state_of(self, parameters: Parameters, block: Tensor) -> dict[str, Tensor]:
        """A block [A, G, P] that lies as θ does, by name: a gradient, or the θ of a target network."""
        owner = self.ac if parameters is self.ac.parameters else self.ac.critics
        before = owner.parameters.theta.clone()
        try:
            owner.parameters.theta.copy_(block)
            state = self.ac.state()
        finally:
            owner.parameters.theta.copy_(before)
        return {name: x for name, x in state.items() if name.split("/")[0] in parameters.groups}


PLACES = (
    ("critic_step", "value loss"),
    ("policy_step", "policy loss"),
    ("fit_value", "value loss"),
    ("values.py", "value loss"),
    ("target", "target network"),
    ("estimates.py", "estimates"),
    ("returns.py", "estimates"),
    ("optimiser.py", "optimiser"),
    ("normalis", "normalisation"),
    ("rollout.py", "buffer"),
    ("replay.py", "buffer"),
    ("evaluation.py", "evaluation"),
    ("envs/", "environment"),
    ("policies.py", "networks"),
    ("distributions.py", "networks"),
    ("networks/", "networks"),
    ("runs/", "record"),
    ("randomness.py", "randomness"),
)
"""Which component an exception comes from, by a word of its file and function: the first that fits."""

RUNS = Check(
    name="runs",
    component="gradient",
    asks="It trains for a few iterations without an exception.",
    causes=("a shape that does not fit", "a name that is not there"),
    remedy="Read the last line of the traceback.",
    lesson="What raises an exception is the kindest of faults: it says where it is. All other checks of this page are "
    "for those that do not.",
)


def _numbers(values: Any) -> NDArray[np.float64]:
    """As an array in float64."""
    if isinstance(values, Tensor):
        return values.detach().double().numpy()
    return np.asarray(values, np.float64)


@contextmanager
def _patched(owner: Any, name: str, hook: Hook) -> Iterator[None]:
    """Put a hook in the place of a function, and take it away again."""
    call = getattr(owner, name)

    @functools.wraps(call)
    def replaced(*args: Any, **kwargs: Any) -> Any:
        return hook(call, *args, **kwargs)

    setattr(owner, name, replaced)
    try:
        yield
    finally:
        setattr(owner, name, call)
