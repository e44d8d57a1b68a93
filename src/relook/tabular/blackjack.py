"""Blackjack-v1 as an MDP: the same rules as Gymnasium's, added up instead of drawn.

States are (what the player's cards add up to, what the dealer shows, whether an ace counts as 11), numbered as the
observation's parts are: sum × 11 × 2 + shown × 2 + ace. Behind them come the naturals, an ace and a ten at once, one
for each card that the dealer may show: they look like any other 21 and may be worth more. The deck is endless.
"""

from functools import cache

import numpy as np

from relook.tabular.mdp import MDP, Array

CARDS = {card: (4 if card == 10 else 1) / 13 for card in range(1, 11)}
SUMS, SHOWN, ACES = 32, 11, 2
STICK, HIT = range(2)
STATES = SUMS * SHOWN * ACES
END = STATES + SHOWN


def number(total: int, shown: int, ace: bool) -> int:
    """The number of a state."""
    return (total * SHOWN + shown) * ACES + ace


def _add(total: int, ace: bool, card: int) -> tuple[int, bool]:
    """A hand with one card more: an ace counts as 11 where that is not too much."""
    total, ace = (total + 11, True) if card == 1 and total + 11 <= 21 else (total + card, ace)
    return (total - 10, False) if total > 21 and ace else (total, ace)


@cache
def dealer(total: int, ace: bool) -> dict[int, float]:
    """What the dealer ends with, who draws up to 17, by probability; 0 stands for too much."""
    if total > 21:
        return {0: 1.0}
    if total >= 17:
        return {total: 1.0}
    found: dict[int, float] = {}
    for card, p in CARDS.items():
        for end, q in dealer(*_add(total, ace, card)).items():
            found[end] = found.get(end, 0.0) + p * q
    return found


def blackjack(*, natural: bool = False, sab: bool = True) -> MDP:
    """The MDP of `Blackjack-v1` with these arguments.

    `sab`: a natural wins against all but another one, as in Sutton & Barto's book (Example 5.1). Without it a natural
    is a 21 like another, which gives 1.5 if it wins with `natural`.
    """
    transition, reward = np.zeros((END + 1, 2, END + 1)), np.zeros((END + 1, 2, END + 1))
    start = np.zeros(END + 1)
    for total in range(SUMS):
        for shown in range(SHOWN):
            for ace in (False, True):
                _state(transition, reward, number(total, shown, ace), total, shown, ace)
    for shown in range(SHOWN):
        s = STATES + shown
        _state(transition, reward, s, 21, shown, True)
        if shown:
            reward[s, STICK, END] = _of_a_natural(shown, natural=natural, sab=sab)
    for first, p in CARDS.items():
        for second, q in CARDS.items():
            total, ace = _add(*_add(0, False, first), second)
            for shown, r in CARDS.items():
                start[STATES + shown if total == 21 else number(total, shown, ace)] += p * q * r
    return MDP(transition, reward, start, np.arange(END + 1) == END)


def _of_a_natural(shown: int, *, natural: bool, sab: bool) -> float:
    """What sticking to it gives on average."""
    if sab:
        return 1 - CARDS.get({1: 10, 10: 1}.get(shown, 0), 0.0)
    tie = dealer(*_add(0, False, shown)).get(21, 0.0)
    return (1.5 if natural else 1.0) * (1 - tie)


def _state(transition: Array, reward: Array, s: int, total: int, shown: int, ace: bool) -> None:
    """Fill in both actions of a state; one that no hand is ever in ends at once."""
    if not (4 <= total <= 21 and shown >= 1):
        transition[s, :, END] = 1
        return
    for end, p in dealer(*_add(0, False, shown)).items():
        transition[s, STICK, END] += p
        reward[s, STICK, END] += p * np.sign(total - end)
    for card, p in CARDS.items():
        new, usable = _add(total, ace, card)
        if new > 21:
            transition[s, HIT, END] += p
            reward[s, HIT, END] -= p
        else:
            transition[s, HIT, number(new, shown, usable)] += p
    reward[s, HIT, END] /= max(transition[s, HIT, END], 1e-300)
