"""From a request to a run: the plan, its record, and training from Python."""

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import relook
from relook.algorithms.ppo import Config
from relook.envs import EnvironmentSpec
from relook.errors import RelookError, WrongRequest
from relook.runs.reading import Run
from relook.runs.tidy import method_name
from relook.training import Arm, Request, environment_spec, prepare, read_work, train
from support import HOMES
from support import TINY as SMALL_ONES

CARTPOLE = EnvironmentSpec("CartPole-v1")
TINY: dict[str, Any] = {"envs": 2, "horizon": 16, "minibatch": 32, "hidden": (8,), "evaluate_episodes": 1, "steps": 64}


def plan(out: Path, seeds: Any = (0,), workers: int = 1, steps: int = 1000, **values: list[Any]) -> Run:
    return prepare(Request("ppo", CARTPOLE, seeds, steps, values, 10, out / "run"), workers)


def units(run: Run) -> list[list[int]]:
    return [[agent.agent for agent in run.agents if agent.unit == unit] for unit in run.units]


def test_agents_are_all_settings_times_all_seeds(tmp_path: Path) -> None:
    run = plan(tmp_path, seeds=(5, 3), learning_rate=[1e-3, 1e-4], discount=[0.9, 0.8])
    got = [(a.agent, a.hyperparameters["learning_rate"], a.hyperparameters["discount"], a.seed) for a in run.agents]
    expected = [(rate, discount, seed) for rate in (1e-3, 1e-4) for discount in (0.9, 0.8) for seed in (5, 3)]
    assert got == [(i, *one) for i, one in enumerate(expected)]
    assert run.agents[0].hyperparameters["clip"] == Config.clip


@pytest.mark.parametrize(
    ("seeds", "workers", "shares"),
    [
        (5, 1, [[0, 1, 2, 3, 4]]),
        (5, 2, [[0, 1, 2], [3, 4]]),
        (5, 4, [[0, 1], [2], [3], [4]]),
        (3, 9, [[0], [1], [2]]),
    ],
)
def test_agents_are_shared_out_evenly(tmp_path: Path, seeds: int, workers: int, shares: list[list[int]]) -> None:
    assert units(plan(tmp_path, range(seeds), workers)) == shares


@pytest.mark.parametrize(
    ("workers", "shares"), [(1, [[0, 1, 4, 5], [2, 3, 6, 7]]), (4, [[0, 1], [4, 5], [2, 3], [6, 7]])]
)
def test_structural_settings_are_units_apart(tmp_path: Path, workers: int, shares: list[list[int]]) -> None:
    run = plan(tmp_path, range(2), workers, learning_rate=[1e-3, 1e-4], hidden=[(8,), (4, 4)])
    assert units(run) == shares
    for share in shares:
        assert len({str(run.agents[index].hyperparameters["hidden"]) for index in share}) == 1


def test_a_prepared_run_holds_what_was_asked_and_nothing_else(tmp_path: Path) -> None:
    run = plan(tmp_path, range(2), target_kl=[float("inf"), 0.01])
    assert [path.name for path in run.path.iterdir()] == ["run.json"]
    record = json.loads((run.path / "run.json").read_text(), parse_constant=pytest.fail)
    assert {"schema", "algorithm", "environment", "steps", "agents", "versions", "git", "machine"} <= set(record)
    assert (record["environment"]["name"], record["environment"]["time_limit"]) == ("CartPole-v1", 500)
    assert {(row["status"], row["steps"]) for row in run.agent_summaries} == {("unfinished", 0)}


