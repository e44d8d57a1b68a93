"""Adam for a population against torch's, one agent at a time; clipping, masks and step counts are each agent's own."""

import pytest
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from relook.population import Adam, Parameters

SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "policy": {"weight": (3, 5), "bias": (5,), "log_std": (2,)},
    "value": {"weight": (4, 4), "bias": (1,)},
}
LEARNING_RATE = torch.tensor([1e-3, 1e-2, 3e-4])
MAX_NORM = torch.tensor([0.5, 2.0, float("inf")])
AGENTS = 3
NEVER_CLIPPED = torch.full((AGENTS,), float("inf"))
STEPS = 50


def groups(*names: str, agents: int = AGENTS) -> dict[str, Parameters]:
    """Parameters that are not zero, the same at every call."""
    made = {name: Parameters(agents, SHAPES[name]) for name in names}
    for group in made.values():
        for i, tensor in enumerate(group):
            group.set(tensor, noise(i, agents, *group.shapes[tensor]))
    return made


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def set_gradient(group: Parameters, seed: int) -> None:
    """Its size changes from step to step by two orders of magnitude: clipped at some steps, not at others."""
    for i, name in enumerate(group):
        gradient = group[name].grad
        assert gradient is not None
        gradient.copy_(noise(1000 * i + seed, *group[name].shape) * 10 ** (seed % 5 / 2 - 1.5))


def everyone(optimiser: Adam) -> dict[str, Tensor]:
    return {name: torch.ones(AGENTS, dtype=torch.bool) for name in optimiser.groups}


class Theirs:
    """One agent's tensors, clipped and moved by torch."""

    def __init__(self, mine: dict[str, Parameters], agent: int) -> None:
        self.agent = agent
        self.groups = {
            name: {n: group[n].detach()[agent].clone().requires_grad_() for n in group} for name, group in mine.items()
        }
        tensors = [tensor for group in self.groups.values() for tensor in group.values()]
        self.optimiser = torch.optim.Adam(tensors, lr=float(LEARNING_RATE[agent]), eps=1e-5, foreach=False)

    def step(self, mine: dict[str, Parameters], max_norm: float, *, together: bool) -> Tensor:
        """Returns the norm over all groups."""
        for name, group in self.groups.items():
            for n, tensor in group.items():
                gradient = mine[name][n].grad
                assert gradient is not None
                tensor.grad = gradient[self.agent].clone()
        tensors = [list(group.values()) for group in self.groups.values()]
        everything = [tensor for group in tensors for tensor in group]
        norm = torch.stack([t.grad.square().sum() for t in everything if t.grad is not None]).sum().sqrt()
        for clipped in [everything] if together else tensors:
            clip_grad_norm_(clipped, max_norm, foreach=False)
        self.optimiser.step()
        return norm


@pytest.mark.parametrize(
    ("names", "max_norm", "together"),
    [
        (("policy",), NEVER_CLIPPED, False),
        (("policy",), MAX_NORM, False),
        (("policy", "value"), MAX_NORM, False),
        (("policy", "value"), MAX_NORM, True),
    ],
    ids=["never clipped", "clipped", "two groups clipped apart", "two groups clipped together"],
)
def test_every_agent_moves_as_torchs_adam_and_clipping_move_it(
    names: tuple[str, ...], max_norm: Tensor, together: bool
) -> None:
    mine = groups(*names)
    theirs = [Theirs(mine, agent) for agent in range(AGENTS)]
    optimiser = Adam(mine, epsilon=1e-5)
    for step in range(STEPS):
        for i, group in enumerate(mine.values()):
            set_gradient(group, 100 * i + step)
        expected = torch.stack([t.step(mine, float(max_norm[t.agent]), together=together) for t in theirs])
        norm = optimiser.step(LEARNING_RATE, active=everyone(optimiser), max_norm=max_norm, clip_together=together)
        torch.testing.assert_close(norm, expected, rtol=1e-6, atol=0)
    start = groups(*names)
    for t in theirs:
        for name, tensors in t.groups.items():
            for n, tensor in tensors.items():
                before, after, expected = (
                    x.detach() for x in (start[name][n][t.agent], mine[name][n][t.agent], tensor)
                )
                moved = (after - before).abs().max()
                assert moved > 0.5 * LEARNING_RATE[t.agent]
                torch.testing.assert_close(after, expected, rtol=1e-6, atol=1e-6)
                assert (after - expected).abs().max() < 1e-4 * moved


def test_clipping_together_and_apart_differ() -> None:
    ends = []
    for together in (False, True):
        mine = groups("policy", "value")
        optimiser = Adam(mine)
        for step in range(5):
            for i, group in enumerate(mine.values()):
                set_gradient(group, 100 * i + step)
            optimiser.step(LEARNING_RATE, active=everyone(optimiser), max_norm=MAX_NORM, clip_together=together)
        ends.append(mine["policy"].theta)
    assert not torch.allclose(ends[0][0], ends[1][0], rtol=1e-4)
    assert torch.equal(ends[0][2], ends[1][2])  # the agent that is never clipped


