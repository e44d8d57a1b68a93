"""Making an environment from a name or a function, with errors that a first user can act on."""

import importlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, parse_env_id, registry

from relook.errors import WrongRequest
from relook.importing import named_function


@dataclass(frozen=True)
class EnvironmentSpec:
    """Everything that makes an environment.

    `name` is a registered Gymnasium id (`CartPole-v1`), one that a module registers (`module:Name-v0`), or a function
    that returns an environment (`module:function`). A function may also be given as `function`, with any name.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the environment."""
    max_episode_steps: int | None = None
    """Truncate episodes after so many steps; None leaves the environment's own limit."""
    reset_seed: Literal["each", "once"] = "each"
    """Seed every reset, so that any episode can be replayed, or (`once`) only the first of each environment: for the
    rare environment whose seed chooses its task."""
    rescale_actions: bool = True
    """Let [-1, 1] stand for the bounds of a continuous action; otherwise agents act in the environment's own units."""
    function: Callable[..., gym.Env[Any, Any]] | None = None

    @property
    def imports_code(self) -> bool:
        """Whether making it imports a module that its name chooses."""
        return self.function is None and ":" in self.name

    def make(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """A fresh instance, which draws if it is given a `render_mode`.

        Raises `WrongRequest` if there is no such environment or it refuses its arguments.
        """
        limit = self.max_episode_steps
        if limit is not None and limit < 1:
            raise WrongRequest(f"expected a --max-episode-steps of at least 1; found {limit}")
        arguments = {**self.arguments, **({} if render_mode is None else {"render_mode": render_mode})}
        function = self.function or (named_function(self.name, "environment") if ":" in self.name else None)
        try:
            if function is not None:
                env = function(**arguments)
                if not isinstance(env, gym.Env):
                    raise WrongRequest(
                        f"expected {self.name} to return a Gymnasium environment; it returned {type(env).__name__}"
                    )
                return env if limit is None else _limited(env, limit)
            _check_id(self.name)
            with _quiet_mujoco(self.name):
                return gym.make(self.name, max_episode_steps=limit, disable_env_checker=True, **arguments)
        except WrongRequest:
            raise
        except (gym.error.DependencyNotInstalled, ImportError) as error:
            raise WrongRequest(f"the environment {self.name} needs a package that is not installed: {error}") from error
        except (TypeError, KeyError, ValueError, AssertionError, OSError, gym.error.Error) as error:
            given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
            raise WrongRequest(
                f"the environment {self.name} refused the arguments {given or '(none)'}: {error}; check them"
            ) from error


def bare(env: gym.Env[Any, Any]) -> tuple[gym.Env[Any, Any], float]:
    """An environment without the wrappers that cost time and change nothing for who keeps to the rules, and its limit.

    `gym.make` wraps an environment in checks of the calling order and in a time limit. We keep the order, and count
    the steps to the limit (infinity without one) ourselves. Any other wrapper stays, with all that is inside of it.
    """
    limit = math.inf
    while True:
        if type(env) is gym.wrappers.TimeLimit and limit == math.inf:
            limit = env._max_episode_steps
        elif type(env) not in (gym.wrappers.OrderEnforcing, gym.wrappers.PassiveEnvChecker):
            return env, limit
        env = env.env  # type: ignore[attr-defined]  # a wrapper has one


def time_limit(env: gym.Env[Any, Any]) -> int | None:
    """The most steps that an episode has, by whichever wrapper limits it; None if none does."""
    limits = []
    while isinstance(env, gym.Wrapper):
        if isinstance(env, gym.wrappers.TimeLimit):
            limits.append(int(env._max_episode_steps))
        env = env.env
    return min(limits, default=None)


def _limited(env: gym.Env[Any, Any], limit: int) -> gym.Env[Any, Any]:
    """`env` with this time limit, instead of a longer or shorter one that it came with."""
    if isinstance(env, gym.wrappers.TimeLimit):
        env = env.env
    inner: Any = env
    while isinstance(inner, gym.Wrapper):
        if isinstance(inner, gym.wrappers.TimeLimit):
            raise WrongRequest(
                "expected an environment without a time limit inside other wrappers, to set --max-episode-steps; found "
                f"{env}; let the function take the limit as an argument"
            )
        inner = inner.env
    return gym.wrappers.TimeLimit(env, limit)


def _check_id(name: str) -> None:
    """Refuse ids that nothing registered, and versions of Gymnasium's own environments that were replaced."""
    try:
        namespace, base, version = parse_env_id(name.split(":", 1)[-1])
    except gym.error.Error:
        namespace, base, version = None, name, None
    family = [spec for spec in registry.values() if (spec.namespace, spec.name) == (namespace, base)]
    newest = max(family, key=lambda spec: spec.version or 0, default=None)
    if newest is None:
        close = get_close_matches(name, registry, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else "give a registered Gymnasium id or module:function"
        raise WrongRequest(f"expected the name of an environment; found {name!r}, which nothing registers; {hint}")
    if version == newest.version:
        return
    if version is None:
        raise WrongRequest(f"expected an environment id with its version; found {name!r}; use {newest.id}")
    if name.split(":", 1)[-1] not in registry:
        raise WrongRequest(f"the environment {name} does not exist; use {newest.id}")
    if _is_gymnasiums(newest):
        raise WrongRequest(f"the environment {name} is out of date and was replaced; use {newest.id}")


def _is_gymnasiums(spec: EnvSpec) -> bool:
    return isinstance(spec.entry_point, str) and spec.entry_point.startswith("gymnasium.envs.")


@contextmanager
def _quiet_mujoco(name: str) -> Iterator[None]:
    """Compile Gymnasium's own MuJoCo models without a warning per instance about their XML, on screen and in a file.

    Warnings of the simulation itself are not affected: the handler is put back.
    """
    spec = registry.get(name)
    if spec is None or not str(spec.entry_point).startswith("gymnasium.envs.mujoco"):
        yield
        return
    try:
        mujoco = importlib.import_module("mujoco")
    except ImportError:
        yield  # gym.make says what is missing
        return
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)
