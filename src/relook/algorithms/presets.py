"""Settings of each algorithm: ours for MuJoCo, and other implementations' with what still differs from them."""

from relook.population.hyperparameters import Preset

# What the three algorithms of continuous actions have in common in each source.
SPINNING_UP = {
    "update_interval": 50,
    "batch": 100,
    "initialisation": "uniform",
}
SPINNING_UP_DIFFERS = (
    "noise is in units of the environment's actions there, and in halves of their range here",
    "an episode whose end falls on its time limit never terminates there",
    "environments are reset without seeds there",
)
SB3 = {"random_steps": 100, "learning_starts": 100, "initialisation": "uniform"}
CLEANRL = {"learning_rate": 3e-4, "initialisation": "uniform"}

# What our settings of PPO, TRPO and VPG for MuJoCo have in common.
MUJOCO = {
    "discount": 0.99,
    "envs": 64,
    "horizon": 32,
    "minibatch": 64,
    "initial_log_std": -1.0,
    "normalise_observations": True,
}

PRESETS: dict[str, dict[str, Preset]] = {
    "reinforce": {
        "spinning-up": Preset(
            "Spinning Up, the example `2_rtg_pg.py`",
            {
                "learning_rate": 1e-2,
                "discount": 1.0,
                "envs": 1,
                "horizon": 5000,
                "baseline": "none",
                "hidden": (32,),
                "adam_epsilon": 1e-8,
                "anneal_learning_rate": False,
                "normalise_advantages": False,
                "scale_rewards": False,
            },
            {},
            (
                "an update waits for the end of the episode in which step 5000 falls there; here it learns from the "
                "episodes that have ended, and the one that goes on waits for the next",
                "weights start as torch's layers start them there, and orthogonal here",
            ),
        ),
    },
    "vpg": {
        "mujoco": Preset(
            "ours for MuJoCo, chosen on HalfCheetah-v5 at 1,000,000 steps",
            {**MUJOCO, "learning_rate": 3e-3},
            {},
            (),
        ),
        "spinning-up": Preset(
            "Spinning Up, the defaults of `vpg_pytorch`",
            {
                "learning_rate": 3e-4,
                "discount": 0.99,
                "gae_lambda": 0.97,
                "envs": 1,
                "horizon": 4000,
                "value_epochs": 80,
                "minibatch": 4000,
                "initial_log_std": -0.5,
                "adam_epsilon": 1e-8,
                "anneal_learning_rate": False,
                "scale_rewards": False,
            },
            {"rescale_actions": False},
            (
                "targets of the value function are λ = 1 returns there, and λ-returns here",
                "weights start uniform there, and orthogonal here",
                "an episode is cut at the end of a rollout there",
            ),
        ),
    },
    "a2c": {
        "mujoco": Preset(
            "ours for MuJoCo, chosen on HalfCheetah-v5 at 1,000,000 steps",
            {
                "learning_rate": 1.6e-3,
                "discount": 0.99,
                "gae_lambda": 0.915,
                "value_coefficient": 0.8,
                "envs": 16,
                "rollouts": 16,
                "initial_log_std": -1.0,
                "normalise_observations": True,
            },
            {},
            (),
        ),
        "sb3": Preset(
            "Stable-Baselines3 2.9, the defaults of `A2C` with `MlpPolicy`",
            {
                "learning_rate": 7e-4,
                "discount": 0.99,
                "envs": 1,
                "horizon": 5,
                "rollouts": 100,
                "clip_together": True,
                "anneal_learning_rate": False,
                "scale_rewards": False,
            },
            {"rescale_actions": False},
            (
                "environments are reset with a seed once there, and at every episode here",
                "steps are rounded up to whole rollouts there and down to whole iterations here",
            ),
        ),
    },
    "trpo": {
        "mujoco": Preset(
            "ours for MuJoCo, chosen on HalfCheetah-v5 at 1,000,000 steps",
            {**MUJOCO, "target_kl": 0.03, "gae_lambda": 0.93},
            {},
            (),
        ),
        "spinning-up": Preset(
            "Spinning Up, the defaults of `trpo_tf1`",
            {
                "discount": 0.99,
                "gae_lambda": 0.97,
                "envs": 1,
                "horizon": 4000,
                "value_epochs": 80,
                "minibatch": 4000,
                "initial_log_std": -0.5,
                "adam_epsilon": 1e-8,
                "anneal_target_kl": False,
                "scale_rewards": False,
            },
            {"rescale_actions": False},
            (
                "targets of the value function are λ = 1 returns there, and λ-returns here",
                "a time limit counts as an end there: targets do not bootstrap through truncation",
                "weights start uniform there, and orthogonal here",
            ),
        ),
        "sb3": Preset(
            "sb3-contrib 2.9, the defaults of `TRPO` with `MlpPolicy`",
            {
                "discount": 0.99,
                "cg_steps": 15,
                "envs": 1,
                "horizon": 2048,
                "anneal_target_kl": False,
                "scale_rewards": False,
            },
            {"rescale_actions": False},
            (
                "the sd that advantages are divided by has Bessel's correction there",
                "environments are reset with a seed once there, and at every episode here",
                "KL is that of the new policy to the old one there, and of the old to the new here",
            ),
        ),
    },
    "ppo": {
        "mujoco": Preset(
            "ours for MuJoCo, chosen on HalfCheetah-v5 at 1,000,000 steps",
            {
                **MUJOCO,
                "learning_rate": 4e-4,
                "gae_lambda": 0.93,
                "value_coefficient": 0.25,
                "entropy_coefficient": 0.01,
                "anneal_clip": False,
                "recompute_advantages": True,
            },
            {},
            (),
        ),
        "sb3": Preset(
            "Stable-Baselines3 2.9, the defaults of `PPO` with `MlpPolicy`",
            {
                "learning_rate": 3e-4,
                "discount": 0.99,
                "gae_lambda": 0.95,
                "envs": 1,
                "horizon": 2048,
                "minibatch": 64,
                "clip_together": True,
                "anneal_learning_rate": False,
                "anneal_clip": False,
                "scale_rewards": False,
            },
            {"rescale_actions": False},
            (
                "the sd that advantages are divided by has Bessel's correction there (a factor of 1.008 at 64 samples)",
                "environments are reset with a seed once there, and at every episode here",
                "steps are rounded up to whole rollouts there and down here",
            ),
        ),
        "cleanrl": Preset(
            "CleanRL, `ppo.py` (discrete actions)",
            {
                "learning_rate": 2.5e-4,
                "discount": 0.99,
                "gae_lambda": 0.95,
                "value_clip": 0.2,
                "value_coefficient": 0.25,
                "entropy_coefficient": 0.01,
                "envs": 4,
                "horizon": 128,
                "minibatch": 128,
                "epochs": 4,
                "clip_together": True,
                "anneal_clip": False,
                "scale_rewards": False,
            },
            {},
            (
                "a time limit counts as an end there: targets do not bootstrap through truncation",
                "the value loss is halved there and weighted with 0.5, which is 0.25 here",
                "the sd that advantages are divided by has Bessel's correction there",
            ),
        ),
        "cleanrl-continuous": Preset(
            "CleanRL, `ppo_continuous_action.py`",
            {
                "learning_rate": 3e-4,
                "discount": 0.99,
                "gae_lambda": 0.95,
                "value_clip": 0.2,
                "value_coefficient": 0.25,
                "envs": 1,
                "horizon": 2048,
                "minibatch": 64,
                "clip_together": True,
                "anneal_clip": False,
                "normalise_observations": True,
            },
            {"rescale_actions": False},
            (
                "a time limit counts as an end there: targets do not bootstrap through truncation",
                "running statistics of observations and returns move at every step there, and between iterations here",
                "scaled rewards are cut at ±10 there",
                "the sd that advantages are divided by has Bessel's correction there",
            ),
        ),
        "spinning-up": Preset(
            "Spinning Up, the defaults of `ppo_pytorch`",
            {
                "learning_rate": 3e-4,
                "value_learning_rate_factor": 10 / 3,
                "discount": 0.99,
                "gae_lambda": 0.97,
                "value_coefficient": 1.0,
                "max_gradient_norm": float("inf"),
                "target_kl": 0.01,
                "adam_epsilon": 1e-8,
                "envs": 1,
                "horizon": 4000,
                "minibatch": 4000,
                "epochs": 80,
                "initial_log_std": -0.5,
                "anneal_learning_rate": False,
                "anneal_clip": False,
                "scale_rewards": False,
                "kl_stops": "policy",
            },
            {"rescale_actions": False},
            (
                "V is fitted to discounted rewards-to-go there, and to λ-returns here",
                "weights start as torch's layers start them there, and orthogonal here",
                "KL is estimated by the mean of -log r there, which may be negative",
                "actions are not cut to their bounds there",
                "an end that falls on a rollout's last step bootstraps there",
            ),
        ),
    },
    "dqn": {
        "sb3": Preset(
            "Stable-Baselines3 2.9, the defaults of `DQN` with `MlpPolicy`",
            {
                "learning_rate": 1e-4,
                "exploration": 0.1,
                "max_gradient_norm": 10.0,
                "update_to_data": 0.25,
                "target_interval": 10_000,
                "learning_starts": 100,
                "capacity": 1_000_000,
                "batch": 32,
                "n_step": 1,
                "loss": "huber",
                "double": False,
                "hidden": (64, 64),
                "initialisation": "uniform",
                "anneal_learning_rate": False,
            },
            {},
            (
                "the target network is copied while collecting there, and after the updates of that step here",
                "environments are reset with a seed once there, and at every episode here",
            ),
        ),
        "cleanrl": Preset(
            "CleanRL, `dqn.py`",
            {
                "learning_rate": 2.5e-4,
                "exploration": 0.5,
                "update_interval": 10,
                "update_to_data": 0.1,
                "learning_starts": 10_000,
                "capacity": 10_000,
                "n_step": 1,
                "double": False,
                "hidden": (120, 84),
                "initialisation": "uniform",
                "anneal_learning_rate": False,
            },
            {},
            ("environments are reset with a seed once there, and at every episode here",),
        ),
    },
    "ddpg": {
        "spinning-up": Preset(
            "Spinning Up, the defaults of `ddpg_pytorch`",
            {**SPINNING_UP, "learning_starts": 1_000},
            {"rescale_actions": False},
            SPINNING_UP_DIFFERS,
        ),
        "sb3": Preset(
            "Stable-Baselines3 2.9, the defaults of `DDPG` with `MlpPolicy`",
            {**SB3, "exploration_noise": 0.0, "hidden": (400, 300)},
            {},
            ("environments are reset with a seed once there, and at every episode here",),
        ),
        "cleanrl": Preset(
            "CleanRL, `ddpg_continuous_action.py`",
            {**CLEANRL, "q_learning_rate": 3e-4, "random_steps": 25_000, "learning_starts": 25_000},
            {"rescale_actions": False},
            (
                "policy and targets move at every second update there",
                "environments are reset with a seed once there, and at every episode here",
            ),
        ),
    },
    "td3": {
        "spinning-up": Preset(
            "Spinning Up, the defaults of `td3_pytorch`",
            {**SPINNING_UP, "learning_starts": 1_000},
            {"rescale_actions": False},
            SPINNING_UP_DIFFERS,
        ),
        "sb3": Preset(
            "Stable-Baselines3 2.9, the defaults of `TD3` with `MlpPolicy`",
            {**SB3, "exploration_noise": 0.0, "hidden": (400, 300)},
            {},
            ("environments are reset with a seed once there, and at every episode here",),
        ),
        "cleanrl": Preset(
            "CleanRL, `td3_continuous_action.py`",
            {**CLEANRL, "q_learning_rate": 3e-4, "random_steps": 25_000, "learning_starts": 25_000},
            {"rescale_actions": False},
            ("environments are reset with a seed once there, and at every episode here",),
        ),
    },
    "sac": {
        "spinning-up": Preset(
            "Spinning Up, the defaults of `sac_pytorch`",
            {**SPINNING_UP, "random_steps": 10_000, "temperature": 0.2, "learn_temperature": False},
            {"rescale_actions": False},
            SPINNING_UP_DIFFERS,
        ),
        "sb3": Preset(
            "Stable-Baselines3 2.9, the defaults of `SAC` with `MlpPolicy`",
            {**SB3, "learning_rate": 3e-4, "q_learning_rate": 3e-4, "temperature_learning_rate": 3e-4},
            {},
            (
                "the temperature moves before critics and policy there, and after them here",
                "the policy's loss and the temperature's share one draw of actions in both; Q's loss is halved there, "
                "which changes nothing for Adam",
                "environments are reset with a seed once there, and at every episode here",
            ),
        ),
        "cleanrl": Preset(
            "CleanRL, `sac_continuous_action.py`",
            {
                **CLEANRL,
                "random_steps": 5_000,
                "learning_starts": 5_000,
            },
            {"rescale_actions": False},
            (
                "the policy moves twice at every second update there, and once at every one here",
                "log σ is squashed into -5 … 2 there, and cut at -20 and 2 here",
                "environments are reset with a seed once there, and at every episode here",
            ),
        ),
    },
}
