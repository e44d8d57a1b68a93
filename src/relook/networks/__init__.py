"""Networks of a population: every layer holds one matrix per agent."""

from relook.networks.actor_critic import ActorCritic
from relook.networks.mlp import MLP
from relook.networks.policies import CategoricalPolicy, GaussianPolicy, policy_for

ACTOR_CRITICS = {"ActorCritic": ActorCritic}
"""What the record of a run may name as its networks."""

__all__ = ["ACTOR_CRITICS", "MLP", "ActorCritic", "CategoricalPolicy", "GaussianPolicy", "policy_for"]
