"""Losses and updates as users write them: the page's own pass, and each wrong variant is named."""

import importlib
import json
from collections.abc import Callable
from math import log
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from relook.cli.main import main
from relook.doctor.examine.functions.examination import ASKED, ORDER, examine
from relook.doctor.findings import COMPONENTS
from relook.importing import named_module

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(DOCS)
    return importlib.import_module("losses")


def found(name: str, function: Callable[..., Any]) -> str:
    """What is said of one function."""
    module: Any = SimpleNamespace(**{name: function}, __name__="mine")
    findings = list(examine(module))
    assert all(finding.check.name == f"function-{dict(KNOWN)[name]}" for finding in findings)
    return " ".join(finding.evidence for finding in findings)


KNOWN = [
    ("log_prob", "log-prob"),
    ("advantages", "advantages"),
    ("td_targets", "td-targets"),
    ("policy_loss", "policy-loss"),
    ("value_loss", "value-loss"),
    ("follow", "follow"),
]


def targets(reward: Tensor, next_value: Tensor, terminated: Tensor, truncated: Tensor, discount: float) -> Tensor:
    return torch.where(terminated, reward, reward + discount * next_value).detach()


def follow(target: Tensor, online: Tensor, rate: float) -> Tensor:
    return target.lerp(online, rate)


