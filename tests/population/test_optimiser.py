"""Adam for a population against torch's, one agent at a time; clipping, masks and step counts are each agent's own."""

from collections.abc import Mapping
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from relook.population import Adam, Parameters, RMSprop

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES: dict[str, tuple[int, ...]] = {"weight": (3, 5), "bias": (1, 5)}
OWN: dict[str, dict[str, tuple[int, ...]]] = {"policy": {"log_std": (2,)}, "value": {"scale": (4, 4)}}
GROUPS = ("policy", "value")
AGENTS = 3
LEARNING_RATE = {"policy": torch.tensor([1e-3, 1e-2, 3e-4]), "value": torch.tensor([3e-3, 1e-2, 1e-3])}
MAX_NORM = torch.tensor([0.5, 2.0, float("inf")])
NEVER_CLIPPED = torch.full((AGENTS,), float("inf"))
STEPS = 50


def built(*groups: str, agents: int = AGENTS) -> Parameters:
    """Parameters that are not zero, the same at every call."""
    groups = groups or GROUPS
    parameters = Parameters(agents, groups, SHAPES, {group: OWN[group] for group in groups})
    for i, name in enumerate(parameters):
        parameters.set(name, noise(i, *parameters[name].shape))
    return parameters


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def set_gradient(parameters: Parameters, seed: int) -> None:
    """Its size changes from step to step by two orders of magnitude: clipped at some steps, not at others."""
    parameters.gradient.zero_()
    for i, name in enumerate(parameters):
        gradient = parameters[name].grad
        assert gradient is not None
        gradient.copy_(noise(1000 * i + seed, *gradient.shape) * 10 ** (seed % 5 / 2 - 1.5))


def everyone(parameters: Parameters) -> dict[str, Tensor]:
    return {group: torch.ones(len(parameters.theta), dtype=torch.bool) for group in parameters.groups}


def tensors(parameters: Parameters, group: str, agent: int) -> dict[str, tuple[Tensor, Tensor]]:
    """What one group of one agent has, and the gradients."""
    groups, found = parameters.groups, {}
    for name, shape in {**SHAPES, **OWN[group]}.items():
        value, gradient = parameters[name].detach(), parameters[name].grad
        assert gradient is not None
        if name in SHAPES:
            row = agent * len(groups) + groups.index(group)
            found[name] = (value.reshape(-1, *shape)[row], gradient.reshape(-1, *shape)[row])
        else:
            found[name] = (value[agent], gradient[agent])
    return found


class Theirs:
    """One agent's tensors, clipped and moved by torch."""

    def __init__(self, mine: Parameters, agent: int) -> None:
        self.agent = agent
        self.groups = {
            group: {name: value.clone().requires_grad_() for name, (value, _) in tensors(mine, group, agent).items()}
            for group in mine.groups
        }
        settings = [{"params": list(group.values())} for group in self.groups.values()]
        self.optimiser: torch.optim.Optimizer = torch.optim.Adam(settings, eps=1e-5, foreach=False)

    def step(self, mine: Parameters, rates: Mapping[str, Tensor], max_norm: float, *, together: bool) -> Tensor:
        """Returns the norm over all groups."""
        for (group, own), settings in zip(self.groups.items(), self.optimiser.param_groups, strict=True):
            settings["lr"] = float(rates[group][self.agent])
            for name, (_, gradient) in tensors(mine, group, self.agent).items():
                own[name].grad = gradient.clone()
        apart = [list(group.values()) for group in self.groups.values()]
        everything = [tensor for group in apart for tensor in group]
        norm = torch.stack([t.grad.square().sum() for t in everything if t.grad is not None]).sum().sqrt()
        for clipped in [everything] if together else apart:
            clip_grad_norm_(clipped, max_norm, foreach=False)
        self.optimiser.step()
        return norm


