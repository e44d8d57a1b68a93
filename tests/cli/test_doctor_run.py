"""`relook doctor run`, and the doctor beside `relook train`."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relook.cli.main import main
from relook.doctor.watch import live
from relook.doctor.watch.checks import CHECKS
from relook.doctor.watch.live import SHARE, Live
from relook.doctor.watch.records import both_ends
from relook.runs.reading import Run

SMALL = "--env CartPole-v1 --seeds 2 --envs 8 --horizon 32 --minibatch 128 --hidden 8 --evaluate-episodes 1 --workers 1"


def call(*words: str | Path) -> int:
    """Exit status of one command in this process."""
    try:
        return main([str(word) for word in words])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else -1


@pytest.fixture(autouse=True)
def narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def broken(tiny_run: Run, tmp_path: Path) -> Path:
    """A copy of a run whose agents never moved."""
    shutil.copytree(tiny_run.path, tmp_path / "run")
    for unit in tiny_run.units:
        edit(tmp_path / "run" / "units" / str(unit) / "metrics.jsonl", lambda row: row | {"step_size": 0.0})
    return tmp_path / "run"


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change every record of a file."""
    rows = [change(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_healthy_run(tiny_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("doctor", "run", tiny_run.path) == 0
    out, err = capsys.readouterr()
    assert ("Nothing found." in out, err) == (True, "")
    assert "nothing to look at for" in out
    assert call("doctor", "run", tiny_run.path, "--json") == 0
    [report] = json.loads(capsys.readouterr().out)["runs"]
    assert (report["findings"], report["agents"], report["algorithm"]) == ([], 2, "ppo")
    assert report["checks"] + len(report["skipped"]) == len(CHECKS)
    assert {"check": "target-lag", "missing": "the metric target_lag"} in report["skipped"]


def test_a_broken_run_has_a_finding_and_status_1(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("doctor", "run", broken) == 1
    out, err = capsys.readouterr()
    assert "error: dead-steps" in out
    for part in ("all 2 agents; worst agent", "causes  1. ", "remedy  ", "docs/doctor.md#dead-steps", "step_size"):
        assert part in out
    assert max(map(len, out.splitlines())) <= max(80, len(str(broken)) + 30)
    assert err.count("\n") == 1
    assert "is not what it should be: dead-steps" in err
    assert call("doctor", "run", broken, "--json") == 1
    [report] = json.loads(capsys.readouterr().out)["runs"]
    [finding] = report["findings"]
    assert (finding["check"], finding["component"], finding["severity"]) == ("dead-steps", "optimiser", "error")
    assert finding["figures"]["agents"] == [0, 1]
    assert finding["lesson"] == "docs/doctor.md#dead-steps"


def test_a_grid_is_looked_at_run_by_run(broken: Path, tiny_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    grid = broken.parent / "grid"
    shutil.copytree(tiny_run.path, grid / "fine")
    shutil.copytree(broken, grid / "wrong")
    (grid / "grid.json").write_text("{}")
    assert call("doctor", "run", grid, "--json") == 1
    reports = json.loads(capsys.readouterr().out)["runs"]
    assert [len(report["findings"]) for report in reports] == [0, 1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["doctor", "nonsense"], "'nonsense'"),
        (["doctor", "run", "nothing"], "no run.json in nothing"),
        (["train", "ppo", "--env", "CartPole-v1", "--strict", "--no-watch"], "--no-watch"),
    ],
)
def test_a_wrong_request_is_one_sentence(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert call(*words) == 2
    out, err = capsys.readouterr()
    assert (out, said in err, err.count("\n")) == ("", True, 1)


def test_without_words_it_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("doctor") == 0
    assert "usage: relook doctor" in capsys.readouterr().out


def rewrite(path: Path, text: str, other: str) -> None:
    path.write_text(path.read_text().replace(text, other))


def metrics_of(run: Path) -> Path:
    return run / "units" / "0" / "metrics.jsonl"


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: metrics_of(run).write_text('{"agent": 0, "iteration": 0, "steps": 128, "kl": [1]}\n'),
        lambda run: metrics_of(run).write_text('{"agent": 77, "iteration": 0, "steps": 128}\n'),
        lambda run: metrics_of(run).write_text('{"agent": 0, "iteration": null, "steps": 128}\n'),
        lambda run: metrics_of(run).write_text('{"agent": 0, "iteration": 1e400, "steps": 128}\n'),
        lambda run: metrics_of(run).write_text("[]\n"),
        lambda run: metrics_of(run).with_name("episodes.jsonl").write_text('{"agent": 0}\n'),
        lambda run: metrics_of(run).with_name("episodes.jsonl").write_text("{\n"),
        lambda run: metrics_of(run).with_name("evaluations.jsonl").write_text('{"agent": 0, "returns": 3}\n'),
        lambda run: metrics_of(run).with_name("events.jsonl").write_text('{"event": "stopped", "agent": "x"}\n'),
        lambda run: metrics_of(run).with_name("actions.bin").write_bytes(b""),
        lambda run: edit(metrics_of(run).with_name("episodes.jsonl"), lambda row: row | {"length": "many"}),
        lambda run: rewrite(run / "run.json", '"metrics"', '"numbers"'),
        lambda run: rewrite(run / "run.json", '"observation_size": 4', '"a": 1'),
        lambda run: (run / "run.json").write_text(
            (run / "run.json").read_text().replace('"observation_size": 4', '"a": 1')
        ),
    ],
)
def test_what_is_damaged_is_one_sentence(
    tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run.path, run)
    damage(run)
    status = call("doctor", "run", run)
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("relook: expected")


def test_links_are_not_followed(tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run.path, run)
    (run / "units" / "0" / "episodes.jsonl").unlink()
    (run / "units" / "0" / "episodes.jsonl").symlink_to(tmp_path / "elsewhere")
    assert call("doctor", "run", run) == 1
    assert "found a link" in capsys.readouterr().err


def test_the_two_ends_of_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(f'{{"number": {i}}}\n' for i in range(1000)) + '{"torn')
    rows, whole = both_ends(path, 10**6)
    assert ([row["number"] for row in rows], whole) == ([*range(1000)], True)
    rows, whole = both_ends(path, 400)
    numbers = [row["number"] for row in rows]
    assert (numbers[0], numbers[-1], whole) == (0, 999, False)
    assert len(numbers) < 40
    assert both_ends(tmp_path / "nothing", 400) == ([], True)


@pytest.fixture
def always_looking(monkeypatch: pytest.MonkeyPatch) -> list[Live]:
    """Looks cost what they may, and the doctors that looked."""
    made: list[Live] = []
    begin = Live.__init__

    def remembered(self: Live, run: Run) -> None:
        begin(self, run)
        made.append(self)

    monkeypatch.setattr(live, "SHARE", 1.0)
    monkeypatch.setattr(Live, "__init__", remembered)
    return made


def test_strict_ends_a_broken_training_and_keeps_what_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], always_looking: list[Live]
) -> None:
    run = tmp_path / "run"
    words = [*SMALL.split(), "--steps", "1000000", "--learning-rate", "0.3", "--strict", "--out", str(run)]
    # a step of the whole probability: three hundred times the usual rate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "EVERY", 0.005)
        assert call("train", "ppo", *words) == 1
    out, err = capsys.readouterr()
    assert "doctor: error: surrogate, " in err
    assert "relook: the doctor found surrogate: expected " in err
    assert f"relook doctor run {run}" in err
    assert "Traceback" not in err
    assert "interrupted: 2 of 2 agents" in out
    for agent in Run(run).agent_summaries:
        assert agent["status"] == "interrupted"
        assert 0 < agent["steps"] < 500_000
        assert agent["parameters_sha256"]
    assert err.count("doctor: error") == 1  # said once


