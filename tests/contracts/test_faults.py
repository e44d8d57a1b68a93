"""A fault in one agent stops this agent, and leaves the others bit for bit as they would have been."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from relook.algorithms import algorithm
from relook.cli.tables import print_settings
from relook.envs import EnvironmentSpec
from relook.population import reset_seed
from relook.runs.files import read_lines
from relook.runs.reading import Run
from relook.training import Request, prepare, work
from support import HOMES, TINY

TEN = tuple(range(10))
BAD = 3
OF_EACH_KIND = {3: "exception", 5: "reward", 6: "observation"}
STATUS = {"exception": "crashed", "reward": "diverged", "observation": "diverged"}
SIZES: dict[str, list[Any]] = {"envs": [2], "horizon": [32], "minibatch": [32], "hidden": [(8,)], "epochs": [2]}
STEP = 5


class Faulty(gym.Wrapper[Any, Any, Any, Any]):
    """Goes wrong at step 5 of a bad agent's third episode in its second environment: one agent is bad, in the way that
    `kind` says; or three are, each in its own way; or none is.
    """

    def __init__(self, kind: str, name: str = "CartPole-v1") -> None:
        super().__init__(gym.make(name, max_episode_steps=20 if name == "Pendulum-v1" else None))
        bad = OF_EACH_KIND if kind == "each" else {BAD: kind}
        self.kinds, self.t = {reset_seed(agent, "train", 1, 2): kind for agent, kind in bad.items()}, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.kind, self.t = self.kinds.get(seed, "none") if seed is not None else "none", 0
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        self.t += 1
        if self.t == STEP:
            match self.kind:
                case "exception":
                    raise RuntimeError("the pole broke")
                case "reward":
                    reward = float("nan")
                case "observation":
                    observation = observation * np.inf
        return observation, reward, terminated, truncated, info


def trained(directory: Path, kind: str, name: str = "ppo", **more: list[Any]) -> Run:
    spec = EnvironmentSpec("faulty", {"kind": kind, "name": HOMES[name][0]}, function=Faulty)
    values = SIZES if name == "ppo" else TINY[name]
    run = prepare(Request(name, spec, TEN, 8 * 64, {**values, **more}, 2, directory), workers=1)
    for unit in run.units:
        work(run, unit, spec)
    return Run(run.path)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("healthy") / "run", "none")


def others(run: Run, bad: Collection[int] = (BAD,)) -> list[tuple[Any, ...]]:
    """What the good agents became, with every evaluation."""
    evaluations = [row for unit in run.units for row in read_lines(run.unit_directory(unit) / "evaluations.jsonl")]
    return [
        (
            a["agent"],
            a["status"],
            a["steps"],
            a["parameters_sha256"],
            [r for r in evaluations if r["agent"] == a["agent"]],
        )
        for a in run.agent_summaries
        if a["agent"] not in bad
    ]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("exception", "its environment raised RuntimeError: the pole broke"),
        ("reward", "its environment's reward is NaN"),
        ("observation", "its environment's observation holds an infinity"),
    ],
)
def test_a_fault_in_an_environment_leaves_the_other_nine_agents_as_they_were(
    tmp_path: Path, healthy: Run, capsys: pytest.CaptureFixture[str], kind: str, reason: str
) -> None:
    status = STATUS[kind]
    run = trained(tmp_path / "run", kind)
    assert others(run) == others(healthy)
    assert len(others(run)) == 9

    [stop] = run.stopped(0).values()
    assert (stop["agent"], stop["status"], stop["reason"]) == (BAD, status, reason)
    place = ("train", 1, 2, reset_seed(BAD, "train", 1, 2), STEP)
    assert (stop["during"], stop["environment"], stop["episode"], stop["reset_seed"], stop["step"]) == place
    bad = run.agent_summaries[BAD]
    assert (bad["status"], bad["steps"]) == (status, stop["steps"])
    assert bad["steps"] < 8 * 64
    assert bad["final_return"] is not None, "it keeps its last evaluation"

    [episode] = [row for row in read_lines(run.unit_directory(0) / "episodes.jsonl") if row["ending"] == status]
    actions = np.frombuffer(
        (run.unit_directory(0) / "actions.bin").read_bytes(),
        dtype=episode["actions"]["dtype"],
        count=episode["actions"]["shape"][0],
        offset=episode["actions"]["offset"],
    )
    assert len(actions) == STEP == episode["length"] + (status == "crashed")
    env = Faulty(kind)
    env.reset(seed=episode["reset_seed"])
    for action in actions[:-1]:
        env.step(int(action))
    if status == "crashed":
        with pytest.raises(RuntimeError, match="the pole broke"):
            env.step(int(actions[-1]))

    print_settings(run)
    assert f"{status}: 1 of 10 agents (3)" in capsys.readouterr().out


@pytest.mark.parametrize("name", TINY)
def test_faults_and_numbers_that_explode_leave_the_other_agents_of_any_algorithm_as_they_were(
    tmp_path: Path, name: str
) -> None:
    """Every seed trains twice, at the usual learning rate and at one that ends in NaN; three of each have a fault."""
    rate = {"trpo": "value_learning_rate", "ddpg": "q_learning_rate", "td3": "q_learning_rate"}.get(
        name, "learning_rate"
    )
    usual = getattr(algorithm(name).config(), rate)
    whole = trained(tmp_path / "whole", "none", name)
    run = trained(tmp_path / "run", "each", name, **{rate: [usual, 1e30]})
    wild = run.agent_summaries[10:]
    sane = others(run, {*OF_EACH_KIND, *range(10, 20)})
    assert sane == others(whole, OF_EACH_KIND)
    assert [status for _, status, *_ in sane] == ["finished"] * 7
    for agent, kind in OF_EACH_KIND.items():
        assert run.agent_summaries[agent]["status"] == STATUS[kind]
        assert run.agent_summaries[agent]["steps"] < 8 * 64
    assert [a["status"] for a in wild if a["seed"] not in OF_EACH_KIND] == ["diverged"] * 7
    assert all(np.isfinite(tensor).all() for tensor in run.parameters(0).values())
    rows = read_lines(run.unit_directory(0) / "metrics.jsonl")
    for last in wild:
        assert [row["steps"] for row in rows if row["agent"] == last["agent"]][-1:] in ([], [last["steps"]])
