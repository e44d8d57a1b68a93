"""Held-out variants: refused before training where they are wrong, played after it once, and told side by side."""

import json
from pathlib import Path
from shutil import copytree
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import relook
from relook.cli.grid import GridForm, form_for
from relook.cli.main import main
from relook.cli.options import parse, variants
from relook.envs import EnvironmentSpec
from relook.errors import RelookError, WrongRequest
from relook.experiments import held_out
from relook.experiments.engine import Embedded
from relook.experiments.grid import Grid, check_held_out, from_toml, play_held_out, prepare_runs, reopened
from relook.experiments.held_out import FILE, check, play, results
from relook.runs.acting import evaluate
from relook.runs.reading import Run
from relook.training import work
from relook.workers import record_failure

PENDULUM = EnvironmentSpec("Pendulum-v1", max_episode_steps=20)
TINY = "--envs 2 --horizon 16 --minibatch 16 --hidden 8 --steps 96 --evaluate-episodes 2 --workers 1"


class Told(gym.Env[Any, Any]):
    """An episode of one step, whose return is its reset seed plus a bonus."""

    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, bonus: float = 0.0, size: int = 2, fails: bool = False) -> None:
        self.bonus, self.size, self.fails = bonus, size, fails
        self.observation_space = gym.spaces.Box(-1, 1, (size,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.told = float((seed or 0) % 1000)
        return np.zeros(self.size, dtype=np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.fails:
            raise RuntimeError("it broke")
        return np.zeros(self.size, dtype=np.float32), self.told + self.bonus, True, False, {}


def told(bonus: float = 0.0, **arguments: Any) -> Told:
    return Told(bonus, **arguments)


TOLD = f"{__name__}:told"


# Before training


@pytest.mark.parametrize(
    ("spec", "variant", "said"),
    [
        (PENDULUM, {"gravity": 5.0}, "refused the arguments gravity=5.0: .*unexpected keyword argument 'gravity'"),
        (PENDULUM, {"g": 10.0}, "g=10.0 is what it is trained in"),
        (PENDULUM, {"g": 10}, "g=10 is what it is trained in"),
        (PENDULUM, {}, "no argument is what it is trained in"),
        (EnvironmentSpec("Pendulum-v1", {"g": 5.0}), {"g": 5}, "g=5 is what it is trained in"),
        (EnvironmentSpec("FrozenLake-v1"), {"map_name": "4x4"}, "map_name=4x4 is what it is trained in"),
        (
            EnvironmentSpec("FrozenLake-v1"),
            {"map_name": "8x8"},
            "observations of 16 numbers .* it has observations of 64",
        ),
        (PENDULUM, {"g": "much"}, "with g=much it fails: TypeError"),
        (EnvironmentSpec(TOLD), {"bonus": 0}, "bonus=0 is what it is trained in"),
        (EnvironmentSpec(TOLD), {"size": 3}, "observations of 2 numbers .* it has observations of 3"),
        (EnvironmentSpec(TOLD), {"fails": True}, "with fails=True it fails: RuntimeError: it broke; leave it out"),
    ],
)
def test_a_wrong_variant_is_refused(spec: EnvironmentSpec, variant: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongRequest, match=said):
        check(spec, [variant])


def test_other_variants_are_not_refused() -> None:
    check(PENDULUM, [{"g": 5.0}, {"g": 15.0}, {"g": 5.0, "render_mode": None}])
    check(EnvironmentSpec("Pendulum-v1", {"g": 5.0}), [{"g": 10.0}])
    check(EnvironmentSpec("FrozenLake-v1"), [{"is_slippery": False}])
    check(EnvironmentSpec(TOLD, {"bonus": 1.0}), [{"bonus": 0.0}])
    with pytest.raises(WrongRequest, match="different variants of Pendulum-v1; found g=5 twice"):
        check(PENDULUM, [{"g": 5.0}, {"g": 5}])


def test_nothing_is_trained_before_variants_are_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "g"
    words = ["grid", "ppo", "--env", "Pendulum-v1", *TINY.split(), "--out", str(out), "--held-out-env-arg"]
    for variant in ("g=5,gravity=2", "g=10", "g"):
        assert main([*words, variant]) == 2
        assert capsys.readouterr().err.startswith("relook: ")
    assert not out.exists()
    assert main([*words, "g=5", "--evaluate-episodes", "0"]) == 2
    assert "expected episodes to evaluate held-out variants with" in capsys.readouterr().err
    with pytest.raises(WrongRequest, match="g=10 is what it is trained in"):
        relook.grid(["ppo"], ["Pendulum-v1"], held_out=[{"g": 10}], out=out)
    assert not out.exists()


# How they are asked for


def test_each_word_is_a_variant() -> None:
    assert variants(["g=5", "g=15,length=[1,2],name=a"]) == [{"g": 5}, {"g": 15, "length": [1, 2], "name": "a"}]
    words = "--env Pendulum-v1 --held-out-env-arg g=5 --seeds 2 --held-out-env-arg g=15 g=20"
    form = parse(form_for(["ppo"]), "grid ppo", words.split())
    assert isinstance(form, GridForm)
    assert form.held_out_env_arg == ("g=5", "g=15", "g=20")


FILE_OF_A_GRID = """
algorithms = ["ppo"]
environments = [{name = "Pendulum-v1", held_out = [{g = 15.0}]}, "Pendulum-v1"]
held_out = [{g = 5.0}]
"""


def test_a_file_has_variants_of_all_environments_and_of_one(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(FILE_OF_A_GRID)
    grid = from_toml(path)
    assert grid.held_out == [[{"g": 5.0}, {"g": 15.0}], [{"g": 5.0}]]
    assert grid.environments[0] == grid.environments[1]
    for wrong in ("[5.0]", "[{}]", "{g = 5.0}", "[{g = 2020-01-01}]"):
        path.write_text(FILE_OF_A_GRID.replace("held_out = [{g = 5.0}]", f"held_out = {wrong}"))
        with pytest.raises(WrongRequest, match=r"study.toml; "):
            from_toml(path)


def test_variants_are_those_of_their_environment() -> None:
    environments = [EnvironmentSpec("Pendulum-v1"), EnvironmentSpec("CartPole-v1")]
    grid = Grid({"ppo": {}, "vpg": {}}, environments, [0], 96, held_out=[[{"g": 5.0}], []])
    of_pendulum = [{"g": 5.0}]
    assert grid.variants() == {
        "ppo-Pendulum-v1": of_pendulum,
        "ppo-CartPole-v1": [],
        "vpg-Pendulum-v1": of_pendulum,
        "vpg-CartPole-v1": [],
    }
    check_held_out(grid)
    with pytest.raises(WrongRequest, match="for each of 2 environments; found 1"):
        Grid({"ppo": {}}, environments, [0], 96, held_out=[[{"g": 5.0}]]).variants()


# After training


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid of one run, trained and played in two variants."""
    out = tmp_path_factory.mktemp("held-out") / "g"
    small: dict[str, Any] = {"envs": [2], "horizon": [16], "minibatch": [16], "hidden": [(8,)]}
    held_out = [[{"bonus": 7}, {"bonus": -3}]]
    grid = Grid({"ppo": small}, [EnvironmentSpec(TOLD)], [0, 1], 96, evaluate_episodes=2, held_out=held_out)
    [(run, spec)] = prepare_runs(grid, out, 1)
    work(run, 0, spec)
    play_held_out(grid, [Run(run.path)])
    return out


@pytest.fixture
def finished(trained: Path, tmp_path: Path) -> Run:
    """The same for a test of its own."""
    copytree(trained, tmp_path / "g")
    return Run(tmp_path / "g" / f"ppo-{TOLD.replace(':', '-')}")


def test_every_agent_plays_the_same_episodes_everywhere(finished: Run) -> None:
    found = results(finished)
    assert [(t.agent.agent, t.variant, t.episodes) for t in found] == [
        (0, {"bonus": 7}, 2),
        (1, {"bonus": 7}, 2),
        (0, {"bonus": -3}, 2),
        (1, {"bonus": -3}, 2),
    ]
    assert [t.held_out - t.trained_in for t in found] == [7, 7, -3, -3], "returns tell the reset seeds"
    assert found[0].trained_in != found[1].trained_in
    own = {row["mean_return"] for row in lines(finished.path / "units" / "0" / "evaluations.jsonl")}
    assert not {t.trained_in for t in found} & own, "fresh ones: not those of the run's own evaluations"


def test_what_is_kept_is_not_played_again_and_what_is_missing_is(
    finished: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = finished.path / FILE
    whole = path.read_text()
    before = lines(path)
    path.write_text(whole[: len(whole) // 2])  # killed in the middle of a line
    assert main(["grid", str(finished.path.parent), "--workers", "1"]) == 0
    assert sorted(lines(path), key=json.dumps) == sorted(before, key=json.dumps)
    assert "bonus=7" in capsys.readouterr().out
    monkeypatch.setattr(held_out, "evaluate", None)
    play(finished, EnvironmentSpec(TOLD), [{"bonus": -3}, {"bonus": 7}], 2)
    with pytest.raises(TypeError):
        play(finished, EnvironmentSpec(TOLD), [{"bonus": 9}], 2)


def test_agents_that_stopped_do_not_play(finished: Run) -> None:
    (finished.path / FILE).unlink()
    with (finished.path / "units" / "0" / "events.jsonl").open("a") as events:
        events.write('{"event": "stopped", "agent": 0, "status": "diverged", "reason": "made up", "steps": 64}\n')
    play(finished, EnvironmentSpec(TOLD), [{"bonus": 7}], 2)
    assert [t.agent.agent for t in results(finished)] == [1]


def test_more_episodes_or_steps_are_played_anew(finished: Run) -> None:
    play(finished, EnvironmentSpec(TOLD), [{"bonus": 7}], 3)
    assert {t.episodes for t in results(finished) if t.variant == {"bonus": 7}} == {3}
    record = json.loads((finished.path / "run.json").read_text())
    (finished.path / "run.json").write_text(json.dumps({**record, "steps": 1000}))
    assert results(Run(finished.path)) == []


def test_the_report_has_both_columns(finished: Run, capsys: pytest.CaptureFixture[str]) -> None:
    (finished.path / FILE).unlink()
    assert main(["grid", str(finished.path.parent), "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert "mean return of 2 fresh deterministic episodes" in " ".join(said.split())
    for words in ("trained in", "held out", "gap", "bonus=7", "bonus=-3", "−7.000 ± 0.000", "3.000 ± 0.000"):
        assert words in " ".join(said.split()), words
    assert main(["compare", str(finished.path.parent), "--json"]) == 0
    assert reopened(finished.path.parent).held_out == [[{"bonus": 7}, {"bonus": -3}]]


def test_other_variants_are_another_grid(finished: Run) -> None:
    record = json.loads((finished.path.parent / "grid.json").read_text())
    with pytest.raises(WrongRequest, match=r"its held_out is \[\[\{\"bonus\": 7\}"):
        prepare_runs(
            Grid(
                {"ppo": record["algorithms"]["ppo"]},
                [EnvironmentSpec(TOLD)],
                [0, 1],
                96,
                {},
                2,
                held_out=[[{"bonus": 8}]],
            ),
            finished.path.parent,
            1,
        )


@pytest.mark.parametrize(
    "line",
    [
        '{"agent": 0}',
        '{"agent": 0, "steps": 96, "changed": [1], "returns": [1]}',
        '{"agent": 0, "steps": 96, "changed": {}, "returns": []}',
        "[1]",
        "{",
    ],
)
def test_a_damaged_file_is_told(finished: Run, line: str) -> None:
    (finished.path / FILE).write_text(line + "\n")
    with pytest.raises(RelookError, match=r"held-out\.jsonl"):
        results(finished)


def test_agents_that_did_not_finish_do_not_play(
    tmp_path: Path, work_here: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two runs one fails: the other one's agents play all the same, and the exit status says that some failed."""
    from relook import training

    done = training.work

    def fails_at_vpg(run: Run, unit: int, *rest: Any) -> None:
        if run.algorithm == "vpg" and ".smoke" not in run.path.parts:
            record_failure(run, unit, "RuntimeError: no luck")
            raise RuntimeError("no luck")
        done(run, unit, *rest)

    monkeypatch.setattr(training, "work", fails_at_vpg)
    words = ["grid", "ppo", "vpg", "--env", TOLD, "--seeds", "1", *TINY.split(), "--minibatch", "16"]
    assert main([*words, "--out", str(tmp_path / "g"), "--held-out-env-arg", "bonus=7"]) == 1
    said = capsys.readouterr()
    assert "bonus=7" in said.out
    assert "no luck" in said.err
    assert len(results(Run(tmp_path / "g" / f"ppo-{TOLD.replace(':', '-')}"))) == 1
    assert not [*(tmp_path / "g").glob(f"vpg-*/{FILE}")]


def test_from_python(tmp_path: Path, work_here: None) -> None:
    asked: dict[str, Any] = {"seeds": 2, "steps": 96, "evaluate_episodes": 1, "hidden": (8,), "envs": 2, "horizon": 16}
    [run] = relook.grid(
        ["ppo"],
        [EnvironmentSpec("Pendulum-v1", max_episode_steps=20)],
        minibatch=16,
        learning_rate=[1e-3, 1e-2],
        held_out=[{"g": 5.0}],
        out=tmp_path / "g",
        engine=Embedded(1),
        **asked,
    )
    assert [t.agent.agent for t in results(run)] == [0, 1, 2, 3]
    assert all(t.trained_in != t.held_out for t in results(run))
    whole = dict(evaluate(run, PENDULUM, 2))
    assert dict(evaluate(run, PENDULUM, 2, only={1, 3})) == {agent: whole[agent] for agent in (1, 3)}
    assert len({tuple(returns) for returns in whole.values()}) == 4
