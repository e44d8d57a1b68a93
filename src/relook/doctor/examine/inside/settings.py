"""What each algorithm is examined with: small networks, few steps, and every option on in one setting or another."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relook.doctor.examine.inside.ward import Fault

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Setting:
    """A training that is looked at."""

    values: Values
    continuous: bool
    still: bool = False
    iterations: int = 3
    evaluate_episodes: int = 2
    fault: Fault = ""
    mixed: bool = False
    rescale: bool = True
    more_steps: int = 0
    """Steps beyond whole iterations, too few for another one."""
    once: bool = False
    """Whether only the first reset of each environment is seeded."""
    networks: Callable[..., Any] | None = None
    """What makes the actor-critic, if it is not the algorithm's own."""


SHARE = 0.8
"""What the second agent has of each of the first one's numbers, so that one who gets the other's is seen."""

_ON = {"envs": 3, "horizon": 10, "hidden": (8, 8), "learning_rate": 3e-3}
_NATURAL = {"envs": 3, "horizon": 10, "hidden": (8, 8), "minibatch": 12, "value_epochs": 2}
_MANY = {"envs": 3, "horizon": 100, "hidden": (8, 8)}
"""Three hundred actions of the first policy."""
_OFF = {
    "envs": 2,
    "iteration": 32,
    "update_interval": 8,
    "update_to_data": 0.375,
    "learning_starts": 16,
    "capacity": 60,
    "batch": 8,
    "hidden": (8, 8),
    "n_step": 3,
}
_RANDOM = {"random_steps": 8}
_QUIET = {**_OFF, "iteration": 400, "learning_starts": 400, "capacity": 400, "n_step": 1}
"""Four hundred actions before the first update."""

_ODD_ON = {
    "envs": 2,
    "horizon": 12,
    "hidden": (6, 6, 6),
    "activation": "relu",
    "initial_log_std": -0.7,
    "discount": 0.9,
}
"""What the other settings leave as it is: a factor that is forgotten does not show where it is 1."""
_ODD_OFF = {
    "envs": 3,
    "iteration": 30,
    "update_interval": 6,
    "update_to_data": 0.5,
    "learning_starts": 12,
    "capacity": 60,
    "batch": 6,
    "n_step": 2,
    "hidden": (6, 6, 6),
    "activation": "tanh",
    "initialisation": "uniform",
    "adam_epsilon": 1e-3,
    "discount": 0.9,
}

_BRIEF_ON = {"envs": 2, "horizon": 4, "hidden": (8, 8)}
_BRIEF_OFF = {**_OFF, "hidden": (256, 256), "iteration": 8, "update_interval": 4, "update_to_data": 0.25, "n_step": 1}


def _brief(values: Values, *, continuous: bool) -> Setting:
    """More than ten iterations, and not a multiple of ten; some steps are too few for another one."""
    return Setting(values, continuous, iterations=13, evaluate_episodes=1, more_steps=3)


def _still(values: Values, *, continuous: bool, rescale: bool = True) -> Setting:
    return Setting(values, continuous, still=True, iterations=1, evaluate_episodes=1, rescale=rescale)


