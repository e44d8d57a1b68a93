"""Training functions of other libraries' PPO, for `relook doctor algorithm`, with settings that fit its small problems.

    pip install relook -r benchmarks/peers/examined.txt      # in an environment of its own
    relook doctor algorithm benchmarks.peers.trainers:tianshou_ppo
    relook doctor algorithm benchmarks.peers.trainers:skrl_ppo
    relook doctor algorithm benchmarks.peers.trainers:skrl_ppo_bootstrapping

Stable-Baselines3 has its adapter in relook itself: `relook doctor algorithm sb3:PPO`.
"""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch

HORIZON, HIDDEN, RATE = 256, 32, 3e-3


class Greedy:
    """The most probable action of logits, and a value, for one observation."""

    def __init__(self, logits: Callable[[torch.Tensor], torch.Tensor], value: Callable[[torch.Tensor], Any]) -> None:
        self._logits, self._value = logits, value

    def act(self, observation: Any) -> int:
        return int(self._logits(torch.as_tensor(np.atleast_2d(observation), dtype=torch.float32)).argmax())

    def value(self, observation: Any) -> float:
        return float(self._value(torch.as_tensor(np.atleast_2d(observation), dtype=torch.float32)))


def tianshou_ppo(env_fn: Callable[[], gym.Env[Any, Any]], steps: int, seed: int) -> Greedy:
    """The PPO of Tianshou with a categorical policy, its own collector and trainer."""
    from tianshou.algorithm.modelfree.ppo import PPO
    from tianshou.algorithm.modelfree.reinforce import DiscreteActorPolicy
    from tianshou.algorithm.optim import AdamOptimizerFactory
    from tianshou.data import Collector, VectorReplayBuffer
    from tianshou.env import DummyVectorEnv
    from tianshou.trainer import OnPolicyTrainerParams
    from tianshou.utils.net.common import Net
    from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic

    np.random.seed(seed)  # noqa: NPY002  # what it draws from
    torch.manual_seed(seed)
    envs = DummyVectorEnv([env_fn])
    envs.seed(seed)
    observed, actions = envs.observation_space[0], envs.action_space[0]

    def net() -> Any:
        return Net(state_shape=observed.shape, hidden_sizes=[HIDDEN])

    actor = DiscreteActor(preprocess_net=net(), action_shape=actions.n, softmax_output=False)
    critic = DiscreteCritic(preprocess_net=net())
    policy = DiscreteActorPolicy(
        actor=actor, dist_fn=lambda logits: torch.distributions.Categorical(logits=logits), action_space=actions
    )
    algorithm = PPO(policy=policy, critic=critic, optim=AdamOptimizerFactory(lr=RATE), ent_coef=0.0)
    collector = Collector(algorithm, envs, VectorReplayBuffer(HORIZON, 1))
    algorithm.run_training(
        OnPolicyTrainerParams(
            training_collector=collector,
            max_epochs=1,
            epoch_num_steps=steps,
            collection_step_num_env_steps=HORIZON,
            update_step_num_repetitions=10,
            batch_size=64,
            verbose=False,
            show_progress=False,
        )
    )
    return Greedy(lambda x: actor(x)[0], critic)


def skrl_ppo(env: gym.Env[Any, Any], steps: int, seed: int, **changed: Any) -> Greedy:
    """The PPO of skrl with a categorical policy, its own wrapper and sequential trainer."""
    from skrl.agents.torch.ppo import PPO, PPO_CFG
    from skrl.envs.wrappers.torch import wrap_env
    from skrl.memories.torch import RandomMemory
    from skrl.models.torch import CategoricalMixin, DeterministicMixin, Model
    from skrl.trainers.torch import SequentialTrainer, SequentialTrainerCfg
    from skrl.utils import set_seed

    set_seed(seed)

    def layers(size: int, outputs: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(size, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, outputs))

    class Policy(CategoricalMixin, Model):
        def __init__(self, **spaces: Any) -> None:
            Model.__init__(self, **spaces)
            CategoricalMixin.__init__(self)
            self.net = layers(self.num_observations, self.num_actions)

        def compute(self, inputs: dict[str, Any], role: str = "") -> tuple[Any, dict[str, Any]]:
            return self.net(inputs["observations"]), {}

    class Value(DeterministicMixin, Model):
        def __init__(self, **spaces: Any) -> None:
            Model.__init__(self, **spaces)
            DeterministicMixin.__init__(self)
            self.net = layers(self.num_observations, 1)

        def compute(self, inputs: dict[str, Any], role: str = "") -> tuple[Any, dict[str, Any]]:
            return self.net(inputs["observations"]), {}

    env.reset(seed=seed)
    wrapped = wrap_env(env, verbose=False)
    spaces = {
        "observation_space": wrapped.observation_space,
        "action_space": wrapped.action_space,
        "device": wrapped.device,
    }
    models: dict[str, Any] = {"policy": Policy(**spaces), "value": Value(**spaces)}
    settings = PPO_CFG(rollouts=HORIZON, learning_epochs=10, mini_batches=4, learning_rate=RATE, **changed)
    settings.experiment.write_interval = settings.experiment.checkpoint_interval = 0
    agent = PPO(
        models=models,
        memory=RandomMemory(memory_size=HORIZON, num_envs=1, device=wrapped.device),
        cfg=settings,
        **spaces,
    )
    SequentialTrainer(
        env=wrapped,
        agents=agent,
        cfg=SequentialTrainerCfg(timesteps=steps, headless=True, disable_progressbar=True),
    ).train()
    return Greedy(models["policy"].net, models["value"].net)


def skrl_ppo_bootstrapping(env: gym.Env[Any, Any], steps: int, seed: int) -> Greedy:
    """The same, with the option that lets values go on beyond a time limit."""
    return skrl_ppo(env, steps, seed, time_limit_bootstrap=True)
