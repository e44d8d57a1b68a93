"""Networks of a population: every layer holds one matrix per agent."""

from relook.networks.actor_critic import ActorCritic, network_settings
from relook.networks.mlp import MLP
from relook.networks.modules import module_actor_critic
from relook.networks.policies import CategoricalPolicy, GaussianPolicy, policy_for
from relook.networks.values import fit_value

__all__ = [
    "MLP",
    "ActorCritic",
    "CategoricalPolicy",
    "GaussianPolicy",
    "fit_value",
    "module_actor_critic",
    "network_settings",
    "policy_for",
]