def test_the_first_step_has_the_length_of_the_learning_rate_in_every_direction() -> None:
    mine = groups("policy")
    before = mine["policy"].theta.clone()
    set_gradient(mine["policy"], 4)
    Adam(mine, epsilon=0.0).step(LEARNING_RATE, active={"policy": torch.ones(3).bool()}, max_norm=NEVER_CLIPPED)
    moved = before - mine["policy"].theta
    used = mine["policy"].gradient != 0
    expected = mine["policy"].gradient.sign() * LEARNING_RATE[:, None]
    torch.testing.assert_close(moved[used], expected[used], rtol=1e-3, atol=1e-7)


def bits(optimiser: Adam, name: str, agent: int) -> list[bytes]:
    stored = optimiser.groups[name].theta, optimiser.first_moment[name], optimiser.second_moment[name]
    return [x[agent].numpy().tobytes() for x in stored]


@pytest.mark.parametrize("broken", [1.0, float("nan"), float("inf")], ids=["finite", "NaN", "inf"])
def test_an_agent_that_rests_keeps_everything_bit_for_bit_while_others_move(broken: float) -> None:
    optimiser = Adam(groups("policy", "value"))
    for group in optimiser.groups.values():
        set_gradient(group, 1)
    optimiser.step(LEARNING_RATE, active=everyone(optimiser), max_norm=MAX_NORM)
    before = {(name, a): bits(optimiser, name, a) for name in SHAPES for a in range(AGENTS)}
    for group in optimiser.groups.values():
        set_gradient(group, 2)
        group.gradient[1] *= broken
    active = {"policy": torch.tensor([True, False, True]), "value": torch.tensor([True, False, False])}
    optimiser.step(LEARNING_RATE, active=active, max_norm=MAX_NORM)
    for name, mask in active.items():
        for a, moves in enumerate(mask.tolist()):
            assert (bits(optimiser, name, a) != before[name, a]) == moves
        assert optimiser.steps[name] == [1 + moves for moves in mask.tolist()]
        assert optimiser.groups[name].theta.isfinite().all()


@pytest.mark.parametrize("together", [False, True])
def test_an_agents_nan_does_not_reach_another_agent(together: bool) -> None:
    ends = []
    for broken in (1.0, float("nan")):
        optimiser = Adam(groups("policy", "value"))
        for group in optimiser.groups.values():
            set_gradient(group, 1)
            group.gradient[1] *= broken
        optimiser.step(LEARNING_RATE, active=everyone(optimiser), max_norm=MAX_NORM, clip_together=together)
        ends.append({(name, a): bits(optimiser, name, a) for name in SHAPES for a in range(AGENTS)})
    assert all((ends[0][key] == ends[1][key]) == (key[1] != 1) for key in ends[0])


def test_an_agent_that_rested_is_one_that_made_fewer_steps() -> None:
    """Bit for bit, bias correction included."""
    resting, fewer = Adam(groups("policy")), Adam(groups("policy"))
    for step in range(12):
        rests = step % 3 == 1
        for optimiser in (resting, fewer):
            set_gradient(optimiser.groups["policy"], step)
        mask = torch.tensor([True, not rests, True])
        resting.step(LEARNING_RATE, active={"policy": mask}, max_norm=MAX_NORM)
        if not rests:
            fewer.step(LEARNING_RATE, active=everyone(fewer), max_norm=MAX_NORM)
    assert resting.steps["policy"] == [12, 8, 12]
    assert bits(resting, "policy", 1) == bits(fewer, "policy", 1)
    assert bits(resting, "policy", 0) != bits(fewer, "policy", 0)


def test_an_agent_moves_alone_as_it_moves_among_others() -> None:
    together, alone = Adam(groups("policy", "value")), Adam(groups("policy", "value", agents=1))
    for name, group in alone.groups.items():
        group.theta.copy_(together.groups[name].theta[1:2])
    for step in range(10):
        for name, group in together.groups.items():
            set_gradient(group, step)
            alone.groups[name].gradient.copy_(group.gradient[1:2])
        norm = together.step(LEARNING_RATE, active=everyone(together), max_norm=MAX_NORM)
        active = {name: torch.ones(1, dtype=torch.bool) for name in SHAPES}
        own = alone.step(LEARNING_RATE[1:2], active=active, max_norm=MAX_NORM[1:2])
        assert own[0] == norm[1]
    for name in SHAPES:
        assert bits(together, name, 1) == bits(alone, name, 0)


def test_zero_gradient_clears_every_group() -> None:
    optimiser = Adam(groups("policy", "value"))
    for group in optimiser.groups.values():
        set_gradient(group, 1)
    optimiser.zero_gradient()
    assert all((group.gradient == 0).all() for group in optimiser.groups.values())