@pytest.mark.parametrize(
    ("groups", "max_norm", "together"),
    [
        (("policy",), NEVER_CLIPPED, False),
        (("policy",), MAX_NORM, False),
        (("policy", "value"), MAX_NORM, False),
        (("policy", "value"), MAX_NORM, True),
    ],
    ids=["never clipped", "clipped", "two groups clipped apart", "two groups clipped together"],
)
def test_every_agent_moves_as_torchs_adam_and_clipping_move_it(
    groups: tuple[str, ...], max_norm: Tensor, together: bool
) -> None:
    mine = built(*groups)
    theirs = [Theirs(mine, agent) for agent in range(AGENTS)]
    optimiser = Adam(mine, epsilon=1e-5)
    for step in range(STEPS):
        set_gradient(mine, step)
        rates = {group: LEARNING_RATE[group] * (1 - step / STEPS) for group in groups}
        expected = torch.stack([t.step(mine, rates, float(max_norm[t.agent]), together=together) for t in theirs])
        norm = optimiser.step(rates, active=everyone(mine), max_norm=max_norm, clip_together=together)
        torch.testing.assert_close(torch.tensor(norm), expected, rtol=1e-6, atol=0)
        for t, group in product(theirs, groups):
            for name, (_, gradient) in tensors(mine, group, t.agent).items():
                # Adam hardly tells a gradient from its multiple, so that clipping must be seen by itself.
                torch.testing.assert_close(gradient, t.groups[group][name].grad, rtol=1e-4, atol=1e-7)
    assert (optimiser.steps == STEPS).all()
    start = built(*groups)
    for t, group in product(theirs, groups):
        before = tensors(start, group, t.agent)
        for name, (after, _) in tensors(mine, group, t.agent).items():
            own = t.groups[group][name].detach()
            moved = (after - before[name][0]).abs().max()
            assert moved > 0.5 * LEARNING_RATE[group][t.agent]
            torch.testing.assert_close(after, own, rtol=1e-6, atol=1e-6)
            assert (after - own).abs().max() < 1e-4 * moved


def test_clipping_together_and_apart_differ() -> None:
    ends = []
    for together in (False, True):
        mine = built()
        optimiser = Adam(mine)
        for step in range(5):
            set_gradient(mine, step)
            optimiser.step(LEARNING_RATE, active=everyone(mine), max_norm=MAX_NORM, clip_together=together)
        ends.append(mine.theta)
    assert not torch.allclose(ends[0][0], ends[1][0], rtol=1e-4)
    assert torch.equal(ends[0][2], ends[1][2])  # the agent that is never clipped


def test_a_gradient_of_the_greatest_norm_that_is_allowed_is_not_clipped() -> None:
    mine = built("policy")
    mine.gradient[:, 0, :2] = torch.tensor([[3.0, 4.0], [6.0, 8.0], [0.0, 0.0]])
    norm = Adam(mine).step(LEARNING_RATE, active=everyone(mine), max_norm=torch.full((3,), 5.0))
    assert norm == [5, 10, 0]
    assert mine.gradient[:, 0, :2].tolist() == [[3, 4], [3, 4], [0, 0]]


