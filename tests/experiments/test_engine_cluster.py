"""Ray for real: a cluster of three nodes on this machine, whose nodes are killed while a grid trains."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import psutil
import pytest

from relook.envs import EnvironmentSpec
from relook.experiments import engine
from relook.experiments.engine import Embedded, Ray
from relook.experiments.grid import Grid, check_ended, left, prepare_runs
from relook.experiments.node import SHARED
from relook.experiments.shipping import Receiver
from relook.runs.reading import Run
from relook.training import Request, prepare
from relook.workers import Task
from support import SMALL

SLOW = """
import time
import gymnasium as gym

class Slow(gym.Wrapper):
    def step(self, action):
        time.sleep(0.0005)
        return self.env.step(action)

def cart_pole():
    return Slow(gym.make("CartPole-v1", max_episode_steps=50))
"""
"""A module of a user's: an environment that takes its time, so that there is some to kill a node in."""

GRID = Grid(
    {"ppo": SMALL | {"learning_rate": [1e-3, 3e-3, 1e-2]}},
    [EnvironmentSpec("slowly:cart_pole")],
    seeds=[3, 1],
    steps=2_048,
    evaluate_episodes=1,
    checkpoint_every=256,
)


class Cluster:
    """A head and two nodes, with a processor each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as Nodes

        self._each = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80 * 2**20}
        self._nodes: Any = Nodes(initialize_head=True, head_node_args=self._each | {"include_dashboard": False})
        self.address = str(self._nodes.address)

    def fill(self) -> None:
        """Add nodes until there are three."""
        while len(self._nodes.worker_nodes) < 2:
            self._nodes.add_node(wait=False, **self._each)
        self._nodes.wait_for_nodes()

    def kill(self, node: str) -> list[psutil.Process]:
        """Kill the raylet and the workers of a node, which is not the head's; returns what they leave behind."""
        [found] = [each for each in self._nodes.worker_nodes if f"({each.node_id[:8]})" in node]
        raylet = psutil.Process(found.all_processes["raylet"][0].process.pid)
        own, all_ = raylet.children(), raylet.children(recursive=True)
        raylet.kill()
        for process in own:
            process.kill()
        self._nodes.worker_nodes.discard(found)
        return [process for process in all_ if process not in own]

    def is_head(self, node: str) -> bool:
        return f"({self._nodes.head_node.node_id[:8]})" in node

    def close(self) -> None:
        self._nodes.shutdown()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    engine._keep_to_ourselves()
    modules = tmp_path_factory.mktemp("modules")
    (modules / "slowly.py").write_text(SLOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("PYTHONPATH", str(modules))  # the nodes'
        patch.syspath_prepend(modules)
        cluster = Cluster()
        yield cluster
        cluster.close()


def rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    return [{"run": run.path.name, **summary} for run in runs for summary in Run(run.path).agent_summaries]


@pytest.fixture(scope="module")
def embedded(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """How every agent ends in processes of this machine."""
    there = prepare_runs(GRID, tmp_path_factory.mktemp("embedded") / "g", 3)
    Embedded(3).carry_out(left(there), lambda: None)
    return rows([run for run, _ in there])


def node_of(run: Run, unit: int) -> str:
    """Where a unit trained last, as its log says."""
    said = (run.unit_directory(unit) / "worker.log").read_text().splitlines()
    return [line for line in said if line.startswith("on node ")][-1]


class Killer:
    """Watches a grid, and kills a node once: when a unit there has a checkpoint and has not ended."""

    def __init__(self, cluster: Cluster, runs: Sequence[Run]) -> None:
        self.cluster, self.runs = cluster, runs
        self.killed: tuple[Run, int] | None = None
        self.left: list[psutil.Process] = []

    def __call__(self) -> None:
        for run in self.runs:
            for unit in run.units:
                points = list(run.unit_directory(unit).glob("checkpoints/*/manifest.json"))
                if self.killed is None and points and not run.has_ended(unit):
                    node = node_of(run, unit)
                    if not self.cluster.is_head(node):
                        self.killed, self.left = (run, unit), self.cluster.kill(node)


@pytest.mark.parametrize("storage", ["auto", "objects"])
def test_a_grid_whose_node_is_killed_is_the_grid_of_the_embedded_engine(
    cluster: Cluster,
    embedded: list[dict[str, Any]],
    storage: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster.fill()
    ray = Ray(cluster.address, storage=storage)
    assert ray.workers == 3
    there = prepare_runs(GRID, tmp_path / "g", 3)
    runs = [run for run, _ in there]
    killer = Killer(cluster, runs)
    try:
        ray.carry_out(left(there), killer)
    finally:
        ray.close()
    assert killer.killed, "every unit had ended before it could lose its node"
    run, unit = killer.killed
    assert f"died; unit {unit} of {run.path.name} goes on from its newest checkpoint" in capsys.readouterr().err
    assert run.unit_events(unit)["resumed"]["steps"] >= 256
    check_ended(runs, tmp_path / "g")
    assert rows(runs) == embedded
    assert len(embedded) == 6
    assert len({row["parameters_sha256"] for row in embedded}) == 6
    assert psutil.wait_procs(killer.left, timeout=10)[1] == [], "what a killed node leaves behind ends by itself"
    assert not [*(tmp_path / "g").rglob(SHARED)]


def test_what_fails_on_a_cluster_is_told_and_the_rest_is_finished(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gym.register("OnlyHere-v0", "gymnasium.envs.classic_control.cartpole:CartPoleEnv")
    cart, here = EnvironmentSpec("CartPole-v1"), EnvironmentSpec("OnlyHere-v0")
    wrong = {"learning_rate": [float("inf")]}  # its parameters are no numbers after the first update
    asked = {"good": (cart, {}), "missing": (here, {}), "other": (cart, {}), "full": (cart, {}), "bad": (cart, wrong)}
    tasks = {}
    for name, (spec, changed) in asked.items():
        run = prepare(Request("ppo", spec, (0,), 64, SMALL | changed, 0, tmp_path / name), workers=1)
        tasks[name] = Task(run, 0, spec)
    tasks["other"].run.record["versions"]["torch"] = "1.0"
    take = Receiver.take

    def full(self: Receiver, pieces: Any, gone: Any) -> None:
        if "full" in self.directory.parts:
            raise OSError(28, "No space left on device")
        take(self, pieces, gone)

    monkeypatch.setattr(Receiver, "take", full)
    ray = Ray(cluster.address, storage="objects")
    try:
        ray.carry_out([*tasks.values()], lambda: None)
    finally:
        ray.close()
    events = {name: task.run.unit_events(0) for name, task in tasks.items()}
    why = {name: event["failed"]["error"] for name, event in events.items() if "failed" in event}
    assert set(why) == {"missing", "other", "full"}
    assert "finished" in events["good"]
    assert "stopped" in events["bad"]
    assert "OnlyHere" in why["missing"]
    assert "; on node 127.0.0.1 (" in why["missing"]
    assert why["other"].startswith("expected torch 1.0 on node 127.0.0.1 (")
    assert "No space left on device; make room" in why["full"]


def test_a_ray_of_our_own_listens_on_loopback_only_and_is_stopped_in_the_end(tmp_path: Path) -> None:
    run = prepare(Request("ppo", EnvironmentSpec("CartPole-v1"), (0, 1), 64, SMALL, 0, tmp_path / "run"), workers=2)
    ray = Ray(workers=2)
    before = set(psutil.Process().children(recursive=True))
    try:
        assert ray.workers == 2
        own = set(psutil.Process().children(recursive=True)) - before
        listening = [
            connection.laddr.ip
            for process in [psutil.Process(), *own]
            for connection in process.net_connections()
            if connection.status == psutil.CONN_LISTEN
        ]
        assert len(listening) > 3
        assert {address.removeprefix("::ffff:") for address in listening} <= {"127.0.0.1", "::1"}
        ray.carry_out([Task(run, unit, EnvironmentSpec("CartPole-v1")) for unit in run.units], lambda: None)
    finally:
        ray.close()
    assert [run.has_ended(unit) for unit in run.units] == [True, True]
    end = time.monotonic() + 10
    while time.monotonic() < end and any(process.is_running() for process in own):
        time.sleep(0.1)
    assert not [process for process in own if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
