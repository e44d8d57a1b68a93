"""Networks of a population: every layer holds one matrix per agent."""

from relook.networks.actor_critic import ActorCritic, network_settings
from relook.networks.continuous import DeterministicActorCritic, SquashedActorCritic
from relook.networks.loading import from_settings
from relook.networks.mlp import MLP
from relook.networks.modules import module_actor_critic
from relook.networks.policies import CategoricalPolicy, GaussianPolicy, policy_for
from relook.networks.q_functions import QFunctions
from relook.networks.q_network import QNetwork
from relook.networks.tables import Tables
from relook.networks.values import fit_value

__all__ = [
    "MLP",
    "ActorCritic",
    "CategoricalPolicy",
    "DeterministicActorCritic",
    "GaussianPolicy",
    "QFunctions",
    "QNetwork",
    "SquashedActorCritic",
    "Tables",
    "fit_value",
    "from_settings",
    "module_actor_critic",
    "network_settings",
    "policy_for",
]
