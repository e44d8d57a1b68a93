"""Why does a model seek to win and not to defend? Exact games, learned players, and search."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relook.games.game import FIRST, SECOND
from relook.games.players import LEARNED, SEARCHED
from relook.labs.defend.results import SHARES, Both, Found, compute
from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, MARKERS, legend, panels, titled

NAMES = {
    "random": "random moves",
    "sign-bug": "self-play, sign wrong",
    "untold": "Q-learning, loser not told",
    "win-only": "best response, win only",
    "best-response": "best response, a loss is -1",
    "q-learning": "Q-learning",
    "narrow-network": "network, own games only",
    "network": "AlphaZero-lite, no search",
    "search": "AlphaZero-lite",
    "punished": "best response to attacks",
    "safe": "best among safe moves",
    "minimax-q": "minimax-Q",
    "minimax": "minimax",
}
"""Players of tic-tac-toe in the picture, from below."""


def reports(found: Found) -> dict[str, list[Both]]:
    """Of every player of tic-tac-toe: one if it is exact, one for each seed if it has learned or searches."""
    exact = {name: [both] for name, both in found.exact["tic-tac-toe"].items()}
    return {**exact, **found.learned, **{f"uct-{n}": rows for n, rows in found.uct.items()}, **found.alphazero}


def of(found: Found, name: str, what: str, seat: int = SECOND) -> float:
    """A figure of a player of tic-tac-toe, on average over seeds."""
    return float(np.mean([getattr(both[seat], what) for both in reports(found)[name]]))


def first_safe(found: Found, teacher: str) -> float:
    """The least of SHARES with which the pupil loses no more."""
    return next(share for share, report in zip(SHARES, found.taught[teacher], strict=True) if report.worst >= 0)


def always_safe(found: Found, name: str) -> int:
    """How many seeds of a player nobody can beat in either seat."""
    return sum(all(report.worst >= 0 for report in both) for both in reports(found)[name])


EXACT = (
    ("random", "win", 0.288),
    ("random", "block", 0.321),
    ("random", "loses", 0.995),
    ("win-only", "win", 0.939),
    ("win-only", "block", 0.546),
    ("win-only", "loses", 1.0),
    ("best-response", "win", 0.932),
    ("best-response", "block", 0.928),
    ("best-response", "loses", 1.0),
    ("minimax", "win", 0.777),
    ("minimax", "block", 1.0),
    ("minimax", "loses", 0.0),
    ("safe", "win", 0.916),
    ("safe", "loses", 0.0),
)
"""What the second player of tic-tac-toe does, as an independent computation gave it."""

LEARNT = (
    ("q-learning", "win", 0.915, 0.02),
    ("q-learning", "block", 0.90, 0.03),
    ("q-learning", "loses", 1.0, 0.0),
    ("untold", "win", 0.774, 0.07),
    ("untold", "block", 0.34, 0.05),
    ("minimax-q", "win", 0.777, 0.005),
    ("minimax-q", "block", 0.995, 0.005),
    ("minimax-q", "loses", 0.0, 0.07),
    ("sign-bug", "loses", 1.0, 0.01),
)
"""The same for learned players, on average over seeds, with the spread of the seeds."""

TOLD = {
    "win": "how often it wins against random moves",
    "block": "how often it blocks where it must",
    "loses": "how often it loses to its best response",
}


def claims(found: Found) -> list[Claim]:
    made = [
        Claim(
            f"second player, {NAMES[name]}: {TOLD[what]}",
            of(found, name, what),
            value,
            1e-3,
            "exact, from the end of the game to its start; an independent program gave three digits of it",
        )
        for name, what, value in EXACT
    ]
    made += _of_other_games(found)
    made += [
        Claim(
            f"second player, {NAMES[name]}, mean of {len(reports(found)[name])}: {TOLD[what]}",
            of(found, name, what),
            value,
            tolerance,
            "of an independent program; within the spread of seeds",
        )
        for name, what, value, tolerance in LEARNT
    ]
    made += _of_search(found)
    return made


def _of_other_games(found: Found) -> list[Claim]:
    connect_four, soccer = found.exact["connect-four"], found.soccer
    counted, same = "counted by others, too", "exact; an independent program gave the same"
    best, safe = connect_four["best-response"][FIRST], connect_four["minimax"][FIRST]
    taught = found.taught["attacker"][SHARES.index(0.01)]
    unsafe = soccer["best-response"].against_best_response
    half = "the game is the same from both seats, so that safe play gets half"
    rows = [
        ("positions of tic-tac-toe", found.positions["tic-tac-toe"], 5_478, 0.0, counted),
        ("positions of 4 × 4 Connect Four", found.positions["connect-four"], 161_029, 0.0, counted),
        ("exploitability of random moves", found.uniform_exploitability, 0.9598, 1e-4, "OpenSpiel gives the same"),
        ("blocks of the second player if the first attacks in 1% of its moves", taught.block, 1.0, 1e-9, same),
        (
            "share of attacks with which it is safe, of 0, .01, .03, .1, .2, …",
            first_safe(found, "attacker"),
            0.6,
            0.0,
            same,
        ),
        ("the same if the other one plays minimax in them", first_safe(found, "minimax"), 0.3, 0.0, same),
        ("share of attacks from which on it is safe", found.safe_from["attacker"], 0.55, 0.05, "between .5 and .6"),
        (
            "the same if the other one plays minimax in them",
            found.safe_from["minimax"],
            0.25,
            0.05,
            "between .2 and .3",
        ),
        ("Connect Four, first player, best response: wins against random moves", best.win, 0.953, 1e-3, same),
        ("Connect Four, first player, best response: its worst case", best.worst, -1.0, 0.0, same),
        ("Connect Four, first player, minimax: wins against random moves", safe.win, 0.492, 1e-3, same),
        (
            "soccer, best response to random moves: share of goals against its own best response",
            unsafe,
            0.0,
            1e-9,
            same,
        ),
        ("soccer, minimax: the same", soccer["minimax"].against_best_response, 0.5, 1e-6, half),
        (
            "soccer, the best policy that draws no lots: its worst case",
            soccer["deterministic"].worst,
            -0.148,
            1e-3,
            same,
        ),
    ]
    return [Claim(what, float(value), expected, tolerance, why) for what, value, expected, tolerance, why in rows]


def _of_search(found: Found) -> list[Claim]:
    made = [
        Claim(
            f"first player, UCT with {budget} simulations: {TOLD['block']}",
            of(found, f"uct-{budget}", "block", FIRST),
            value,
            tolerance,
            "an independent program gave .67 to .77, .93 to .96, and 1.00, of 100 positions",
        )
        for budget, value, tolerance in ((10, 0.74, 0.05), (30, 0.945, 0.03), (100, 1.0, 0.01))
    ]
    if found.games >= SEARCHED:
        made.append(
            Claim(
                "how often AlphaZero-lite, searching, loses to its best response, at most, of all seeds and both seats",
                max(report.loses for both in found.alphazero["search"] for report in both),
                0.0,
                0.0,
                "a best response is exact: nobody can beat these players",
            )
        )
    return [
        *made,
        Claim(
            "network that learned from its own games only: by how much a search makes it block more often",
            of(found, "narrow-search", "block") - of(found, "narrow-network", "block"),
            0.1,
            0.0,
            "search supplies what was not learned",
            "at least",
        ),
    ]


def draw(found: Found) -> Figure:
    shares = sorted(found.safe_from.values())
    seeds = len(found.alphazero["search"])
    figure, (left, right) = panels(
        2,
        f"Any punishment teaches blocking; safety takes an opponent who punishes in {shares[0]:.0%} or {shares[1]:.0%} "
        "of its moves",
        "Tic-tac-toe, second player; exact but for what was learned or searched, "
        f"{f'means of {seeds} seeds' if seeds > 1 else 'with one seed'}. Who attacks wins at once where it can, and "
        "moves at random else. At 0% some blocks are ties, which are broken evenly.",
        height=4.2,
    )
    _teaching(left, found)
    names = list(NAMES)
    right.hlines(range(len(names)), 0, 1, color="lightgrey", linewidth=0.7)
    looks = (
        ("win", "wins against random moves", 0),
        ("block", "blocks where it must", 2),
        ("loses", "loses to its best response", 1),
    )
    for what, label, i in looks:
        values = [of(found, name, what) for name in names]
        hollow = "none" if what == "win" else COLOURS[i]
        right.plot(values, range(len(names)), MARKERS[i], color=COLOURS[i], markerfacecolor=hollow, label=label)
    right.set_yticks(range(len(names)), [NAMES[name] for name in names], fontsize=8)
    right.set_ylim(-0.7, len(names) + 2.4)
    titled(right, "Winning, blocking and being safe are three things", "share", "")
    legend(right, "upper left")
    return figure


def _teaching(at: Axes, found: Found) -> None:
    x = range(len(SHARES))
    for (teacher, taught), style, i in zip(found.taught.items(), ("--", ":"), (1, 0), strict=True):
        values = [report.loses for report in taught]
        name = {"attacker": "attacks", "minimax": "plays minimax"}[teacher]
        label = f"loses, taught by one who {name}"
        at.plot(x, values, style, color=COLOURS[i], marker=MARKERS[i], markersize=4, label=label)
    blocks = [report.block for report in found.taught["attacker"]]
    at.plot(x, blocks, "-", color=COLOURS[2], marker=MARKERS[2], markersize=4, label="blocks where it must")
    at.set_xticks(x, [f"{share:.0%}" for share in SHARES], fontsize=8)
    at.set_ylim(-0.05, 1.45)
    at.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    titled(at, "What the best response to a mixture learns", "in what share of its moves the other punishes", "share")
    legend(at, "upper left")


def table(found: Found) -> str:
    """Every player of tic-tac-toe in both seats, for the terminal."""
    head = f"{'':18}{'':4}{'wins*':>7}{'attacks':>9}{'blocks':>8}{'on path':>9}{'worst':>8}{'loses**':>9}"
    lines = [head]
    for name in reports(found):
        for seat, mark in ((FIRST, "X"), (SECOND, "O")):
            shares = [of(found, name, what, seat) for what in ("win", "attack", "block", "block_on_path", "loses")]
            win, attack, block, path, loses = (f"{share:.1%}" for share in shares)
            worst = f"{of(found, name, 'worst', seat):+.2f}"
            row = f"{win:>7}{attack:>9}{block:>8}{path:>9}{worst:>8}{loses:>9}"
            lines.append(f"{name if seat == FIRST else '':18}{mark:4}{row}")
    return "\n".join([*lines, "* against random moves   ** to its best response; worst is what it gets then, -1 to 1"])


def lesson(found: Found) -> str:
    def share(name: str, what: str) -> str:
        return f"{of(found, name, what):.0%}"

    seeds = len(found.alphazero["search"])
    return (
        "Who learns against an opponent becomes the best response to that opponent. Against random moves a threat is "
        f"carried out rarely: if only a win counts, the second player blocks {share('win-only', 'block')} of what it "
        "must. With a price on losing it never does worse than to block, and any punishment at all makes it always "
        f"block; it still loses every game to one that knows it, by a fork: it is safe from "
        f"{found.safe_from['attacker']:.0%} attacks on, or {found.safe_from['minimax']:.0%} minimax moves. Being safe "
        f"costs little: the best safe policy wins {of(found, 'safe', 'win'):.1%} against random moves, the best of all "
        f"{of(found, 'best-response', 'win'):.1%}; but nobody who only meets random moves has a reason to pay it. "
        "(Minimax does not try to win where the other errs only by chance: "
        f"{share('minimax', 'win')}.) Learning goes wrong in ways that look alike: not telling the loser leaves "
        f"{share('untold', 'block')} of blocks, a lost minus sign {share('sign-bug', 'block')}. Minimax-Q loses "
        f"{of(found, 'minimax-q', 'loses'):.1%} to its best response after {LEARNED:,} games; of AlphaZero-lite, "
        f"{always_safe(found, 'search')} of {seeds} are safe in both seats after {found.games:,} games and "
        f"{found.calls:,.0f} calls of the simulator; dynamic programming needs no game at all. Without random moves "
        f"and turned boards in its games the network blocks {share('narrow-network', 'block')}, with a search "
        f"{share('narrow-search', 'block')}, and then loses {share('narrow-search', 'loses')} to its best response."
    )


LAB = Lab(
    name="defend",
    title="Why does a model seek to win and not to defend?",
    question=(
        "Tic-tac-toe. The second player has found the very best policy against an opponent who makes random moves: 1 "
        "for a win, 0 for a draw, -1 for a loss, computed exactly. No policy gets more against this opponent. Now it "
        "meets someone who knows its policy and replies as well as possible: its best response."
    ),
    prompt="How often does the best response to random moves lose to its own best response?",
    choices=("never: it knows what a loss costs", "in about half of the games", "in every game"),
    answer=lambda found: min(2, int(2 * of(found, "best-response", "loses") + 0.5)),
    compute=compute,
    shorter=lambda: compute(seeds=1, games=100),
    claims=claims,
    draw=draw,
    table=table,
    lesson=lesson,
    mistake="minimax-Q takes what is good for the other player for good: a minus sign is missing",
    wrong=lambda: compute(seeds=1, games=20, sign=1.0),
    notes=("Why does model only seek to optimize it's ability to win and not defend?",),
    reading=(
        "docs/win-or-defend.md",
        "relook play --help",
        "relook lab self_play",
        "Littman 1994, Markov Games as a Framework for Multi-Agent Reinforcement Learning",
        "Silver et al. 2018 (arXiv:1712.01815)",
        "Wang et al. 2023, Adversarial Policies Beat Superhuman Go AIs (arXiv:2211.00241)",
    ),
    quick=False,
)
