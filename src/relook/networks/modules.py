"""Networks of any `torch.nn.Module`, one for each agent: slower than stacked layers, and open to any architecture."""

import warnings
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import UninitializedParameter

from relook.envs import Spaces
from relook.errors import WrongRequest
from relook.networks.actor_critic import GROUPS, ActorCritic
from relook.networks.mlp import Backward, Linearised
from relook.population import Agents, Parameters, Shapes, stream

# A tensor is not one dense piece of its block, and torch says once that this may be slow for gradients. It is what lets
# an optimiser treat all tensors as one matrix, which saves far more.
warnings.filterwarnings("ignore", message="grad and param do not obey the gradient layout contract")

Factory = Callable[[int, int], nn.Module]
"""Makes a network for a number of inputs and a number of outputs: x [B, inputs] → [B, outputs]."""


def module_actor_critic(policy: Factory, value: Factory) -> Callable[..., ActorCritic]:
    """An `actor_critic` function whose networks are modules: give it to an algorithm, or name it on the command line.

    Each agent's modules are made by the factories while torch's random numbers follow the agent's own stream, so that
    any initialisation is the agent's own. Modules are called for one agent at a time, so that agents stay independent.
    Raises `WrongRequest` for modules that an agent cannot have: see `ModuleNetworks`.
    """

    def actor_critic(
        spaces: Spaces,
        agents: Agents,
        *,
        hidden: tuple[int, ...] = (64, 64),
        activation: str = "tanh",
        initial_log_std: float = 0.0,
        normalise: bool = False,
    ) -> ActorCritic:
        if (tuple(hidden), activation) != ((64, 64), "tanh"):
            raise WrongRequest(
                "these networks are modules with layers of their own: leave hidden and activation as they are"
            )
        return ActorCritic(
            spaces,
            agents,
            initial_log_std=initial_log_std,
            normalise=normalise,
            networks=lambda inputs, outputs: ModuleNetworks(inputs, outputs, policy, value),
        )

    return actor_critic


