"""The command line's contract: what it prints, what it writes, and how it says no."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import relook
from relook.cli.main import main
from relook.population import reset_seed
from relook.runs.reading import Run

SIZES = "--seeds 2 --envs 2 --horizon 64 --minibatch 64 --steps 256 --evaluate-episodes 1 --workers 1 --hidden 8"
QUICK = ["train", "ppo", "--env", "CartPole-v1", *SIZES.split()]


class Sequences(gym.Env[Any, Any]):
    """Its observations are no vectors."""

    observation_space = spaces.Sequence(spaces.Discrete(2))
    action_space = spaces.Discrete(2)


class WholeNumbers(gym.Env[Any, Any]):
    """Its actions are whole numbers in a box."""

    observation_space = spaces.Box(0, 1, (2,), np.float32)
    action_space = spaces.Box(0, 5, (2,), np.int32)


class Failing(gym.Wrapper[Any, Any, Any, Any]):
    """CartPole, but in seed 0's second training environment the whole process ends at step 5."""

    def __init__(self) -> None:
        super().__init__(gym.make("CartPole-v1"))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.steps_left = 5 if seed == reset_seed(0, "train", 1, 0) else 10**9
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.steps_left -= 1
        if self.steps_left == 0:
            sys.exit("the pole is broken")
        return super().step(action)


class Infinite(gym.RewardWrapper[Any, Any]):
    """CartPole with rewards that are no numbers to learn from."""

    def __init__(self) -> None:
        super().__init__(gym.make("CartPole-v1", max_episode_steps=10))

    def reward(self, reward: Any) -> float:
        return float("inf")


def no_environment() -> int:
    return 3


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def call(*words: str | Path) -> int:
    """Exit status of one command in this process."""
    try:
        return main([str(word) for word in words])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else -1


