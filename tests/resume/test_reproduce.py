"""A run can be made again from its record alone."""

from pathlib import Path
from typing import Any

import pytest

from relook.cli.main import main
from relook.errors import WrongRequest
from relook.runs.reading import Run
from relook.statistics.reproduction import reproduced
from relook.training import again, fork


def test_a_run_made_again_is_bit_identical(
    tmp_path: Path, tiny_run: Run, capsys: pytest.CaptureFixture[str], work_here: None
) -> None:
    out = tmp_path / "again"
    assert main(["reproduce", str(tiny_run.path), "--out", str(out)]) == 0
    assert "bit-identical" in capsys.readouterr().out
    assert Run(out).record["reproduces"]["run"] == str(tiny_run.path.resolve())
    assert Run(out).agent_summaries == tiny_run.agent_summaries


def summaries(returns: list[float | None], digest: str) -> list[dict[str, Any]]:
    return [
        {"hyperparameters": {"clip": 0.2}, "parameters_sha256": f"{digest}{k}", "final_return": score}
        for k, score in enumerate(returns)
    ]


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ([101.0, 99.0, 104.0], "inside the interval"),
        ([150.0, 160.0, 170.0], "outside the interval: a mean of 160.0, where 87.6 … 112.4 was to be expected"),
        ([101.0, None, 104.0], "not comparable"),
    ],
)
def test_another_outcome_is_held_against_the_first_ones_interval(now: list[float | None], said: str) -> None:
    assert reproduced(summaries([95.0, 100.0, 105.0], "a"), summaries(now, "b")).startswith(said)
    assert reproduced(summaries([95.0], "a"), summaries([95.0], "a")) == "bit-identical"
    assert reproduced(summaries([95.0], "a"), summaries([95.0], "b")).startswith("not comparable")


def test_a_branch_cannot_be_made_again_from_its_record(tmp_path: Path, tiny_run: Run, work_here: None) -> None:
    branch = fork(tiny_run, at=128, out=tmp_path / "branch", workers=1, clip=0.1)
    with pytest.raises(WrongRequest, match="expected a run from one request"):
        again(branch, tmp_path / "again")