class ModuleNetworks:
    """The networks of an `ActorCritic`, made of modules.

    An output must depend on the module's own input row and parameters alone. Dropout and the like draw from global
    random numbers, batch normalisation mixes the rows of a batch, and both act otherwise than they train: they are
    refused, by what they are and by what they do.
    """

    shapes: Shapes = {}  # noqa: RUF012  # nothing is common to both networks

    def __init__(self, inputs: int, outputs: Sequence[int], policy: Factory, value: Factory) -> None:
        self._factories = dict(zip(GROUPS, (policy, value), strict=True))
        self._sizes = {group: (inputs, width) for group, width in zip(GROUPS, outputs, strict=True)}
        self._modules = {group: self._make(group, 0) for group in GROUPS}
        for group, module in self._modules.items():
            _check(module, group, *self._sizes[group])
        self.own: Mapping[str, Shapes] = {
            group: {f"{group}/{name}": tuple(p.shape) for name, p in module.named_parameters()}
            for group, module in self._modules.items()
        }
        self._constants: dict[str, Tensor] = {}
        """Buffers [A, …], which nothing learns."""

    def _make(self, group: str, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._factories[group](*self._sizes[group])

    def initialise(self, parameters: Parameters, agents: Agents) -> None:
        made: dict[str, list[Tensor]] = {}
        for agent in agents:
            for group in GROUPS:
                module = self._make(group, int(stream(agent.seed, f"initialise/{group}").integers(2**63)))
                for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
                    made.setdefault(f"{group}/{name}", []).append(tensor.detach())
        for name, tensors in made.items():
            if any(name in own for own in self.own.values()):
                parameters.set(name, torch.stack(tensors))
            else:
                self._constants[name] = torch.stack(tensors)

    def learned(self, parameters: Parameters) -> dict[str, Tensor]:
        return {name: parameters[name].detach() for group in GROUPS for name in self.own[group]} | self._constants

    def __call__(self, parameters: Parameters, x: Float[Tensor, "A B I"]) -> tuple[tuple[Tensor, ...], Backward]:
        outputs = tuple(self._outputs(parameters, group, x) for group in GROUPS)

        def backward(slopes: Sequence[Tensor]) -> None:
            for own in self.own.values():
                for name in own:
                    parameters.gradient_of(name).zero_()
            torch.autograd.backward(outputs, slopes)

        return tuple(output.detach() for output in outputs), backward

    def linearised(self, parameters: Parameters, group: str, x: Float[Tensor, "A B I"]) -> Linearised:
        x = x.detach().requires_grad_()
        output = self._outputs(parameters, group, x)

        def backward(slope: Tensor) -> None:
            for name in self.own[group]:
                parameters.gradient_of(name).zero_()
            leaves = [parameters[name] for name in self.own[group]]
            torch.autograd.backward(output, slope, retain_graph=True, inputs=leaves)

        def forward(direction: Mapping[str, Tensor]) -> Tensor:
            # uᵀ J is linear in u: its slope by u, along the direction, is J v. Every layer with a way back can do that.
            u, names = torch.zeros_like(output, requires_grad=True), list(self.own[group])
            slopes = torch.autograd.grad(output, [parameters[name] for name in names], u, create_graph=True)
            return torch.autograd.grad(slopes, u, [direction[name] for name in names])[0]

        def by_input(slope: Tensor, first: int) -> Tensor:
            return torch.autograd.grad(output, x, slope, retain_graph=True)[0][..., first:]

        return Linearised(output.detach(), backward, forward, by_input)

    @torch.no_grad()
    def one(self, parameters: Parameters, group: str, x: Float[Tensor, "A B I"]) -> Float[Tensor, "A B O"]:
        return self._outputs(parameters, group, x)

    def _outputs(self, parameters: Parameters, group: str, x: Tensor) -> Tensor:
        return self._apply({name: parameters[name] for name in self.own[group]}, group, x)

    def _apply(self, own: Mapping[str, Tensor], group: str, x: Tensor) -> Tensor:
        module, start = self._modules[group], len(group) + 1
        tensors = {name[start:]: _apart(tensor) for name, tensor in own.items()}
        tensors |= {name[start:]: _apart(x) for name, x in self._constants.items() if name.startswith(f"{group}/")}
        outputs = [
            functional_call(module, {name: of_agents[a] for name, of_agents in tensors.items()}, (rows,))
            for a, rows in enumerate(_apart(x))
        ]
        return torch.stack(outputs)


def _apart(x: Float[Tensor, "A ..."]) -> list[Tensor]:
    """A copy for each agent, which starts where its memory does: a matrix library may round otherwise elsewhere."""
    return [part.clone() for part in x.unbind(0)]


REFUSED: tuple[tuple[type[nn.Module], str], ...] = (
    (_DropoutNd, "draws from torch's global random numbers, so that a run would not follow from its seeds"),
    (nn.RReLU, "draws from torch's global random numbers, so that a run would not follow from its seeds"),
    (
        _BatchNorm,
        "mixes the observations of a batch, and acts with other statistics than it learns with; use LayerNorm",
    ),
)


def _check(module: nn.Module, group: str, inputs: int, outputs: int) -> None:
    """Raise `WrongRequest` for a module that an agent cannot have."""

    def refuse(found: str) -> WrongRequest:
        return WrongRequest(
            f"expected a {group} network whose output follows from its input row and its parameters; found {found}"
        )

    for part in module.modules():
        for kind, reason in REFUSED:
            if isinstance(part, kind):
                raise refuse(f"{type(part).__name__}, which {reason}")
    for name, parameter in module.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            raise refuse(f"a lazy layer, whose parameter {name} has no size yet; give its size")
        if parameter.dtype != torch.float32 or not parameter.requires_grad:
            raise refuse(f"a parameter {name} that is not learned in float32; make it a buffer, or float32")
    if not any(parameter.numel() for parameter in module.parameters()):
        raise refuse(f"{type(module).__name__} without parameters, which can learn nothing")
    x = torch.from_numpy(stream(0, "check").standard_normal((4, inputs), dtype="float32"))
    before = [buffer.clone() for buffer in module.buffers()]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        results = []
        for seed, rows in ((0, x), (1, x), (2, torch.cat([x[:1], -x[1:]]))):
            torch.manual_seed(seed)
            results.append(module(rows))
    if not isinstance(results[0], Tensor) or results[0].shape != (4, outputs):
        shape = list(results[0].shape) if isinstance(results[0], Tensor) else type(results[0]).__name__
        raise refuse(f"{shape} for an input of shape [4, {inputs}], where [4, {outputs}] is needed")
    if not torch.equal(results[0], results[1]):
        raise refuse("one that gives different outputs for the same input, as dropout does")
    if not torch.allclose(results[0][0], results[2][0], rtol=1e-4, atol=1e-5):
        raise refuse("one whose output for one row depends on the other rows, as with batch normalisation")
    if any(not torch.equal(old, new) for old, new in zip(before, module.buffers(), strict=True)):
        raise refuse("one that changes its buffers when it is used, as batch normalisation does")
