"""How a hyper-parameter changes while training."""


def linear(fraction: float) -> float:
    """The factor that falls from 1 at the start of training (fraction 0) to 0 at its end (fraction 1)."""
    return 1.0 - fraction
