"""AlphaZero-lite: a network learns from the searches that it guides (Silver et al. 2017, 2018, arXiv:1712.01815).

A population of agents plays against itself, each bit for bit as if alone. What is left out for games this small:
convolutions, weight decay, Dirichlet noise, a temperature that falls, resignation, evaluation matches.
"""

from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relook.games.game import Array, Game
from relook.games.search import Evaluation, Evaluator, Positions, search
from relook.games.solving import uniform
from relook.networks.mlp import MLP
from relook.population import Adam, Agents, Parameters

HIDDEN = (128, 128)
LEARNING_RATE = 1e-3
SIMULATIONS = 50
"""In each move of training."""
TOGETHER = 20
"""Games that are played at once, between updates."""
WINDOW = 20
"""Rounds of games that batches are drawn from."""
UPDATES, BATCH = 200, 64
"""After each round."""


class AlphaZero:
    """P(s, ·) and V(s) of each agent, and how they learn.

    Hyper-parameters of an agent: `explore`, the share of moves that are made at random in training, and `symmetric`, 1
    if each position is learned as one of its mirror images and turns, drawn at random, else 0.
    """

    def __init__(self, agents: Agents, game: Game) -> None:
        self.agents, self.game, self.anything = agents, game, uniform(game)
        self.explore = agents.hyperparameter("explore").numpy()[:, None]
        self.symmetric = agents.hyperparameter("symmetric").numpy()[:, None]
        own, other = game.board == 1 + game.seat[:, None], game.board == 2 - game.seat[:, None]
        self.planes = np.concatenate([own, other], 1).astype(np.float32)
        """What the network sees: the stones of whoever moves, and those of the other one [S, 2·w·h]."""
        fields, self.moves = symmetries(game)
        self.fields = np.concatenate([fields, fields + fields.shape[1]], 1)
        self.network = MLP(
            ("policy", "value"),
            self.planes.shape[1],
            HIDDEN,
            (game.after.shape[1], 1),
            activation="relu",
            output_gains=(0.01, 0.01),
        )
        self.parameters = Parameters(len(agents), ("policy", "value"), self.network.shapes)
        self.network.initialise(self.parameters, agents)
        self.optimiser = Adam(self.parameters)
        self.rounds, self._updates = 0, 0
        self.calls = np.zeros(len(agents))
        """How often each agent's searches have asked the game what a move leads to [A]."""
        self._memory: list[tuple[Positions, Array, Array]] = []

    @property
    def games(self) -> int:
        """What each agent has played."""
        return self.rounds * TOGETHER

    def evaluate(self, positions: Positions) -> Evaluation:
        """P and V of positions [A·G], those of an agent side by side."""
        return self._evaluate(self.parameters, positions)

    def one(self, agent: int) -> Evaluator:
        """P and V as one agent holds them."""
        parameters = Parameters(1, self.parameters.groups, self.network.shapes)
        parameters.theta.copy_(self.parameters.theta[agent : agent + 1])
        return lambda positions: self._evaluate(parameters, positions)

    def _evaluate(self, parameters: Parameters, positions: Positions) -> Evaluation:
        x = torch.from_numpy(self.planes[positions.reshape(len(parameters.theta), -1)])
        logits, value = (self.network.one(parameters, group, x).flatten(0, 1) for group in ("policy", "value"))
        legal = torch.from_numpy(self.game.legal[positions])
        prior = _log_shares(logits, legal).exp().masked_fill(~legal, 0)
        return Evaluation(prior.double().numpy(), torch.tanh(value[:, 0]).double().numpy())

    @torch.no_grad()
    def play_and_learn(self) -> None:
        """One round of games against itself, then updates."""
        self._memory = [*self._memory[1 - WINDOW :], self._play()]
        self.rounds += 1
        where, policy, result = (np.concatenate(part, 1) for part in zip(*self._memory, strict=True))
        # which samples are positions in which somebody moved; games have different lengths
        live = [np.flatnonzero(~self.game.over[row]) for row in where]
        rows = np.arange(len(self.agents))[:, None]
        for _ in range(UPDATES):
            chance = self.agents.chance("batch", self._updates, (2, BATCH)).numpy()
            drawn = np.stack([own[(u * len(own)).astype(int)] for own, u in zip(live, chance[:, 0], strict=True)])
            turn = (chance[:, 1] * self.symmetric * len(self.fields)).astype(int)
            position = where[rows, drawn]
            planes = np.take_along_axis(self.planes[position], self.fields[turn], 2)
            moves = self.moves[turn]
            self._update(
                torch.from_numpy(planes),
                torch.from_numpy(np.take_along_axis(self.game.legal[position], moves, 2)),
                torch.from_numpy(np.take_along_axis(policy[rows, drawn], moves, 2)).float(),
                torch.from_numpy(result[rows, drawn]).float(),
            )
            self._updates += 1

    def _play(self) -> tuple[Positions, Array, Array]:
        """The positions of a round [A, T·G], how often the search tried each move there [A, T·G, n], and who won.

        That is from the view of whoever was to move [A, T·G]. Games that are over stand still until all are.
        """
        game, agents = self.game, len(self.agents)
        state, ways, policies = np.zeros(agents * TOGETHER, dtype=np.int64), [], []
        for move in range(len(game.layers) - 1):
            on = ~game.over[state]
            searched = search(game, np.where(on, state, 0), self.evaluate, SIMULATIONS)
            self.calls += (searched.calls * on).reshape(agents, -1).sum(1)
            ways.append(state)
            policies.append(searched.policy)
            block = self.rounds * len(game.layers) + move
            chance = self.agents.chance("move", block, (2, TOGETHER)).numpy()
            random = (chance[:, 0] < self.explore).reshape(-1, 1)
            share = np.where(random, self.anything[state], searched.policy)
            chosen = (share.cumsum(1) > chance[:, 1].reshape(-1, 1)).argmax(1)
            state = np.where(on, game.after[state, chosen], state)
        way = np.stack(ways, 1)
        result = game.outcome[state][:, None] * (1.0 - 2 * game.seat[way])
        count = agents, -1
        return way.reshape(*count), np.stack(policies, 1).reshape(*count, game.after.shape[1]), result.reshape(*count)

    def _update(self, planes: Tensor, legal: Tensor, policy: Tensor, result: Tensor) -> None:
        """A step on the mean of (z - V)² - π · log P over each agent's batch (Silver et al. 2017, Eq. 1, no c‖θ‖²)."""
        (logits, raw), backward = self.network(self.parameters, planes)
        value = torch.tanh(raw[..., 0])
        by_logits = (_log_shares(logits, legal).exp() - policy).masked_fill(~legal, 0)
        by_value = 2 * (value - result) * (1 - value.square())
        backward([by_logits / BATCH, by_value[..., None] / BATCH])
        rate, alive = torch.full((len(self.agents),), LEARNING_RATE), self.agents.alive
        groups = self.parameters.groups
        self.optimiser.step(dict.fromkeys(groups, rate), active=dict.fromkeys(groups, alive))


def symmetries(game: Game) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The mirror images and turns of a board: where each field [K, w·h] and each move [K, A] of them comes from.

    Where stones fall, only left and right can be swapped. The first is the board as it is.
    """
    width, height = game.size
    grid = np.arange(width * height).reshape(height, width)
    if game.drops:
        return np.stack([grid.ravel(), grid[:, ::-1].ravel()]), np.stack([grid[0], grid[0, ::-1]])
    fields = np.stack([np.rot90(side, k).ravel() for side, k in product((grid, grid.T), range(4))])
    return fields, fields


def _log_shares(logits: Tensor, legal: Tensor) -> Tensor:
    """The logarithms of legal moves' probabilities; of other moves, anything."""
    return torch.log_softmax(logits.masked_fill(~legal, -1e9), -1)