def test_a_healthy_training_is_watched_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], always_looking: list[Live], work_here: None
) -> None:
    assert call("train", "ppo", *SMALL.split(), "--steps", "2048", "--out", tmp_path / "run") == 0
    assert "doctor: nothing found" in capsys.readouterr().err
    [doctor] = always_looking
    assert 0 < doctor.seconds < 5
    assert call("train", "ppo", *SMALL.split(), "--steps", "2048", "--no-watch", "--out", tmp_path / "not") == 0
    assert "doctor" not in capsys.readouterr().err


def test_watching_takes_a_small_share_of_the_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, always_looking: list[Live]
) -> None:
    monkeypatch.setattr(live, "SHARE", SHARE)
    began = time.monotonic()
    assert call("train", "ppo", *SMALL.split(), "--steps", "30000", "--out", tmp_path / "run") == 0
    taken = time.monotonic() - began
    [doctor] = always_looking
    with capsys.disabled():
        print(f" watching took {doctor.seconds:.2f} of {taken:.1f} s, {doctor.seconds / taken:.1%}", end="")
    assert doctor.seconds < 0.05 * taken  # 2 % on trainings worth watching; of one this short the last look is most


def test_strict_also_holds_for_what_is_found_in_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, work_here: None
) -> None:
    from relook.population.optimiser import Adam

    monkeypatch.setattr(Adam, "step", lambda self, rates, active, **_: [0.5] * len(active["policy"]))  # no step at all
    words = ["train", "ppo", *SMALL.split(), "--steps", "3072", "--strict", "--out", str(tmp_path / "run")]
    assert call(*words) == 1
    err = capsys.readouterr().err
    assert "relook: the doctor found dead-steps: " in err
    assert Run(tmp_path / "run").agent_summaries[0]["status"] == "finished"


def test_whatever_is_wrong_with_the_doctor_the_training_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, work_here: None
) -> None:
    def wrong(*_: Any) -> None:
        raise ZeroDivisionError("of the doctor")

    monkeypatch.setattr(live, "judge", wrong)
    assert call("train", "ppo", *SMALL.split(), "--steps", "2048", "--out", tmp_path / "run") == 0
    assert "doctor: gave up watching (of the doctor)" in capsys.readouterr().err
    assert Run(tmp_path / "run").agent_summaries[0]["status"] == "finished"


def test_looks_are_few_and_stay_within_their_share(
    tiny_run: Run, monkeypatch: pytest.MonkeyPatch, broken: Path
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    doctor, looks = Live(Run(broken)), []
    for unit in tiny_run.units:
        rows = [json.loads(line) for line in metrics_of(broken).read_text().splitlines()]
        doctor.take(unit, [], rows)

    def costly() -> None:
        looks.append(now[0])
        now[0] += 2.0

    monkeypatch.setattr(doctor, "_look", costly)
    for percent in range(1, 101):
        now[0] += 10
        doctor.look(percent / 100)
    assert len(looks) <= 20
    assert doctor.seconds <= 0.01 * now[0] + 2.0  # the first one may come before there is time to compare with


def test_a_finding_is_told_once_and_no_more_than_a_few(broken: Path) -> None:
    doctor = Live(Run(broken))
    rows = [json.loads(line) for line in metrics_of(broken).read_text().splitlines()]
    doctor.take(0, [], rows)
    assert [finding.check.name for finding in doctor.look_again()] == ["dead-steps"]
    assert doctor.look_again() == []
    assert doctor.broken is not None
    assert "1 finding, relook doctor run" in doctor.summary()
