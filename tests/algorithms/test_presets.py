"""Presets are ours for a family of tasks, or somebody else's: complete, valid, and overruled by what is asked for."""

from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from relook.algorithms import ALGORITHMS, algorithm
from relook.cli.main import main
from relook.envs import ActionSpace
from relook.errors import WrongRequest
from relook.population.hyperparameters import check
from relook.runs.reading import Run

QUICK = "--env Pendulum-v1 --seeds 1 --steps 64 --horizon 64 --epochs 1 --evaluate-episodes 0"


@pytest.mark.parametrize(("name", "preset"), [(name, p) for name, known in ALGORITHMS.items() for p in known.presets])
def test_a_presets_values_are_valid_and_differ_from_ours(name: str, preset: str) -> None:
    known = algorithm(name)
    values = known.presets[preset].hyperparameters
    check(known.config, values)
    known.config(**values).check()
    assert all(getattr(known.config(), field) != value for field, value in values.items())
    assert (preset == "mujoco") == (not known.presets[preset].differences)  # ours differ from no source


def test_a_preset_is_taken_and_an_option_wins_even_if_it_is_our_default(tmp_path: Path, work_here: None) -> None:
    words = [*QUICK.split(), "--preset", "sb3", "--learning-rate", "1e-3", "--out", str(tmp_path / "run")]
    assert main(["train", "ppo", *words]) == 0
    run = Run(tmp_path / "run")
    values = run.agents[0].hyperparameters
    assert (values["learning_rate"], values["discount"], values["horizon"]) == (1e-3, 0.99, 64)
    assert run.record["preset"] == "sb3"
    assert not run.environment().rescale_actions


def test_an_unknown_preset_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "ppo", "--env", "CartPole-v1", "--preset", "mine"]) == 2
    assert "expected a preset of ppo among mujoco, sb3, cleanrl" in capsys.readouterr().err
    with pytest.raises(WrongRequest, match="found 'mine'"):
        algorithm("ppo").preset("mine")


def test_without_rescaling_an_action_is_in_the_environments_units_and_cut_to_its_bounds() -> None:
    space = ActionSpace(spaces.Box(np.array([-2.0, 0.0]), np.array([2.0, 10.0]), dtype=np.float64), rescale=False)
    asked = np.array([[1.0, 5.0], [3.0, -1.0]])
    assert space.to_environment(asked).tolist() == [[1.0, 5.0], [2.0, 0.0]]
    assert (space.middle.tolist(), space.half.tolist()) == ([0.0, 5.0], [2.0, 5.0])