def test_the_first_step_has_the_length_of_the_learning_rate_in_every_direction() -> None:
    mine = built()
    before = mine.theta.clone()
    set_gradient(mine, 4)
    Adam(mine, epsilon=0.0).step(LEARNING_RATE, active=everyone(mine), max_norm=NEVER_CLIPPED)
    used = mine.gradient != 0
    assert (used.sum(2) == torch.tensor([15 + 5 + 2, 15 + 5 + 16])).all()
    rates = torch.stack([LEARNING_RATE[group] for group in GROUPS], 1)
    expected = mine.gradient.sign() * rates.unsqueeze(2)
    torch.testing.assert_close((before - mine.theta)[used], expected[used], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(("epsilon", "share"), [(1e-5, 1 / 2), (3e-5, 1 / 4), (None, 1 / (1 + 1e-3))])
def test_epsilon_is_added_to_the_root_of_the_second_moment(epsilon: float | None, share: float) -> None:
    mine = built()
    mine.theta.zero_()
    mine.gradient.fill_(1e-5)
    optimiser = Adam(mine) if epsilon is None else Adam(mine, epsilon=epsilon)
    optimiser.step(LEARNING_RATE, active=everyone(mine), max_norm=NEVER_CLIPPED)
    rates = torch.stack([LEARNING_RATE[group] for group in GROUPS], 1)
    torch.testing.assert_close(mine.theta, -share * rates.unsqueeze(2).expand_as(mine.theta), rtol=1e-5, atol=0)


def bits(optimiser: Adam, group: str, agent: int) -> list[bytes]:
    """Everything that an agent has in a group."""
    g = optimiser.parameters.groups.index(group)
    stored = optimiser.parameters.theta, *optimiser.moments.values(), optimiser.steps
    return [x[agent, g].numpy().tobytes() for x in stored]


def all_bits(optimiser: Adam) -> dict[tuple[str, int], list[bytes]]:
    return {(group, a): bits(optimiser, group, a) for group in GROUPS for a in range(AGENTS)}


@pytest.mark.parametrize("broken", [1.0, float("nan"), float("inf")], ids=["finite", "NaN", "inf"])
def test_an_agent_that_rests_keeps_everything_bit_for_bit_while_others_move(broken: float) -> None:
    mine = built()
    optimiser = Adam(mine)
    set_gradient(mine, 1)
    optimiser.step(LEARNING_RATE, active=everyone(mine), max_norm=MAX_NORM)
    before = all_bits(optimiser)
    set_gradient(mine, 2)
    mine.gradient[1] *= broken
    active = {"policy": torch.tensor([True, False, True]), "value": torch.tensor([True, False, False])}
    optimiser.step(LEARNING_RATE, active=active, max_norm=MAX_NORM)
    for g, (group, mask) in enumerate(active.items()):
        for a, moves in enumerate(mask.tolist()):
            assert [now != then for now, then in zip(bits(optimiser, group, a), before[group, a], strict=True)] == (
                [moves] * 4
            )
        assert optimiser.steps[:, g].tolist() == [1 + moves for moves in mask.tolist()]
    assert mine.theta.isfinite().all()


@pytest.mark.parametrize("together", [False, True], ids=["clipped apart", "clipped together"])
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_an_agent_whose_gradient_is_not_finite_moves_in_no_group_and_the_others_do_not_notice(
    broken: float, group: str, together: bool
) -> None:
    """A gradient of 1e30 is finite, but its norm is not in float32."""
    ends, befores = [], []
    for value in (0.5, broken):
        mine = built()
        optimiser = Adam(mine)
        set_gradient(mine, 1)
        optimiser.step(LEARNING_RATE, active=everyone(mine), max_norm=MAX_NORM, clip_together=together)
        befores.append(all_bits(optimiser))
        set_gradient(mine, 2)
        mine.gradient[1, GROUPS.index(group), 3] = value
        norm = optimiser.step(LEARNING_RATE, active=everyone(mine), max_norm=MAX_NORM, clip_together=together)
        assert np.isfinite(norm).tolist() == [True, value == 0.5, True]
        ends.append(all_bits(optimiser))
    assert befores[0] == befores[1]
    for key, finite in ends[0].items():
        assert finite != befores[0][key]
        assert ends[1][key] == (befores[1][key] if key[1] == 1 else finite)


@pytest.mark.parametrize("rests_by", ["mask", "NaN"])
def test_an_agent_that_rested_is_one_that_made_fewer_steps(rests_by: str) -> None:
    """Bit for bit, bias correction included."""
    resting, fewer = Adam(built()), Adam(built())
    for step in range(12):
        rests = step % 3 == 1
        for optimiser in (resting, fewer):
            set_gradient(optimiser.parameters, step)
        active = everyone(resting.parameters)
        if rests and rests_by == "mask":
            active = dict.fromkeys(GROUPS, torch.tensor([True, False, True]))
        elif rests:
            resting.parameters.gradient[1] = torch.nan
        resting.step(LEARNING_RATE, active=active, max_norm=MAX_NORM)
        if not rests:
            fewer.step(LEARNING_RATE, active=everyone(fewer.parameters), max_norm=MAX_NORM)
    assert resting.steps.tolist() == [[12, 12], [8, 8], [12, 12]]
    for group in GROUPS:
        assert bits(resting, group, 1) == bits(fewer, group, 1)
        assert bits(resting, group, 0) != bits(fewer, group, 0)


def test_nobody_moves_where_nobody_is_active() -> None:
    optimiser = Adam(built())
    before = all_bits(optimiser)
    set_gradient(optimiser.parameters, 1)
    active = dict.fromkeys(GROUPS, torch.zeros(AGENTS, dtype=torch.bool))
    norm = optimiser.step(LEARNING_RATE, active=active, max_norm=NEVER_CLIPPED)
    torch.testing.assert_close(torch.tensor(norm), optimiser.parameters.gradient.flatten(1).norm(dim=1))
    assert all_bits(optimiser) == before


@pytest.mark.parametrize("together", [False, True], ids=["clipped apart", "clipped together"])
@pytest.mark.parametrize("agent", range(AGENTS))
def test_an_agent_moves_alone_as_it_moves_among_others(agent: int, together: bool) -> None:
    """Bit for bit, while others and itself rest now and then."""
    among, alone = Adam(built()), Adam(built(agents=1))
    own = slice(agent, agent + 1)
    alone.parameters.theta.copy_(among.parameters.theta[own])
    for step in range(10):
        set_gradient(among.parameters, step)
        alone.parameters.gradient.copy_(among.parameters.gradient[own])
        active = {group: noise(100 * step + g, AGENTS) > -1 for g, group in enumerate(GROUPS)}
        norm = among.step(LEARNING_RATE, active=active, max_norm=MAX_NORM, clip_together=together)
        its_norm = alone.step(
            {group: rate[own] for group, rate in LEARNING_RATE.items()},
            active={group: mask[own] for group, mask in active.items()},
            max_norm=MAX_NORM[own],
            clip_together=together,
        )
        assert its_norm[0] == norm[agent]
    assert among.steps.min() < 10
    for group in GROUPS:
        assert bits(among, group, agent) == bits(alone, group, 0)


def test_an_agent_moves_the_same_whatever_the_learning_rates_of_its_neighbours() -> None:
    """Rows of one rate are moved by one call."""
    ends = []
    for others in (1e-2, 1e-3):
        mine = built()
        optimiser = Adam(mine)
        rates = {"policy": torch.tensor([others, 1e-2, 1e-2]), "value": torch.tensor([1e-2, others, 1e-2])}
        for step in range(10):
            set_gradient(mine, step)
            optimiser.step(rates, active=everyone(mine), max_norm=MAX_NORM)
        ends.append(all_bits(optimiser))
    changed = {key for key in ends[0] if ends[0][key] != ends[1][key]}
    assert changed == {("policy", 0), ("value", 1)}


def test_what_lies_between_tensors_stays_at_0() -> None:
    mine = built()
    optimiser = Adam(mine)
    mine.theta.zero_()
    for name in mine:
        mine.set(name, torch.ones_like(mine[name]))
    unused = mine.theta == 0
    assert unused.any(2).all()
    for step in range(3):
        set_gradient(mine, step)
        optimiser.step(LEARNING_RATE, active=everyone(mine), max_norm=MAX_NORM)
    for stored in (mine.theta, *optimiser.moments.values()):
        assert (stored[unused] == 0).all()
        assert (stored[~unused] != 0).all()


def test_every_agent_moves_as_torchs_rmsprop_moves_it() -> None:
    mine = built()
    theirs = [Theirs(mine, agent) for agent in range(AGENTS)]
    for other in theirs:
        groups = [{"params": list(group.values())} for group in other.groups.values()]
        other.optimiser = torch.optim.RMSprop(groups, alpha=0.99, eps=1e-5, foreach=False)
    optimiser = RMSprop(mine, epsilon=1e-5)
    for step in range(STEPS):
        set_gradient(mine, step)
        for other in theirs:
            other.step(mine, LEARNING_RATE, float(MAX_NORM[other.agent]), together=False)
        optimiser.step(LEARNING_RATE, active=everyone(mine), max_norm=MAX_NORM)
    for other, group in product(theirs, GROUPS):
        for name, (after, _) in tensors(mine, group, other.agent).items():
            torch.testing.assert_close(after, other.groups[group][name].detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [Adam, RMSprop])
def test_a_group_that_is_not_named_stays_and_does_not_count_in_the_norm(kind: type[Adam] | type[RMSprop]) -> None:
    mine, start = built(), built()
    optimiser = kind(mine)
    set_gradient(mine, 0)
    norm = optimiser.step({"value": LEARNING_RATE["value"]}, active={"value": torch.ones(AGENTS, dtype=torch.bool)})
    assert torch.equal(mine.theta[:, 0], start.theta[:, 0])
    assert not torch.equal(mine.theta[:, 1], start.theta[:, 1])
    assert optimiser.steps.tolist() == [[0, 1]] * AGENTS
    torch.testing.assert_close(torch.tensor(norm), mine.gradient[:, 1].norm(dim=1))


@pytest.mark.parametrize("kind", [Adam, RMSprop])
def test_moments_of_weights_without_gradient_dwindle_to_0_and_leave_no_denormal_numbers(
    kind: type[Adam] | type[RMSprop],
) -> None:
    """Denormal numbers change no weight, but a step on them takes many times as long."""
    parameters, smallest = built(), torch.finfo(torch.float32).tiny
    optimiser = kind(parameters)
    set_gradient(parameters, 0)
    optimiser.step(LEARNING_RATE, active=everyone(parameters))
    parameters.gradient.zero_()
    for moment in optimiser.moments.values():
        moment.mul_(smallest)  # and some lie below already, as after hundreds of steps
    before = parameters.theta.clone()
    optimiser.step(LEARNING_RATE, active=everyone(parameters))
    for moment in optimiser.moments.values():
        assert ((moment == 0) | (moment.abs() >= smallest)).all()
    assert torch.equal(parameters.theta, before)
    assert torch.tensor(smallest).mul(0.5) > 0, "only an optimiser's step is without them"
