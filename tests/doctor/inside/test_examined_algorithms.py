"""The examination of our own algorithms: nothing is found in what is healthy, and every check can find something."""

from dataclasses import fields
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
import torch

from relook.algorithms import ALGORITHMS, algorithm
from relook.doctor.examine.inside.examination import CHECKS, ORDER, examine, located
from relook.doctor.examine.inside.patient import RUNS, Patient
from relook.doctor.examine.inside.settings import SETTINGS, Setting
from relook.doctor.examine.inside.ward import HIGH, LONGEST, LOW, Ledger, ward
from relook.doctor.findings import COMPONENTS, Check, Finding, worst_first
from relook.doctor.zoo import BUGS
from relook.doctor.zoo.self_test import Caught, self_test

OF_EVERY_CHECK = {
    "hyper-parameters": "x35",
    "reset-seeds": "77b",
    "conversions": "start",
    "several-choices": "several",
    "recordings": "x45",
    "initialisation": "n46",
    "figures": "n8",
    "figures-of-updates": "z17",
    "transitions": "79",
    "action-bounds": "e7",
    "storage": "23b",
    "schedules": "32",
    "minibatches": "25",
    "replay-samples": "q5",
    "scales": "83",
    "densities": "56",
    "judgements": "5",
    "advantages": "14b",
    "td-targets": "45",
    "backward": "slope-3",
    "policy-gradient": "7",
    "trust-region": "t4",
    "value-gradient": "38",
    "critic-gradient": "49",
    "actor-gradient": "68",
    "temperature": "64",
    "optimiser-step": "adam",
    "target-network": "41",
    "drawn-actions": "m64",
    "faults": "mask",
    "evaluations": "86",
    "records": "kl",
    "random-streams": "a5",
    "resumption": "r9",
}
"""A planted bug that each check has to name."""


ON_POLICY = {"advantages", "minibatches", "policy-gradient", "scales", "several-choices", "densities", "value-gradient"}
OFF_POLICY = {"replay-samples", "target-network", "td-targets", "figures-of-updates", "critic-gradient"}
ACTOR = {"actor-gradient"}
ROLLOUTS = OFF_POLICY | ACTOR | {"temperature"}
ELSEWHERE: dict[str, set[str]] = {
    "reinforce": ROLLOUTS | {"trust-region"},
    "vpg": ROLLOUTS | {"trust-region"},
    "a2c": ROLLOUTS | {"trust-region"},
    "ppo": ROLLOUTS | {"trust-region"},
    "trpo": ROLLOUTS | {"policy-gradient"},
    "dqn": ON_POLICY | ACTOR | {"temperature", "trust-region"},
    "ddpg": ON_POLICY | {"temperature", "trust-region"},
    "td3": ON_POLICY | {"temperature", "trust-region"},
    "sac": ON_POLICY - {"densities"} | {"trust-region"},
}
"""The checks of parts that an algorithm has not."""


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ALGORITHMS)
def test_nothing_is_found_in_a_healthy_algorithm_and_every_check_of_its_parts_looks(name: str) -> None:
    found = examine(name)
    assert not found.findings
    looked = {check for check, looks in found.looks.items() if looks}
    assert looked == {check.name for check in ORDER} - {RUNS.name} - ELSEWHERE[name]


def test_every_check_names_a_bug() -> None:
    assert set(OF_EVERY_CHECK) == {check.name for check in ORDER} - {RUNS.name}
    bugs = {bug.name: bug for bug in BUGS}
    chosen = {check: bugs[name] for check, name in OF_EVERY_CHECK.items()}
    told: list[Caught] = []
    found = self_test(list(chosen.values()), told.append)
    assert {caught.bug.name for caught in told} == {bug.name for bug in chosen.values()}
    missed = {check: caught.checks for check, caught in zip(chosen, found, strict=True) if check not in caught.checks}
    assert not missed


def test_checks_are_described() -> None:
    names = [check.name for check in ORDER]
    assert len(set(names)) == len(names) == len(CHECKS) + 2
    for check in ORDER:
        assert check.component in COMPONENTS
        assert check.asks.endswith(".")
        assert check.causes
        assert check.remedy.endswith(".")
        assert len(check.lesson) > 80


def test_every_algorithm_is_examined_with_all_kinds_of_actions_that_it_has() -> None:
    assert set(SETTINGS) == set(ALGORITHMS)
    for name, settings in SETTINGS.items():
        kinds = {setting.continuous for setting in settings}
        expected = {False} if name == "dqn" else {True} if name in ("ddpg", "td3", "sac") else {True, False}
        assert kinds == expected, name
        assert any(setting.still for setting in settings), name