def test_a_worker_reads_the_configuration_that_was_asked_for(tmp_path: Path) -> None:
    run = plan(tmp_path, (7,), hidden=[(4, 6)], target_kl=[0.01, float("inf")], learning_rate=[1])
    work = read_work(Run(run.path), 0, CARTPOLE)
    assert work.config == Config(hidden=(4, 6), target_kl=0.01, learning_rate=1.0)
    assert [(agent.index, agent.seed, agent.hyperparameters["target_kl"]) for agent in work.agents] == [
        (0, 7, 0.01),
        (1, 7, float("inf")),
    ]
    assert (work.steps, work.evaluate_episodes) == (1000, 10)
    with pytest.raises(RelookError, match=r"\[0\]; found 1"):
        read_work(run, 1, CARTPOLE)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"seeds": ()}, "at least one seed"),
        ({"seeds": (1, 1)}, "different seeds"),
        ({"seeds": (-1,)}, "at least 0; found -1"),
        ({"workers": 0}, "at least one worker"),
        ({"steps": 100}, "at least 512 steps"),
        ({"lerning_rate": [1e-3]}, "no hyper-parameter 'lerning_rate'"),
        ({"clip": []}, "at least one value of clip"),
        ({"clip": [0.1, 0.1]}, "different values of clip"),
        ({"clip": [0.0]}, "clip above 0"),
        ({"minibatch": [256, 513]}, "at most 512 samples"),
    ],
)
def test_a_wrong_request_leaves_no_directory(tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongRequest, match=said):
        plan(tmp_path, **wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("steps", "starts", "needed"), [(9_999, 10_000, 10_000), (10_999, 10_001, 11_000)])
def test_a_training_that_would_end_before_it_learns_is_refused(
    tmp_path: Path, steps: int, starts: int, needed: int
) -> None:
    """Whole iterations count, and the interval that ends where learning starts ends with an update."""

    def td3(steps: int) -> Request:
        values = {"learning_starts": [starts]}
        return Request("td3", EnvironmentSpec("Pendulum-v1"), [0], steps, values, out=tmp_path / "run")

    with pytest.raises(WrongRequest, match=rf"at least {needed} steps, .* learning_starts, {starts}, .*found {steps}"):
        prepare(td3(steps))
    assert list(tmp_path.iterdir()) == []
    prepare(td3(needed))


