"""A × N environments, stepped and reset by us."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from relook.envs.make import EnvironmentSpec, bare, time_limit
from relook.envs.replayability import EpisodeDigest, play_again
from relook.envs.spaces import ActionSpace, ObservationSpace
from relook.errors import RelookError
from relook.population import Agents, Stop, reset_seed, restore, rows_of


@dataclass(frozen=True)
class Spaces:
    """What an agent sees and does."""

    observation: ObservationSpace
    action: ActionSpace


class Transition(NamedTuple):
    """What one step of all environments did. `next_observation` is where the step led, at an end the final state."""

    observation: Float[Tensor, "A N D"]
    next_observation: Float[Tensor, "A N D"]
    reward: Float[Tensor, "A N"]
    terminated: Bool[Tensor, "A N"]
    truncated: Bool[Tensor, "A N"]


@dataclass(frozen=True)
class Episode:
    """One finished episode: with the environment's spec, `reset_seed` and `actions` are enough to play it again."""

    agent: int
    """Position of the agent in its population."""
    environment: int
    episode: int
    reset_seed: int | None
    length: int
    ret: float
    """Undiscounted sum of raw rewards."""
    ending: str
    """`terminated`; `truncated` if the time limit alone ended it; `cut` if an evaluation would not wait longer;
    `crashed` if the environment raised an exception; `diverged` if it returned a number that is not finite."""
    digest: str
    """Hash of all observations (as float32 vectors), rewards and the ending."""
    actions: NDArray[Any]
    """[length, …] as the environment received them, and one more if it raised an exception instead of answering it."""
    began: int = 0
    """How many steps its `Environments` had made when it began."""


class _Running:
    """An episode that runs: what the tape no longer holds of it, and where on the tape (`start`) the rest begins."""

    def __init__(self, seed: int | None, start: int, began: int, observation: NDArray[np.float32]) -> None:
        self.seed, self.start, self.began = seed, start, began
        self.digest = EpisodeDigest(observation)
        self._actions: list[NDArray[Any]] = []

    def keep(self, actions: NDArray[Any]) -> None:
        """Add actions [L, …], of a memory that will be written over."""
        self._actions.append(actions.copy())

    def actions(self) -> NDArray[Any]:
        """All of them [length, …]."""
        return np.concatenate(self._actions)


class _Tape:
    """The last steps of M environments: written for all at once, read for one when its episode ends."""

    LENGTH = 64

    def __init__(self, observation: NDArray[np.float32], actions: ActionSpace) -> None:
        """`observation` [M, D] is the array that `write` will be given."""
        environments = len(observation)
        self._observation = np.zeros((self.LENGTH, *observation.shape), dtype=np.float32)
        self._reward = np.zeros((self.LENGTH, environments))
        self._action = np.zeros((self.LENGTH, environments, *actions.shape), dtype=actions.dtype)
        self._running: list[_Running | None] = [None] * environments
        self._at = 0
        self.steps = 0
        """How many steps have been written since the first."""

    def begin(self, i: int, seed: int | None, observation: NDArray[np.float32]) -> None:
        """An episode starts with `observation` [D]; its first step is the next that is written."""
        self._running[i] = _Running(seed, self._at, self.steps, observation)

    def act(self, action: NDArray[Any]) -> None:
        """Note the actions [M, …] that are about to be taken: afterwards an environment may have changed them."""
        if self._at == self.LENGTH:
            for i, running in enumerate(self._running):
                if running is not None:
                    self._take(i, running)
                    running.start = 0
            self._at = 0
        self._action[self._at] = action

    def write(self, observation: NDArray[np.float32], reward: list[float]) -> None:
        """Note where the actions led: observations [M, D] and rewards [M]."""
        self._observation[self._at] = observation
        self._reward[self._at] = reward
        self._at += 1
        self.steps += 1

    def length(self, i: int) -> int:
        """Whole steps of the running episode of environment `i`."""
        running = self._running[i]
        return 0 if running is None else len(running.digest.rewards) + self._at - running.start

    def so_far(self, i: int) -> _Running | None:
        """The running episode of environment `i`, with nothing of it on the tape alone; None if none runs."""
        running = self._running[i]
        if running is not None:
            self._take(i, running)
            running.start = self._at
        return running

    def put_back(self, i: int, running: _Running) -> None:
        """Go on with an episode that another tape held."""
        running.start = self._at
        self._running[i] = running

    def _take(self, i: int, running: _Running) -> None:
        steps = slice(running.start, self._at)
        running.digest.take(self._observation[steps, i], self._reward[steps, i].tolist())
        running.keep(self._action[steps, i])

    def end(self, a: int, n: int, i: int, episode: int, ending: str, *, raised: bool) -> Episode:
        """The episode of environment `i`, which ends here; `raised`: in place of an answer to the last action noted."""
        running = self._running[i]
        assert running is not None, "an episode ends once"
        self._running[i] = None
        self._take(i, running)
        if raised:
            running.keep(self._action[self._at : self._at + 1, i])
        return Episode(
            agent=a,
            environment=n,
            episode=episode,
            reset_seed=running.seed,
            length=len(running.digest.rewards),
            ret=sum(running.digest.rewards),
            ending=ending,
            digest=running.digest.so_far(ending).hex(),
            began=running.began,
            actions=running.actions(),
        )