def assert_refused(capsys: pytest.CaptureFixture[str], words: list[Any], said: str, status: int = 2) -> None:
    """One sentence on stderr, nothing on stdout."""
    assert call(*words) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("relook: ")
    assert err.count("\n") == 1
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "'trian'"),
        (["train", "pop"], "found 'pop'"),
        (["show", "nothing"], "no run.json in nothing"),
        (["plot", "nothing"], "no run.json in nothing"),
        (["plot"], "at least one run"),
        (["evaluate", "nothing"], "no run.json in nothing"),
    ],
)
def test_a_wrong_verb_or_directory_is_refused(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert_refused(capsys, words, said)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--env Nonsense-v1", "'Nonsense-v1'"),
        ("--env CartPole-v0", "use CartPole-v1"),
        ("--env HalfCheetah-v2", "use HalfCheetah-v5"),
        ("--env CartPole", "use CartPole-v1"),
        (f"--env {__name__}:Sequences", "expected an observation space that can be flattened"),
        (f"--env {__name__}:WholeNumbers", "expected actions of kind Discrete"),
        (f"--env {__name__}:nothing", "nothing"),
        (f"--env {__name__}:no_environment", "no_environment"),
        ("--env no_such_module:thing", "'no_such_module'"),
        ("--env math:sqrt", "math:sqrt"),
        ("--env :CartPole-v1", ":CartPole-v1"),
        ("--env-arg is_slippery", "KEY=VALUE"),
        ("--env-arg =3", "KEY=VALUE"),
        ("--env-arg nonsense=3", "nonsense=3"),
        ("--max-episode-steps 0", "at least 1; found 0"),
        ("--reset-seed never", "'never'"),
        ("--seeds 0", "--seeds 0"),
        ("--first-seed -1", "found -1"),
        ("--workers 0", "at least one worker"),
        ("--evaluate-episodes -1", "found -1"),
        ("--steps 127", "at least 128 steps"),
        ("--learning-rate 0", "learning_rate above 0; found 0"),
        ("--learning-rate 0.001 -1", "learning_rate above 0; found -1"),
        ("--learning-rate nan", "learning_rate above 0; found nan"),
        ("--discount 1.5", "discount at least 0 and at most 1; found 1.5"),
        ("--discount 0.9 0.9", "different values of discount"),
        ("--hidden 8 8", "different values of hidden"),
        ("--hidden 8,x", "'8,x'"),
        ("--hidden 8,0", "hidden at least 1; found 0"),
        ("--minibatch 129", "at most 128 samples"),
        ("--envs 2 1 --minibatch 65", "at most 64 samples"),
    ],
)
def test_a_wrong_request_to_train_is_refused_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, options: str, said: str
) -> None:
    assert_refused(capsys, [*QUICK, *options.split(), "--out", tmp_path / "run"], said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*QUICK, "--lerning-rate", "1e-3"], "--lerning-rate"),
        ([*QUICK, "--learning-rate", "fast"], "fast"),
        ([*QUICK, "--activation", "cubic"], "cubic"),
        (["train", "ppo"], "--env"),
        (["show"], "PATH"),
    ],
)
def test_words_that_do_not_parse_end_with_status_2_and_a_hint(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert call(*words) == 2
    out, err = capsys.readouterr()
    assert (out, said in err, "Traceback" in err) == ("", True, False)


def test_out_must_be_new_and_possible(capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_run: Run) -> None:
    before = sorted(tiny_run.path.iterdir())
    assert_refused(capsys, [*QUICK, "--out", tiny_run.path], "exists already")
    assert sorted(tiny_run.path.iterdir()) == before
    (tmp_path / "file").write_text("mine")
    assert_refused(capsys, [*QUICK, "--out", tmp_path / "file"], "exists already")
    assert_refused(capsys, [*QUICK, "--out", tmp_path / "file" / "below"], "Not a directory; choose another --out")
    assert (tmp_path / "file").read_text() == "mine"


def test_wrong_requests_about_a_run_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_run: Run
) -> None:
    run = tiny_run.path
    assert_refused(capsys, ["plot", run, "--out", tmp_path / "missing" / "x.png"], "there is no directory")
    assert_refused(capsys, ["plot", run, "--out", tmp_path / "x.jpg"], "end in .png, .svg, .pdf; found x.jpg")
    assert_refused(capsys, ["evaluate", run, "--episodes", "0"], "--episodes 0")
    assert_refused(capsys, ["evaluate", run, "--env-arg", "nonsense=1"], "nonsense=1")
    assert_refused(capsys, ["evaluate", run, "--env", "CartPole-v0"], "use CartPole-v1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("env", ["Acrobot-v1", "Pendulum-v1"])
def test_evaluating_in_other_spaces_is_a_wrong_request(
    capsys: pytest.CaptureFixture[str], tiny_run: Run, env: str
) -> None:
    assert_refused(capsys, ["evaluate", tiny_run.path, "--env", env], "expected")


def test_a_record_that_names_code_must_be_repeated(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_run: Run
) -> None:
    record = json.loads((tiny_run.path / "run.json").read_text())
    record["environment"]["name"] = "trap_module:function"
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert_refused(capsys, ["evaluate", tmp_path], "--env trap_module:function")


def test_damage_is_a_failure_and_not_a_wrong_request(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    assert_refused(capsys, ["show", tmp_path], "run.json to be JSON", status=1)


def test_debug_shows_the_whole_error() -> None:
    with pytest.raises(relook.errors.WrongRequest):
        main(["--debug", "nonsense"])


def test_train_ends_with_a_table_and_what_to_do_next(tiny_training: tuple[Path, int, str]) -> None:
    path, status, printed = tiny_training
    assert status == 0
    assert all(word in printed for word in ("ppo on CartPole-v1", "mean", "IQM", "95 % interval", "worst"))
    assert all(f"relook {verb} {path}" in " ".join(printed.split()) for verb in ("show", "plot", "evaluate"))
    assert (path / "units" / "0" / "worker.log").read_text() == ""


def test_train_says_how_many_steps_whole_iterations_make(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, work_here: None
) -> None:
    assert call(*QUICK, "--steps", "300", "--out", tmp_path / "run") == 0
    out, err = capsys.readouterr()
    assert {summary["steps"] for summary in Run(tmp_path / "run").agent_summaries} == {256}
    assert "256" in out.replace(str(tmp_path), "") + err


def test_show_describes_the_run(capsys: pytest.CaptureFixture[str], tiny_run: Run) -> None:
    assert call("show", tiny_run.path) == 0
    out, err = capsys.readouterr()
    assert err == ""
    digests = [summary["parameters_sha256"][:12] for summary in tiny_run.agent_summaries]
    for said in ("ppo on CartPole-v1", "finished", "512 steps", "numerics exact", "replay exact", *digests):
        assert said in out


def test_show_json_keeps_the_contract(capsys: pytest.CaptureFixture[str], tiny_run: Run) -> None:
    assert call("show", tiny_run.path, "--json") == 0
    shown = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    keys = {"agent", "seed", "hyperparameters", "status", "steps", "final_return", "parameters_sha256"}
    assert [keys <= set(agent) for agent in shown["agents"]] == [True, True]
    final = tiny_run.evaluations.filter(deterministic=True, steps=512).sort("agent")["mean_return"].to_list()
    assert [(a["agent"], a["seed"], a["status"], a["steps"], a["final_return"]) for a in shown["agents"]] == [
        (0, 0, "finished", 512, final[0]),
        (1, 1, "finished", 512, final[1]),
    ]
    assert shown["agents"][0]["hyperparameters"]["minibatch"] == 64
    assert {len(agent["parameters_sha256"]) for agent in shown["agents"]} == {64}


def evaluated(capsys: pytest.CaptureFixture[str], run: Path, *options: str) -> dict[str, Any]:
    assert call("evaluate", run, "--json", "--episodes", "3", *options) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [(agent["agent"], agent["seed"], len(agent["returns"])) for agent in result["agents"]] == [
        (0, 0, 3),
        (1, 1, 3),
    ]
    return result


def test_evaluate_plays_fresh_episodes(capsys: pytest.CaptureFixture[str], tiny_run: Run) -> None:
    result = evaluated(capsys, tiny_run.path)
    assert evaluated(capsys, tiny_run.path) == result
    assert (result["environment"], result["stochastic"]) == ("CartPole-v1", False)
    drawn = evaluated(capsys, tiny_run.path, "--stochastic")
    assert drawn["stochastic"] is True
    assert drawn["agents"] != result["agents"]


def test_evaluate_prints_a_table(capsys: pytest.CaptureFixture[str], tiny_run: Run) -> None:
    assert call("evaluate", tiny_run.path, "--episodes", "2", "--stochastic") == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("CartPole-v1", "mean return of 2 stochastic episodes", "IQM", "worst"))


def test_evaluate_can_change_the_environment(capsys: pytest.CaptureFixture[str], tiny_run: Run) -> None:
    changed = evaluated(capsys, tiny_run.path, "--env-arg", "sutton_barto_reward=true")
    assert changed["arguments"] == {"sutton_barto_reward": True}
    # This reward is 0 while the pole stands and -1 when it falls.
    assert {value for agent in changed["agents"] for value in agent["returns"]} <= {0.0, -1.0}
    short = evaluated(capsys, tiny_run.path, "--max-episode-steps", "5")
    assert [agent["returns"] for agent in short["agents"]] == [[5.0] * 3] * 2


def test_several_values_multiply_the_agents_and_structural_ones_split_the_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, work_here: None
) -> None:
    run = tmp_path / "run"
    values = ["--learning-rate", "1e-3", "3e-4", "--hidden", "8", "4,4"]
    assert call(*QUICK, *values, "--first-seed", "5", "--out", run) == 0
    out = capsys.readouterr().out
    agents = Run(run).agents
    settings = [(a.hyperparameters["learning_rate"], tuple(a.hyperparameters["hidden"]), a.seed) for a in agents]
    assert sorted(settings) == sorted(
        (rate, hidden, seed) for rate in (1e-3, 3e-4) for hidden in ((8,), (4, 4)) for seed in (5, 6)
    )
    units = {unit: {tuple(a.hyperparameters["hidden"]) for a in agents if a.unit == unit} for unit in (0, 1)}
    assert sorted(units.values(), key=str) == [{(4, 4)}, {(8,)}]
    assert [a["status"] for a in Run(run).agent_summaries] == ["finished"] * 8
    assert all(
        f"learning_rate={rate}, hidden={hidden}" in out for rate in ("0.001", "0.0003") for hidden in ("8", "4,4")
    )
    assert call("plot", run) == 0
    assert (run / "learning-curves.png").is_file()