SETTINGS: Mapping[str, tuple[Setting, ...]] = {
    "reinforce": (
        Setting({**_ON, "value_epochs": 2}, continuous=False),
        Setting({**_ON, "value_epochs": 2, "normalise_observations": True, "scale_rewards": False}, continuous=True),
        Setting({**_ON, "baseline": "none", "normalise_advantages": False}, continuous=False, iterations=2),
        Setting({**_ON, "horizon": 2, "learning_rate": 0.05}, continuous=False, iterations=5),
        Setting(
            {
                **_ODD_ON,
                "value_epochs": 3,
                "learning_rate": 5e-3,
                "value_learning_rate": 2e-3,
                "adam_epsilon": 1e-3,
                "anneal_learning_rate": False,
            },
            continuous=True,
            evaluate_episodes=3,
        ),
        _brief(_BRIEF_ON, continuous=False),
        _still(_MANY, continuous=True),
        _still(_MANY, continuous=False),
    ),
    "vpg": (
        Setting({**_ON, "minibatch": 12, "value_epochs": 2}, continuous=False),
        Setting(
            {
                **_ON,
                "minibatch": 12,
                "value_epochs": 2,
                "entropy_coefficient": 0.05,
                "normalise_observations": True,
                "max_gradient_norm": 0.05,
            },
            continuous=True,
        ),
        Setting(
            {
                **_ODD_ON,
                "gae_lambda": 0.7,
                "minibatch": 8,
                "value_epochs": 3,
                "learning_rate": 5e-3,
                "value_learning_rate": 2e-3,
                "adam_epsilon": 1e-3,
                "anneal_learning_rate": False,
                "normalise_advantages": False,
                "scale_rewards": False,
            },
            continuous=True,
            evaluate_episodes=3,
        ),
        _brief({**_BRIEF_ON, "minibatch": 8, "value_epochs": 1}, continuous=False),
        _still(_MANY, continuous=True),
        _still(_MANY, continuous=False),
    ),
    "a2c": (
        Setting({**_ON, "horizon": 5, "rollouts": 2, "entropy_coefficient": 0.05}, continuous=False),
        Setting(
            {
                **_ON,
                "horizon": 5,
                "rollouts": 2,
                "normalise_observations": True,
                "normalise_advantages": True,
                "clip_together": True,
                "optimiser": "adam",
                "max_gradient_norm": 0.1,
            },
            continuous=True,
        ),
        Setting(
            {
                **_ODD_ON,
                "horizon": 4,
                "rollouts": 3,
                "gae_lambda": 0.7,
                "value_coefficient": 0.9,
                "learning_rate": 5e-3,
                "epsilon": 1e-3,
                "anneal_learning_rate": False,
                "scale_rewards": False,
            },
            continuous=True,
            evaluate_episodes=3,
            once=True,
        ),
        _brief({**_BRIEF_ON, "rollouts": 1}, continuous=False),
        _still({**_MANY, "rollouts": 1}, continuous=True),
        _still({**_MANY, "rollouts": 1}, continuous=False),
    ),
    "trpo": (
        Setting(_NATURAL, continuous=False),
        Setting({**_NATURAL, "normalise_observations": True}, continuous=True),
        Setting(
            {
                **_ODD_ON,
                "gae_lambda": 0.7,
                "minibatch": 8,
                "value_epochs": 3,
                "target_kl": 0.03,
                "damping": 0.03,
                "backtrack_ratio": 0.6,
                "cg_steps": 4,
                "backtracks": 3,
                "value_learning_rate": 2e-3,
                "adam_epsilon": 1e-3,
                "anneal_target_kl": False,
                "normalise_advantages": False,
                "scale_rewards": False,
            },
            continuous=True,
            evaluate_episodes=3,
        ),
        Setting({**_NATURAL, "line_search": False}, continuous=False, iterations=2),
        _brief({**_BRIEF_ON, "minibatch": 8, "value_epochs": 1}, continuous=False),
        _still(_MANY, continuous=True),
        _still(_MANY, continuous=False),
    ),
    "ppo": (
        Setting({**_ON, "minibatch": 12, "epochs": 3, "clip": 0.02, "entropy_coefficient": 0.05}, continuous=False),
        Setting(
            {
                **_ON,
                "minibatch": 12,
                "epochs": 8,
                "clip": 0.05,
                "value_clip": 0.05,
                "target_kl": 0.005,
                "kl_stops": "policy",
                "entropy_coefficient": 0.05,
                "value_learning_rate_factor": 2.0,
                "normalise_observations": True,
                "max_gradient_norm": 0.3,
                "clip_together": True,
                "activation": "relu",
            },
            continuous=True,
            mixed=True,
        ),
        Setting(
            {**_ON, "minibatch": 30, "epochs": 1, "scale_rewards": False, "normalise_advantages": False},
            continuous=True,
            iterations=2,
        ),
        Setting({**_ON, "minibatch": 12, "epochs": 1}, continuous=True, iterations=2, fault="raises"),
        Setting({**_ON, "minibatch": 12, "epochs": 1}, continuous=True, iterations=2, fault="nan"),
        Setting(
            {**_ON, "envs": 16, "horizon": 2, "minibatch": 32, "hidden": (20, 136)}, continuous=False, iterations=2
        ),
        Setting(
            {
                **_ODD_ON,
                "recompute_advantages": True,
                "gae_lambda": 0.7,
                "minibatch": 8,
                "epochs": 6,
                "clip": 0.3,
                "value_coefficient": 0.9,
                "target_kl": 0.003,
                "learning_rate": 5e-3,
                "adam_epsilon": 1e-3,
                "anneal_learning_rate": False,
                "anneal_clip": False,
            },
            continuous=True,
            evaluate_episodes=3,
        ),
        _brief({**_BRIEF_ON, "minibatch": 8, "epochs": 1}, continuous=False),
        _still(_MANY, continuous=True),
        _still(_MANY, continuous=False),
    ),
    "dqn": (
        Setting({**_OFF, "target_interval": 16}, continuous=False, iterations=4),
        Setting(
            {
                **_OFF,
                "target_interval": 8,
                "target_rate": 0.1,
                "double": False,
                "dueling": True,
                "loss": "huber",
                "n_step": 1,
                "max_gradient_norm": 0.1,
            },
            continuous=False,
        ),
        Setting({**_OFF, "target_interval": 16, "n_step": 1}, continuous=False, mixed=True),
        Setting(
            {
                **_ODD_OFF,
                "target_interval": 12,
                "learning_rate": 3e-3,
                "final_epsilon": 0.3,
                "exploration": 0.7,
                "loss": "huber",
                "anneal_learning_rate": False,
            },
            continuous=False,
            evaluate_episodes=3,
            once=True,
        ),
        _brief({**_BRIEF_OFF, "target_interval": 8}, continuous=False),
        _still({**_QUIET, "target_interval": 16}, continuous=False),
    ),
    "ddpg": (
        Setting({**_OFF, **_RANDOM, "target_rate": 0.1, "q_learning_rate": 2e-3}, continuous=True),
        Setting({**_OFF, "random_steps": 40, "exploration_noise": 0.5, "n_step": 1}, continuous=True, rescale=False),
        Setting(
            {
                **_ODD_OFF,
                "random_steps": 12,
                "target_rate": 0.2,
                "anneal_learning_rate": True,
                "exploration_noise": 0.3,
                "learning_rate": 0.05,
            },
            continuous=True,
            evaluate_episodes=3,
        ),
        _brief({**_BRIEF_OFF, **_RANDOM}, continuous=True),
        _still({**_QUIET, "random_steps": 200}, continuous=True, rescale=False),
    ),
    "td3": (
        Setting({**_OFF, **_RANDOM, "target_rate": 0.1, "target_noise": 0.6, "q_learning_rate": 2e-3}, continuous=True),
        Setting(
            {**_OFF, **_RANDOM, "target_rate": 0.1, "noise_clip": 5.0, "target_noise": 3.0, "n_step": 1},
            continuous=True,
            rescale=False,
        ),
        Setting(
            {
                **_ODD_OFF,
                "random_steps": 12,
                "target_rate": 0.2,
                "anneal_learning_rate": True,
                "exploration_noise": 0.3,
                "policy_delay": 3,
                "learning_rate": 0.05,
            },
            continuous=True,
            evaluate_episodes=3,
            once=True,
        ),
        _brief({**_BRIEF_OFF, **_RANDOM}, continuous=True),
        _still({**_QUIET, "random_steps": 200}, continuous=True, rescale=False),
    ),
    "sac": (
        Setting(
            {
                **_OFF,
                **_RANDOM,
                "target_rate": 0.1,
                "temperature": 0.5,
                "target_entropy": -0.7,
                "q_learning_rate": 2e-3,
                "temperature_learning_rate": 5e-3,
            },
            continuous=True,
        ),
        Setting(
            {**_OFF, **_RANDOM, "learn_temperature": False, "temperature": 0.3, "n_step": 1, "hidden": (20, 136)},
            continuous=True,
            rescale=False,
        ),
        Setting(
            {
                **_ODD_OFF,
                "random_steps": 12,
                "target_rate": 0.2,
                "learning_rate": 3e-3,
                "anneal_learning_rate": True,
                "temperature": 0.2,
            },
            continuous=True,
            evaluate_episodes=3,
        ),
        _brief({**_BRIEF_OFF, **_RANDOM}, continuous=True),
        _still({**_QUIET, "random_steps": 200}, continuous=True, rescale=False),
    ),
}
