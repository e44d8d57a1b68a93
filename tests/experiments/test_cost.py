"""What units were measured to need is remembered."""

from pathlib import Path

import psutil
import pytest

from relook.envs import EnvironmentSpec
from relook.errors import RelookError, WrongRequest
from relook.experiments.cost import MEMORY, measure, measured_memory
from relook.experiments.engine import Embedded
from relook.experiments.grid import Grid, left, prepare_runs
from support import OFF_POLICY, SMALL


def test_units_know_the_memory_that_they_were_measured_to_need(tmp_path: Path, work_here: None) -> None:
    asked = Grid({"ppo": SMALL | {"hidden": [(8,), (16,)]}}, [EnvironmentSpec("CartPole-v1")], [0], 64)
    there = prepare_runs(asked, tmp_path / "g", 2)
    [(run, _)] = there
    assert measured_memory(run) == {}
    assert [task.memory for task in left(there)] == [0, 0]
    found = measure(there, tmp_path / "g", Embedded(1))
    assert measured_memory(run) == {cost.unit: int(cost.memory) for cost in found.units}
    assert {task.unit: task.memory for task in left(there)} == measured_memory(run)
    assert min(measured_memory(run).values()) > 2**20


@pytest.mark.parametrize("damage", ['{"0": "much"}', '{"first": 3}', '{"0": null}', "[]", "{"])
def test_a_damaged_measurement_is_refused(tmp_path: Path, damage: str) -> None:
    asked = Grid({"ppo": SMALL}, [EnvironmentSpec("CartPole-v1")], [0], 64)
    [(run, _)] = there = prepare_runs(asked, tmp_path / "g", 1)
    (run.path / MEMORY).write_text(damage)
    with pytest.raises(RelookError, match=rf"expected .*{MEMORY}"):
        left(there)


def test_the_memory_of_this_machine_is_no_matter_to_what_trains_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Little:
        available = 1000

    monkeypatch.setattr(psutil, "virtual_memory", Little)
    asked = Grid({"dqn": OFF_POLICY | {"target_interval": [16]}}, [EnvironmentSpec("CartPole-v1")], [0], 64)
    with pytest.raises(WrongRequest, match="expected a replay that fits"):
        prepare_runs(asked, tmp_path / "here", 1)
    [(run, _)] = prepare_runs(asked, tmp_path / "elsewhere", 1, here=False)
    assert run.record["replay_bytes"] > 1000