def test_infinite_rewards_stop_the_agent_and_are_valid_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, work_here: None
) -> None:
    assert call(*QUICK, "--env", f"{__name__}:Infinite", "--seeds", "1", "--out", tmp_path / "run") == 1
    capsys.readouterr()
    assert call("show", tmp_path / "run", "--json") == 0
    shown = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (shown["agents"][0]["status"], shown["agents"][0]["final_return"]) == ("diverged", None)


def test_agents_cannot_be_evaluated_where_rewards_are_infinite(
    capsys: pytest.CaptureFixture[str], tiny_run: Run
) -> None:
    assert call("evaluate", tiny_run.path, "--env", f"{__name__}:Infinite", "--episodes", "1") == 1
    assert "agent 0 cannot be evaluated in test_cli:Infinite: its environment's reward is" in capsys.readouterr().err


def test_arguments_and_limits_of_the_environment_are_recorded_and_used(tmp_path: Path, work_here: None) -> None:
    out = tmp_path / "run"
    words = ["--env", "FrozenLake-v1", "--env-arg", "is_slippery=false", "--max-episode-steps", "7", "--seeds", "1"]
    assert call(*QUICK, *words, "--out", out) == 0
    run = Run(out)
    spec = run.environment()
    assert (spec.name, spec.arguments, spec.max_episode_steps) == ("FrozenLake-v1", {"is_slippery": False}, 7)
    assert run.episodes["length"].max() == 7