def squashed(action: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    u = torch.atanh(action)
    slope = 2 * (log(2) - u - torch.nn.functional.softplus(-2 * u))
    whole: Tensor = (Normal(mean, log_std.exp(), validate_args=False).log_prob(u) - slope).sum(-1)
    return whole


def test_healthy_functions_pass(losses: ModuleType) -> None:
    assert [asking.NAME for asking in ASKED] == [name for name, _ in KNOWN]
    assert not list(examine(losses))
    assert not found("td_targets", targets)
    assert not found("follow", follow)
    assert not found("log_prob", squashed)
    assert not found("value_loss", lambda value, target: torch.nn.functional.huber_loss(value, target.detach()))


def wrong_advantages(change: str) -> Callable[..., Tensor]:
    def advantages(
        reward: Tensor,
        value: Tensor,
        next_value: Tensor,
        terminated: Tensor,
        truncated: Tensor,
        gamma: float,
        lam: float,
    ) -> Tensor:
        over = terminated | truncated
        ends = over if change == "merged" else terminated
        found, following = torch.zeros_like(reward), torch.zeros(())
        for t in reversed(range(len(reward))):
            cut = torch.tensor(False) if change == "leaks" else over[t - 1] if change == "early" else over[t]
            delta = reward[t] + gamma * ~ends[t] * next_value[t] - value[t]
            following = delta + (lam if change == "no γ" else gamma * lam) * ~cut * following
            found[t] = following
        return found

    return advantages


@pytest.mark.parametrize("change", ["merged", "leaks", "early", "no γ"])
def test_wrong_advantages(change: str) -> None:
    assert found("advantages", wrong_advantages(change)).startswith("advantage with γ = ")
    assert not found("advantages", wrong_advantages(""))


WRONG: list[tuple[str, Callable[..., Any], str]] = [
    ("td_targets", lambda r, v, term, trunc, g: (r + g * ~(term | trunc) * v).detach(), "y: expected"),
    ("td_targets", lambda r, v, term, trunc, g: (r + g * term * v).detach(), "y: expected"),
    ("td_targets", lambda r, v, term, trunc, g: r + g * ~term * v, "without a slope"),
    ("td_targets", lambda r, v, term, trunc, g: (r[:, None] + g * ~term * v).detach(), "expected shape [24]"),
    ("follow", lambda target, online, rate: online.lerp(target, rate), "θ' with τ = 0.2"),
    ("follow", lambda target, online, rate: online if rate == 1 else target.lerp(online, rate), "memory of its own"),
    (
        "follow",
        lambda target, online, rate: (
            (target + rate * (online - target), online.mul_(1.0))[0] if rate < 1 else online.mul_(0)
        ),
        "τ = 1",
    ),
    ("log_prob", lambda a, m, s: Normal(m, s.exp()).log_prob(a).mean(-1), "sum over components"),
    ("log_prob", lambda a, m, s: Normal(m, s.exp()).log_prob(a), "found shape [24, 3]"),
    ("log_prob", lambda a, m, s: Normal(m, (2 * s).exp()).log_prob(a).sum(-1), "log π of a Gaussian"),
    ("log_prob", lambda a, m, s: (-((a - m) / s.exp()).square() / 2 - s).sum(-1), "integral of exp(log π)"),
    (
        "log_prob",
        lambda a, m, s: Normal(m, s.exp(), validate_args=False).log_prob(torch.atanh(a)).sum(-1),
        "integral of exp(log π)",
    ),
    ("policy_loss", lambda now, old, gain: ((now - old.detach()).exp() * gain).mean(), "slope by log π"),
    ("policy_loss", lambda now, old, gain: -((now - now.detach()) * 0 + gain * old).mean(), "slope by log π"),
    ("policy_loss", lambda now, old, gain: -((now - old).exp() * gain.detach()).mean(), "no slope by the old log π"),
    ("policy_loss", lambda now, old, gain: -((now - old.detach()).exp() * gain).mean(), "no slope by the advantage"),
    ("policy_loss", lambda now, old, gain: -((now - old.detach()) * gain.detach()).sum(), "slope by log π"),
    ("policy_loss", lambda now, old, gain: -((now - old.detach()).mean().exp() * gain.detach()).mean(), "slope by log"),
    ("policy_loss", lambda now, old, gain: -((now - old.detach()).exp() * gain.detach()), "RuntimeError"),
    ("value_loss", lambda value, target: (value[:, None] - target.detach()).square().mean(), "to its own target"),
    ("value_loss", lambda value, target: (value - target.detach()).square().sum(), "with every sample twice"),
    ("value_loss", lambda value, target: (value - target).square().mean(), "no slope by the target"),
    ("value_loss", lambda value, target: -(value - target.detach()).square().mean(), "to its own target"),
    ("value_loss", lambda value, target: (value - target.detach()).square().mean(), "argument 1 with shape (24, 1)"),
]


@pytest.mark.parametrize(("name", "function", "says"), WRONG)
def test_wrong_functions(name: str, function: Callable[..., Any], says: str) -> None:
    assert says in found(name, function)


def test_a_loss_that_broadcasts_is_a_hazard_and_no_error() -> None:
    module: Any = SimpleNamespace(
        value_loss=lambda value, target: (value - target.detach()).square().mean(), __name__="m"
    )
    [finding] = examine(module)
    assert finding.severity == "warning"
    assert "argument 1 with shape (24, 1)" in finding.evidence


def test_checks_are_described() -> None:
    for check in ORDER:
        assert check.component in COMPONENTS
        assert check.asks.endswith(".")
        assert check.causes
        assert check.remedy.endswith(".")
        assert len(check.lesson) > 80


def test_the_command(losses: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    main(["doctor", "functions", "losses"])
    assert "Nothing found." in capsys.readouterr().out
    (tmp_path / "mylosses.py").write_text("def follow(target, online, rate):\n    return online\n")
    (tmp_path / "nolosses.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["doctor", "functions", "mylosses", "--json"]) == 1
    told = capsys.readouterr()
    [finding] = json.loads(told.out)["findings"]
    assert finding["check"] == "function-follow"
    assert finding["component"] == "target network"
    assert "mylosses.py, follow" in finding["where"]
    assert told.err == "relook: mylosses is not what it should be: 1 of 1 functions are wrong\n"
    for name, says in (("nolosses", "to have a function among log_prob"), ("missinglosses", "to be importable")):
        assert main(["doctor", "functions", name]) == 2
        assert says in capsys.readouterr().err
    assert named_module("mylosses:follow", "functions").__name__ == "mylosses"
