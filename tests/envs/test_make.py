"""Making environments, and the errors that a first user meets."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from relook.envs import EnvironmentSpec, time_limit
from relook.errors import WrongRequest


class Endless(gym.Env[Any, Any]):
    """Never ends by itself."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, colour: str = "red") -> None:
        self.colour = colour

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        return np.zeros(1, dtype=np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros(1, dtype=np.float32), 0.0, False, False, {}


def length(env: gym.Env[Any, Any], most: int) -> int:
    """Steps until the environment says `truncated`, at most `most`."""
    env.reset(seed=1)
    for t in range(1, most + 1):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        assert not terminated
        if truncated:
            return t
    return most


@pytest.mark.parametrize(
    ("old", "living"),
    [
        ("CartPole-v0", "CartPole-v1"),
        ("HalfCheetah-v2", "HalfCheetah-v5"),
        ("HalfCheetah-v4", "HalfCheetah-v5"),
        ("InvertedPendulum-v2", "InvertedPendulum-v5"),
        ("FrozenLake-v0", "FrozenLake-v1"),
        ("Pendulum-v0", "Pendulum-v1"),
    ],
)
def test_an_old_id_is_refused_with_its_living_successor(old: str, living: str) -> None:
    with pytest.raises(WrongRequest, match=f"{old} .*use {living}$"):
        EnvironmentSpec(old).make()
    EnvironmentSpec(living).make().close()


@pytest.mark.parametrize(("wrong", "right"), [("Cartpole-v1", "CartPole-v1"), ("Pendulun-v1", "Pendulum-v1")])
def test_an_unknown_name_suggests_a_close_one(wrong: str, right: str) -> None:
    with pytest.raises(WrongRequest, match=f"'{wrong}'.*did you mean {right}"):
        EnvironmentSpec(wrong).make()


def test_a_name_like_no_other_suggests_nothing() -> None:
    with pytest.raises(WrongRequest, match=r"'Qqqqqqqq'.*registered Gymnasium id or module:function"):
        EnvironmentSpec("Qqqqqqqq").make()


def test_an_id_without_a_version_is_refused_with_the_newest() -> None:
    with pytest.raises(WrongRequest, match="its version; found 'HalfCheetah'; use HalfCheetah-v5"):
        EnvironmentSpec("HalfCheetah").make()


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("CartPole-v1", {"nonsense": 1}, "nonsense=1"),
        ("FrozenLake-v1", {"map_name": "9x9"}, "map_name='9x9'"),
        (f"{__name__}:Endless", {"smell": "sour"}, "smell='sour'"),
    ],
)
def test_refused_arguments_are_named(name: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongRequest, match=f"{name} refused the arguments {said}"):
        EnvironmentSpec(name, arguments).make()


def test_arguments_reach_the_environment() -> None:
    assert EnvironmentSpec("Pendulum-v1", {"g": 5.0}).make().get_wrapper_attr("g") == 5.0
    assert EnvironmentSpec(f"{__name__}:Endless", {"colour": "blue"}).make().get_wrapper_attr("colour") == "blue"


@pytest.mark.parametrize("name", ["Pendulum-v1", f"{__name__}:Endless"])
@pytest.mark.parametrize("limit", [1, 3, 230])
def test_max_episode_steps_truncates_there_and_not_before(name: str, limit: int) -> None:
    env = EnvironmentSpec(name, max_episode_steps=limit).make()
    assert length(env, most=limit + 5) == limit
    assert length(env, most=limit + 5) == limit
    env.close()


def test_without_max_episode_steps_the_environments_own_limit_holds() -> None:
    assert length(EnvironmentSpec("Pendulum-v1").make(), most=1000) == 200


@pytest.mark.parametrize("limit", [0, -3])
@pytest.mark.parametrize("name", ["CartPole-v1", f"{__name__}:Endless"])
def test_max_episode_steps_below_one_is_refused(name: str, limit: int) -> None:
    with pytest.raises(WrongRequest, match=f"at least 1; found {limit}"):
        EnvironmentSpec(name, max_episode_steps=limit).make()


def test_module_and_function_name_an_environment() -> None:
    spec = EnvironmentSpec(f"{__name__}:Endless")
    assert isinstance(spec.make(), Endless)
    assert spec.imports_code
    assert not EnvironmentSpec("CartPole-v1").imports_code


def test_a_function_itself_may_be_given() -> None:
    spec = EnvironmentSpec("any name", {"colour": "green"}, function=Endless)
    assert spec.make().get_wrapper_attr("colour") == "green"
    assert not spec.imports_code


def test_a_module_may_register_the_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "registering_module.py").write_text(
        f"import gymnasium\ngymnasium.register('FromModule-v0', entry_point='{__name__}:Endless')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert isinstance(EnvironmentSpec("registering_module:FromModule-v0").make().unwrapped, Endless)


def test_a_missing_module_is_named() -> None:
    with pytest.raises(WrongRequest, match="'no_such_module:thing' to be importable"):
        EnvironmentSpec("no_such_module:thing").make()


def test_a_missing_function_is_named() -> None:
    with pytest.raises(WrongRequest, match=f"'{__name__}:nothing'"):
        EnvironmentSpec(f"{__name__}:nothing").make()


def test_making_a_mujoco_environment_leaves_no_log_and_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    EnvironmentSpec("HalfCheetah-v5").make().close()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "asked", "limit"),
    [("CartPole-v1", None, 500), ("CartPole-v1", 7, 7), ("FrozenLake-v1", 9, 9), ("CliffWalking-v1", None, None)],
)
def test_the_time_limit_is_the_environments_or_the_one_that_was_asked_for(
    name: str, asked: int | None, limit: int | None
) -> None:
    assert time_limit(EnvironmentSpec(name, max_episode_steps=asked).make()) == limit


def test_a_time_limit_inside_another_wrapper_is_found_and_the_shortest_counts() -> None:
    inner = gym.wrappers.TimeLimit(gym.make("CartPole-v1"), 30)
    assert time_limit(gym.wrappers.RecordEpisodeStatistics(inner)) == 30