def test_without_out_runs_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work_here: None) -> None:
    monkeypatch.chdir(tmp_path)
    assert [call(*QUICK, "--seeds", "1", "--steps", "128", "--evaluate-episodes", "0") for _ in range(2)] == [0, 0]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["ppo-CartPole-v1", "ppo-CartPole-v1-2"]


def test_a_worker_that_ends_is_named_and_the_other_units_are_whole(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # The first unit has the second environment in which the pole breaks; the other has one environment only.
    out, env = tmp_path / "run", f"{__name__}:Failing"
    assert call(*QUICK, "--env", env, "--envs", "2", "1", "--out", out) == 1
    err = capsys.readouterr().err
    log = out / "units" / "0" / "worker.log"
    assert err.startswith("relook: 1 of 2 units")
    assert "the worker ended with status 1" in err
    assert str(log) in err
    assert "Traceback" not in err
    assert "the pole is broken" in log.read_text()
    statuses = [(agent["status"], agent["parameters_sha256"] is None) for agent in Run(out).agent_summaries]
    assert statuses == [("crashed", True)] * 2 + [("finished", False)] * 2
    capsys.readouterr()
    assert call("show", out) == 0
    assert "crashed: 2 of 4 agents (0, 1)" in capsys.readouterr().out


def test_what_only_looks_does_not_import_torch(tiny_run: Run) -> None:
    program = (
        "import sys\n"
        "from relook.cli.main import main\n"
        f"statuses = [main(words) for words in (['show', {str(tiny_run.path)!r}], ['algorithms'], ['--version'])]\n"
        "sys.exit(3 if 'torch' in sys.modules else max(statuses))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"relook {relook.__version__}" in result.stdout


def test_the_module_runs_as_the_command() -> None:
    command = [sys.executable, "-m", "relook.cli", "nonsense"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("relook: expected a verb")


def test_algorithms_and_version_and_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("algorithms") == 0
    assert "ppo" in capsys.readouterr().out
    assert call("--version") == 0
    assert capsys.readouterr().out == f"relook {relook.__version__}\n"
    assert [call(), call("--help")] == [0, 0]
    assert capsys.readouterr().out.count("usage: relook VERB") == 2


def test_help_lists_every_hyperparameter(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("train", "ppo", "--help") == 0
    out = capsys.readouterr().out
    assert all(option in out for option in ("--env ", "--seeds", "--learning-rate", "--kl-stops", "--out"))