def test_an_empty_directory_may_be_given(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert plan(tmp_path).path == tmp_path / "run"
    with pytest.raises(WrongRequest, match="exists already"):
        plan(tmp_path)


class Short(gym.Env[Any, Any]):
    """Ends at its third step, or fails there."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.t = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self.t = 0
        return np.zeros(1, dtype=np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        if self.fails and self.t == 3:
            raise RuntimeError("it broke")
        return np.zeros(1, dtype=np.float32), 1.0, self.t == 3, False, {}


def test_train_returns_the_finished_run(tmp_path: Path, capfd: pytest.CaptureFixture[str], work_here: None) -> None:
    run = relook.ppo(Short, seeds=[4, 2], out=tmp_path / "run", workers=1, clip=[0.1, 0.2], **TINY)
    assert run.environment_name == f"{__name__}:Short"
    assert [(a.seed, a.hyperparameters["clip"]) for a in run.agents] == [(4, 0.1), (2, 0.1), (4, 0.2), (2, 0.2)]
    assert [(a["status"], a["steps"], a["final_return"]) for a in run.agent_summaries] == [("finished", 64, 3.0)] * 4
    assert relook.open(run.path).metrics.equals(run.metrics)
    assert capfd.readouterr() == ("", "")


def test_a_function_that_cannot_be_imported_trains_here_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []

    def local() -> gym.Env[Any, Any]:
        made.append(Short())
        return made[-1]

    run = train("ppo", local, seeds=1, out=tmp_path / "run", **TINY)
    out, err = capsys.readouterr()
    assert out == ""
    assert "cannot import this environment; training in this one" in err
    assert sum(env.t for env in made) > 0, "the environments of this process must have been stepped"
    assert run.agent_summaries[0]["status"] == "finished"
    with pytest.raises(WrongRequest, match="cannot be imported"):
        run.environment()
    observation = np.zeros(Short().observation_space.shape or (), dtype=np.float32)
    assert Short().action_space.contains(run.agent(0, env=local).act(observation))


def test_a_failure_in_this_process_is_recorded_and_raised_like_a_workers(tmp_path: Path) -> None:
    with pytest.raises(RelookError, match="it broke"):
        train("ppo", lambda: Short(fails=True), seeds=1, out=tmp_path / "run", **TINY)
    assert Run(tmp_path / "run").agent_summaries[0]["status"] == "crashed"


def test_an_environment_is_known_by_its_importable_name() -> None:
    assert environment_spec(Short, {}, None).name == f"{__name__}:Short"
    assert environment_spec(Short, {}, None).function is None
    assert environment_spec(lambda: gym.make("CartPole-v1"), {}, None).function is not None
    assert environment_spec("Pendulum-v1", {"g": 1.0}, 7) == EnvironmentSpec("Pendulum-v1", {"g": 1.0}, 7)


@pytest.mark.parametrize("hidden", [(8, 4), [8, 4], [(8, 4)], [[8, 4]]])
def test_sizes_from_python_are_one_value_unless_they_are_lists_of_sizes(tmp_path: Path, hidden: Any) -> None:
    tiny = {**TINY, "hidden": hidden}
    run = train("ppo", lambda: gym.make("CartPole-v1"), seeds=1, out=tmp_path / "run", **tiny)
    assert [agent.hyperparameters["hidden"] for agent in run.agents] == [[8, 4]]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("learning_rate", "fast", "of type float"),
        ("horizon", 16.5, "of type int"),
        ("anneal_clip", 1, "of type bool"),
        ("activation", "swish", "'tanh' or 'relu'"),
        ("hidden", (8, "wide"), "a tuple of sizes"),
        ("discount", True, "of type float"),
    ],
)
def test_values_of_another_type_are_refused_before_anything_starts(
    tmp_path: Path, name: str, value: Any, said: str
) -> None:
    with pytest.raises(WrongRequest, match=f"expected {name} .*{said}"):
        prepare(Request("ppo", CARTPOLE, (0,), 1000, {name: [value]}, 10, tmp_path / "run"), 1)
    assert not (tmp_path / "run").exists()


UPDATES = {"a2c": [4, 4], "ppo": [4, 4], **{name: [12, 16] for name in ("dqn", "ddpg", "td3", "sac")}}
"""Of each iteration of 32 steps, where it is not one: rollouts; epochs times minibatches; half of the steps."""


@pytest.mark.parametrize("name", SMALL_ONES)
def test_every_algorithm_counts_its_updates(tmp_path: Path, name: str) -> None:
    env = HOMES[name][0]
    sizes: dict[str, Any] = {key: values[0] for key, values in SMALL_ONES[name].items()}
    run = train(name, env, seeds=1, out=tmp_path / "run", steps=64, evaluate_episodes=0, workers=1, **sizes)
    assert run.metrics["updates"].to_list() == UPDATES.get(name, [1, 1])


# Arms


def test_arms_have_settings_and_seeds_of_their_own(tmp_path: Path) -> None:
    arms = [Arm("full", {}, [0, 1, 2]), Arm("no clip", {"clip": 10.0}, [3]), Arm("small", {"hidden": (8,)}, [4, 5])]
    shared: dict[str, list[Any]] = {"hidden": [(16,)], "discount": [0.9]}
    asked = Request("ppo", EnvironmentSpec("CartPole-v1"), (), 1024, shared, out=tmp_path / "run", arms=arms)
    run = prepare(asked, workers=1)
    assert [(agent.arm, agent.seed, agent.unit) for agent in run.agents] == [
        ("full", 0, 0), ("full", 1, 0), ("full", 2, 0), ("no clip", 3, 0), ("small", 4, 1), ("small", 5, 1)
    ]  # fmt: skip
    assert [agent.hyperparameters["clip"] for agent in run.agents] == [0.2, 0.2, 0.2, 10.0, 0.2, 0.2]
    assert {agent.hyperparameters["discount"] for agent in run.agents} == {0.9}
    assert [method_name(run, agent) for agent in run.agents][2:5] == ["ppo full", "ppo no clip", "ppo small"]


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ([Arm("a", {}, [0]), Arm("a", {}, [1])], "arms of different names; found a, a"),
        ([Arm("a", {}, [])], "at least one seed"),
        ([Arm("a", {"clip": -1.0}, [0])], "expected clip above 0"),
    ],
)
def test_arms_that_cannot_be_are_refused(arms: list[Arm], said: str) -> None:
    with pytest.raises(WrongRequest, match=said):
        prepare(Request("ppo", EnvironmentSpec("CartPole-v1"), (), 1024, arms=arms), workers=1)
