"""Networks as a run's record describes them."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from relook.envs import Spaces
from relook.errors import RelookError
from relook.networks.actor_critic import ActorCritic
from relook.networks.continuous import DeterministicActorCritic, SquashedActorCritic
from relook.networks.q_network import QNetwork
from relook.networks.tables import Tables
from relook.population import Agents

KINDS: dict[str, Callable[..., Any]] = {
    kind.__name__: kind for kind in (ActorCritic, QNetwork, DeterministicActorCritic, SquashedActorCritic, Tables)
}
"""All that a record may name; a name in a file makes nothing else."""


def from_settings(
    kind: object,
    spaces: Spaces,
    agents: Agents,
    settings: Mapping[str, Any],
    make: Callable[..., Any] | None = None,
) -> Any:
    """Build what a run's record describes, with the function `make` that it was trained with if that was not ours.

    Raises `RelookError` if the record describes nothing that can be built.
    """
    if kind not in KINDS:
        raise RelookError(f"expected networks of a kind among {', '.join(KINDS)}; found {kind!r}")
    known = KINDS[str(kind)]
    try:
        typed = {
            name: _typed(parameter.default, settings[name])
            for name, parameter in inspect.signature(known).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY and name != "networks"
        }
        return (make or known)(spaces, agents, **typed)
    except (KeyError, TypeError, ValueError) as error:
        raise RelookError(f"expected the settings of networks; found {settings!r} ({error!r})") from error


def _typed(default: Any, value: Any) -> Any:
    """A setting as JSON gives it, in the type of its default."""
    return tuple(int(width) for width in value) if isinstance(default, tuple) else type(default)(value)