class Environments:
    """N environments for each of A agents.

    Every episode starts with an explicit reset seed derived from (agent seed, purpose, environment, episode). An
    environment whose episode has ended is reset within the same step: `step` returns the final observation as
    `next_observation`, and `observation` is then the first one of the next episode. With `autoreset=False` a finished
    environment rests instead, and is not stepped, until `reset`.

    An environment that raises an exception stops its agent, and so do a reward, an observation or an action that are
    not finite: the agent's environments rest from then on, all others go on. The episode in which it happened is among
    `finished_episodes`, with the actions that led there.

    Tensors returned by `step` and `observation` are views of memory that the next step overwrites.
    """

    def __init__(
        self,
        spec: EnvironmentSpec,
        agents: Agents,
        count: int,
        *,
        purpose: str = "train",
        autoreset: bool = True,
        slot: Callable[[int], int] = lambda n: n,
    ) -> None:
        """`slot` maps the number of an environment to the number that its reset seeds are derived from."""
        self.spec, self.agents, self.count = spec, agents, count
        self._purpose, self._autoreset, self._slot = purpose, autoreset, slot
        # Environment n of agent a is number a × N + n of the lists; the wrappers of `gym.make` are done without.
        made = [spec.make() for _ in range(len(agents) * count)]
        self.time_limit = time_limit(made[0])
        """The most steps that an episode has; None if it may go on for ever."""
        self._envs, self._limits = zip(*map(bare, made), strict=True)
        self.spaces = Spaces(
            ObservationSpace(self._envs[0].observation_space),
            ActionSpace(self._envs[0].action_space, rescale=spec.rescale_actions),
        )
        shape = (len(agents), count)
        self._before = np.zeros((*shape, self.spaces.observation.size), dtype=np.float32)
        self._after, self._observation = np.zeros_like(self._before), np.zeros_like(self._before)
        self._reward = np.zeros(shape, dtype=np.float32)
        self._reward_rows = self._reward.reshape(-1)
        self._terminated, self._truncated = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
        self._transition = Transition(
            *map(torch.from_numpy, (self._before, self._after, self._reward, self._terminated, self._truncated))
        )
        self.observation: Float[Tensor, "A N D"] = torch.from_numpy(self._observation)
        """What the agents see now."""
        # The same memory with one row for each environment.
        self._after_rows, self._observation_rows = (
            x.reshape(len(self._envs), -1) for x in (self._after, self._observation)
        )
        self._tape = _Tape(self._after_rows, self.spaces.action)
        self._episode = [0] * len(self._envs)
        self._left: list[float] = list(self._limits)
        """Steps until the time limit."""
        self._stepping: list[int] = []
        self._stopped = 0
        self._finished: list[Episode] = []
        self.reset()

    @property
    def resting(self) -> Bool[NDArray[np.bool_], "A N"]:
        """Which environments are not stepped."""
        resting = np.ones(len(self._envs), dtype=np.bool_)
        resting[self._stepping] = False
        return resting.reshape(len(self.agents), self.count)

    def reset(self) -> None:
        """Start episode 0 in every environment of every agent that has not stopped."""
        self._tape.steps = 0
        self._episode = [0] * len(self._envs)
        self._stepping = list(range(len(self._envs)))
        self._stopped = 0
        self._leave_out_stopped()
        for i in self._stepping:
            self._reset(i)
        self._leave_out_stopped()

    def _leave_out_stopped(self) -> None:
        """No longer step the environments of agents that have stopped."""
        if len(self.agents.stopped) == self._stopped:
            return
        self._stopped = len(self.agents.stopped)
        self._stepping = [i for i in self._stepping if i // self.count not in self.agents.stopped]
        for a in self.agents.stopped:  # nobody learns from these rows, but they are computed with
            self._observation[a] = self._after[a] = self._reward[a] = 0

    def _reset(self, i: int, *, seeded: bool = False) -> None:
        """Begin an episode; `seeded`: with an explicit seed even if only the first shall have one."""
        a, n = divmod(i, self.count)
        episode, row = self._episode[i], self._observation_rows[i]
        seed: int | None = reset_seed(self.agents[a].seed, self._purpose, self._slot(n), episode)
        if self.spec.reset_seed == "once" and episode > 0 and not seeded:
            seed = None
        self._left[i] = self._limits[i]
        try:
            observation, _ = self._envs[i].reset(seed=seed)
            self.spaces.observation.write(observation, row)
        except Exception as error:
            row[:] = 0
            self._tape.begin(i, seed, row)
            self._stop(i, "crashed", f"its environment's reset raised {type(error).__name__}: {error}", step=0)
            return
        self._tape.begin(i, seed, row)
        if not np.isfinite(row).all():
            self._stop(i, "diverged", f"its environment was reset to an observation that holds {_odd(row)}", step=0)

    def step(self, action: Tensor) -> Transition:
        """Act in every environment: `action` [A, N, width] as a policy chooses it."""
        self._leave_out_stopped()
        actions = self.spaces.action.to_environment(action.numpy()).reshape(len(self._envs), *self.spaces.action.shape)
        self._before[:] = self._observation
        self._terminated.fill(False)
        self._truncated.fill(False)
        self._tape.act(actions)
        if not isfinite(actions.sum()):
            self._stop_not_finite(actions, "its policy's action holds", ahead=1)
            self._leave_out_stopped()

        envs, rows, left, write = self._envs, self._after_rows, self._left, self.spaces.observation.write
        rewards, ended = [0.0] * len(envs), []
        for i in self._stepping:
            try:
                observation, reward, terminated, truncated, _ = envs[i].step(actions[i])
                write(observation, rows[i])
                rewards[i] = float(reward)
                terminated, truncated = bool(terminated), bool(truncated) or left[i] <= 1
            except Exception as error:
                step = self._tape.length(i) + 1
                self._stop(i, "crashed", f"its environment raised {type(error).__name__}: {error}", step)
                continue
            left[i] -= 1
            if terminated or truncated:
                ended.append(i)
                self._terminated.flat[i], self._truncated.flat[i] = terminated, truncated
        self._tape.write(rows, rewards)
        with np.errstate(over="ignore"):  # 1e39 is an infinity for who learns from it
            self._reward_rows[:] = rewards
            # One number tells, cheaply and for all environments, whether it is worth looking for an odd one.
            odd = not isfinite(np.vdot(rows, rows) + np.vdot(self._reward_rows, self._reward_rows))
        if odd:
            ended = [i for i in ended if np.isfinite(rows[i]).all() and isfinite(self._reward_rows[i])]
            self._stop_not_finite(rows, "its environment's observation holds")
            self._stop_not_finite(self._reward_rows, "its environment's reward is")
        for i in ended:
            self._finish(i, "terminated" if self._terminated.flat[i] else "truncated")
        self._leave_out_stopped()

        self._observation[:] = self._after
        for i in ended:
            if i // self.count not in self.agents.stopped:
                self._go_on(i)
        self._leave_out_stopped()
        return self._transition

    def _go_on(self, i: int) -> None:
        """To the next episode of environment `i`, or to its rest."""
        self._episode[i] += 1
        if self._autoreset:
            self._reset(i)
        else:
            self._stepping.remove(i)

    def _finish(self, i: int, ending: str, *, raised: bool = False) -> None:
        self._finished.append(self._tape.end(*divmod(i, self.count), i, self._episode[i], ending, raised=raised))

    def _stop_not_finite(self, rows: NDArray[Any], what: str, ahead: int = 0) -> None:
        """Stop the agents with NaN or an infinity in one of these rows [M, …], which are `ahead` of what was noted."""
        for i in self._stepping:
            if not np.isfinite(rows[i]).all():
                self._stop(i, "diverged", f"{what} {_odd(rows[i])}", self._tape.length(i) + ahead)

    def _stop(self, i: int, status: Literal["crashed", "diverged"], reason: str, step: int) -> None:
        a, n = divmod(i, self.count)
        if a in self.agents.stopped:  # for a reason that another of its environments gave in the same step
            return
        self._finish(i, status, raised=status == "crashed" and step > 0)
        episode = self._finished[-1]
        where = {"during": self._purpose, "environment": n, "episode": episode.episode}
        self.agents.stop(a, Stop(status, reason, {**where, "reset_seed": episode.reset_seed, "step": step}))

    def cut(self) -> None:
        """End the episodes that still run; their environments rest until `reset`."""
        for i in self._stepping:
            self._finish(i, "cut")
        self._stepping = []

    def finished_episodes(self) -> list[Episode]:
        """The episodes that ended since the last call."""
        finished, self._finished = self._finished, []
        return finished

    def state(self) -> dict[str, Tensor]:
        """What the running episodes follow from: for each of the A·N environments the number of its episode, whether
        it is stepped, the reset seed (-1 for none), and the length, actions and digest of the episode so far.
        """
        so_far = [self._tape.so_far(i) for i in range(len(self._envs))]
        nothing = np.zeros((0, *self.spaces.action.shape), dtype=self.spaces.action.dtype)
        actions = [running.actions() if running else nothing for running in so_far]
        digests = b"".join(running.digest.so_far() if running else bytes(EpisodeDigest.BYTES) for running in so_far)
        seeds = [-1 if running is None or running.seed is None else running.seed for running in so_far]
        return {
            "episode": torch.tensor(self._episode),
            "stepped": torch.from_numpy(~self.resting.reshape(-1)),
            "reset_seed": torch.tensor(seeds),
            "began": torch.tensor([running.began if running else 0 for running in so_far]),
            "steps": torch.tensor(self._tape.steps),
            "length": torch.tensor([len(own) for own in actions]),
            "actions": torch.from_numpy(np.concatenate(actions)),
            "digest": torch.frombuffer(bytearray(digests), dtype=torch.uint8).view(-1, EpisodeDigest.BYTES),
        }

    @staticmethod
    def state_of(state: Mapping[str, Tensor], agents: int, chosen: Sequence[int]) -> dict[str, Tensor]:
        """What `state` gave of so many agents, for some of them. Raises `RelookError` for what it cannot have given."""
        try:
            lengths = state["length"].tolist()
            actions = list(torch.split(state["actions"], lengths))
            count = len(lengths) // agents
            kept = [actions[a * count + n] for a in chosen for n in range(count)]
            return {k: rows_of(x, agents, chosen) for k, x in state.items()} | {"actions": torch.cat(kept)}
        except (KeyError, IndexError, TypeError, RuntimeError) as error:
            raise RelookError(
                f"expected the environments of {agents} agents in a checkpoint; found {error!r}"
            ) from error

    def load(self, state: Mapping[str, Tensor], *, replay: bool = True) -> list[int]:
        """Be where `state` was taken: every running episode is played again from its seed and actions.

        An episode that does not come out as its digest says, or that is not to be played again (`replay`), is given up,
        and its environment goes on with its next one. Returns the numbers, agent × N + environment, of these
        environments. Raises `RelookError` for a state of other environments.
        """
        own = {name: tensor for name, tensor in self.state().items() if name != "actions"}
        restore(own, state)
        actions = state["actions"].numpy() if "actions" in state else np.zeros(0)
        lengths, shape = own["length"].tolist(), (sum(own["length"].tolist()), *self.spaces.action.shape)
        if min(lengths) < 0 or (actions.shape, actions.dtype) != (shape, self.spaces.action.dtype):
            raise RelookError(
                f"expected {self.spaces.action.dtype} actions of shape {list(shape)} in a checkpoint; found "
                f"{actions.dtype} of shape {list(actions.shape)}"
            )
        self._episode, self._finished = own["episode"].tolist(), []
        self._stepping = [i for i, stepped in enumerate(own["stepped"].tolist()) if stepped]
        self._stopped = 0
        self._leave_out_stopped()
        self._tape.steps = int(own["steps"])
        starts = np.cumsum([0, *lengths])
        digests, seeds, began = own["digest"].numpy(), own["reset_seed"].tolist(), own["began"].tolist()
        given_up = []
        for i in self._stepping:
            seed, own_actions = None if seeds[i] < 0 else seeds[i], actions[starts[i] : starts[i + 1]]
            if not (replay and self._play_again(i, seed, began[i], own_actions, digests[i].tobytes())):
                given_up.append(i)
                self._episode[i] += 1
                self._reset(i, seeded=True)
        self._leave_out_stopped()
        return given_up

    def _play_again(self, i: int, seed: int | None, began: int, actions: NDArray[Any], digest: bytes) -> bool:
        """Bring environment `i` to where these actions led; False if they lead elsewhere."""
        try:
            first, *moments = play_again(self._envs[i], self.spaces.observation, seed, actions)
        except Exception:  # a fault, where there was none
            return False
        running = _Running(seed, 0, began, first.observation)
        for moment in moments:
            running.digest.take(moment.observation, [moment.reward])
        running.keep(actions)
        self._observation_rows[i] = (moments or [first])[-1].observation
        self._left[i] = self._limits[i] - len(actions)
        self._tape.put_back(i, running)
        ended = any(moment.terminated or moment.truncated for moment in moments)
        return not ended and len(moments) == len(actions) and running.digest.so_far() == digest

    def close(self) -> None:
        """Close every environment: what one of them raises at its end is no reason to leave others open."""
        for env in self._envs:
            with suppress(Exception):
                env.close()


def _odd(row: NDArray[Any]) -> str:
    """The first number that is not finite, in words."""
    return "NaN" if np.isnan(row).any() else "an infinity"