def test_every_option_is_on_and_off_and_every_number_is_another_one_in_some_setting() -> None:
    for name, settings in SETTINGS.items():
        config = algorithm(name).config
        hints = get_type_hints(config)
        for field in fields(config):
            hint = hints[field.name]
            seen = {getattr(config(**setting.values), field.name) for setting in settings}
            options = {True, False} if hint is bool else set(get_args(hint)) if get_origin(hint) is Literal else set()
            assert options <= seen, (name, field.name)
            assert len(seen) > 1, (name, field.name)


SMALL = Setting({"envs": 2, "horizon": 8, "minibatch": 16, "hidden": (8,)}, continuous=False)


def test_an_exception_is_a_finding_of_its_own() -> None:
    patient = Patient("ppo", SMALL)

    def breaks(call: object, *args: object, **kwargs: object) -> None:
        raise ValueError("a fault of the test's")

    patient.around(patient.module, "estimate", breaks)
    patient.train()
    [finding] = patient.findings
    assert (finding.check, finding.severity) == (RUNS, "error")
    assert "ValueError: a fault of the test's" in finding.evidence


def test_hooks_are_gone_afterwards() -> None:
    patient = Patient("ppo", SMALL)
    before = patient.module.estimate
    patient.around(patient.module, "estimate", lambda call, *args: call(*args))
    patient.train()
    assert not patient.findings
    assert patient.module.estimate is before
    with pytest.raises(AttributeError, match="expected nothing_of_this_name"):
        patient.around(patient.module, "nothing_of_this_name", lambda call: call())


def test_numbers_are_compared_with_their_scale() -> None:
    check = Check("a-check", "record", "It holds.", ("a cause",), "A remedy.", "A lesson.")
    patient = Patient("ppo", Setting({}, continuous=False))
    patient.compare(check, "x", torch.tensor([1000.0, 0.01]), torch.tensor([1000.1, 0.0]), "here")
    patient.compare(check, "x", [1.0], [1.0], "here", 0)
    patient.compare(check, "x", [1.0, -float("inf")], [1.0, -float("inf")], "here")
    assert not patient.findings
    patient.compare(check, "x", torch.tensor([1.0, float("nan")]), torch.tensor([1.0, 2.0]), "here")
    [finding] = patient.findings
    assert finding.evidence == "x: expected 2 at [1]; found nan"
    patient.compare(check, "y", torch.zeros(2), torch.zeros(2, 1), "here")
    assert patient.findings == [finding], "only the first of each check is kept"
    assert patient.looks[check.name] == 5


def test_the_cause_of_two_losses_that_are_off_is_in_neither() -> None:
    by_name = {check.name: check for check in ORDER}

    def of(*names: str) -> str:
        return located([Finding(by_name[name], "error", "", "") for name in names])

    assert of() == ""
    assert of("advantages", "policy-gradient") == "estimates"
    assert of("policy-gradient", "records") == "policy loss"
    assert of("policy-gradient", "value-gradient") == "gradient"
    assert of("advantages", "policy-gradient", "value-gradient") == "estimates"


def test_findings_are_sorted_and_recorded() -> None:
    check = ORDER[1]
    warning = Finding(check, "warning", "x", "y", {"z": 1.0})
    error = Finding(check, "error", "x", "y", {"z": 1.0})
    assert worst_first([warning, error]) == [error, warning]
    record = error.record()
    assert record["check"] == check.name
    assert record["component"] == check.component
    assert record["lesson"] == f"docs/doctor.md#{check.name}"
    assert record["figures"] == {"z": 1.0}


def test_a_ward_keeps_a_ledger_of_what_happened() -> None:
    ledger = Ledger()
    env = ward(ledger, continuous=True).make()
    observation, _ = env.reset(seed=3)
    first = observation.copy()
    assert ledger.place(first) == (0, 0, 0)
    steps = 0
    over = False
    while not over:
        led_to, reward, terminated, truncated, _ = env.step((LOW + HIGH) / 2)
        assert led_to is observation, "one array, changed in place"
        steps += 1
        over = terminated or truncated
        assert ledger.place(led_to) == (0, 0, steps)
        played = ledger.episodes[0][0]
        assert played.rewards[-1] == reward
        assert played.end(steps - 1) == (terminated, truncated)
    assert steps < LONGEST
    assert played.seed == 3
    assert ledger.place(first + 1) is None
