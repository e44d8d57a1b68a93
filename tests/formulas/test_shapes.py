"""One value per agent meets tensors with more axes."""

import pytest
import torch

from relook.formulas.shapes import expand


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_expand_gives_the_rank_asked_for(rank: int) -> None:
    assert expand(torch.ones(5), rank).shape == (5, *[1] * (rank - 1))


@pytest.mark.parametrize("shape", [(), (3, 1), (1, 3), (3, 3), (3, 1, 1)])
def test_expand_refuses_what_is_not_one_value_per_agent(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="one value per agent"):
        expand(torch.ones(shape), 3)


def test_expand_meets_the_first_axis_also_when_all_axes_are_equally_long() -> None:
    per_agent = torch.tensor([1.0, 2.0, 3.0])
    product = expand(per_agent, 3) * torch.ones(3, 3, 3)
    for a in range(3):
        assert (product[a] == per_agent[a]).all()
    assert not torch.equal(product, per_agent * torch.ones(3, 3, 3))
    assert not torch.equal(product, per_agent.unsqueeze(1) * torch.ones(3, 3, 3))
