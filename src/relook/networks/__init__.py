"""Networks of a population: every layer holds one matrix per agent."""

from relook.networks.actor_critic import ActorCritic
from relook.networks.mlp import MLP
from relook.networks.modules import module_actor_critic
from relook.networks.policies import CategoricalPolicy, GaussianPolicy, policy_for

__all__ = ["MLP", "ActorCritic", "CategoricalPolicy", "GaussianPolicy", "module_actor_critic", "policy_for"]
