"""How one value per agent meets a tensor with more axes."""

from torch import Tensor


def expand(per_agent: Tensor, rank: int) -> Tensor:
    """Give `per_agent` [A] trailing axes of length 1: it then broadcasts along the first axis of a rank-`rank` tensor.

    Without the rank, γ of shape [A, 1] times a reward of shape [A, T, N] would broadcast along T, in silence whenever
    T equals A.
    """
    if per_agent.ndim != 1:
        raise ValueError(f"expected one value per agent, shape [A]; found shape {list(per_agent.shape)}")
    return per_agent.reshape(-1, *[1] * (rank - 1))
