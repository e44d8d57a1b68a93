"""Why does a model seek to win and not to defend? Exact games, learned players, and search."""

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
    "best-response": "best response, loss costs 1",
    "q-learning": "Q-learning",
    "narrow network": "network, own games only",
    "network": "network of AlphaZero-lite",
    "search": "AlphaZero-lite, searching",
    f"minimax-q {LEARNED:,}": "minimax-Q",
    "minimax": "minimax",
}


def mean(reports: list[Both], seat: int, what: str) -> float:
    """Over seeds."""
    values = [float(getattr(both[seat], what)) for both in reports]
    return sum(values) / len(values)


def of(found: Found, name: str, what: str, seat: int = SECOND) -> float:
    """A figure of a player of tic-tac-toe, exact or on average over seeds."""
    exact = found.exact["tic-tac-toe"]
    return mean([exact[name]] if name in exact else {**found.learned, **found.alphazero}[name], seat, what)


def blocks_from(found: Found) -> float:
    """The least of SHARES from which on the pupil of one who attacks blocks wherever it must."""
    return next(
        share for share, report in zip(SHARES, found.taught["attacker"], strict=True) if report.block > 1 - 1e-9
    )


def safe_from(found: Found, teacher: str) -> float:
    """The least of SHARES from which on the pupil loses no more."""
    return next(share for share, report in zip(SHARES, found.taught[teacher], strict=True) if report.worst >= 0)


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
)
"""What the second player of tic-tac-toe does, as an independent computation gave it."""

LEARNT = (
    ("q-learning", "win", 0.915, 0.02),
    ("q-learning", "block", 0.90, 0.03),
    ("q-learning", "loses", 1.0, 0.0),
    ("untold", "win", 0.774, 0.07),
    ("untold", "block", 0.34, 0.05),
    (f"minimax-q {LEARNED:,}", "win", 0.777, 0.005),
    (f"minimax-q {LEARNED:,}", "block", 0.995, 0.005),
    (f"minimax-q {LEARNED:,}", "loses", 0.0, 0.07),
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
            f"second player, {NAMES[name]}, mean over seeds: {TOLD[what]}",
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
    unsafe = soccer["best-response"].against_best_response
    half = "the game is the same from both seats, so that safe play gets half"
    rows = [
        ("positions of tic-tac-toe", found.positions["tic-tac-toe"], 5_478, 0.0, counted),
        ("positions of 4 × 4 Connect Four", found.positions["connect-four"], 161_029, 0.0, counted),
        ("exploitability of random moves", found.uniform_exploitability, 0.9598, 1e-4, "OpenSpiel gives the same"),
        ("share of attacks from which on the second player always blocks", blocks_from(found), 0.01, 0.0, same),
        ("share of attacks from which on it is safe", safe_from(found, "attacker"), 0.6, 0.0, same),
        ("the same if the other one plays minimax in them", safe_from(found, "minimax"), 0.3, 0.0, same),
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
            found.uct[budget][FIRST].block,
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
            of(found, "narrow search", "block") - of(found, "narrow network", "block"),
            0.1,
            0.0,
            "search supplies what was not learned",
            "at least",
        ),
    ]


def draw(found: Found) -> Figure:
    first, last = safe_from(found, "minimax"), safe_from(found, "attacker")
    figure, (left, right) = panels(
        2,
        f"Blocking is learned at once; safety takes an opponent who punishes {first:.0%} to {last:.0%} of the time",
        "Tic-tac-toe, second player; exact but for the learned players, which are means of "
        f"{len(found.alphazero['search'])} seeds. The attacker wins at once where it can, and moves at random else.",
        height=4.0,
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
    right.set_ylim(-0.7, len(names) + 1.6)
    titled(right, "Winning, blocking and being safe are three things", "share", "")
    legend(right, "upper left")
    return figure


def _teaching(at: Axes, found: Found) -> None:
    x = range(len(SHARES))
    for (teacher, reports), style, i in zip(found.taught.items(), ("--", ":"), (1, 0), strict=True):
        values = [report.loses for report in reports]
        name = {"attacker": "attacks", "minimax": "plays minimax"}[teacher]
        at.plot(
            x,
            values,
            style,
            color=COLOURS[i],
            marker=MARKERS[i],
            markersize=4,
            label=f"loses, taught by one who {name}",
        )
    blocks = [report.block for report in found.taught["attacker"]]
    at.plot(x, blocks, "-", color=COLOURS[2], marker=MARKERS[2], markersize=4, label="blocks where it must")
    at.set_xticks(x, [f"{share:.0%}" for share in SHARES], fontsize=8)
    at.set_ylim(-0.05, 1.45)
    at.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    titled(at, "What the best response to a mixture learns", "how often the other one punishes", "share")
    legend(at, "upper left")


def lesson(found: Found) -> str:
    def share(name: str, what: str) -> str:
        return f"{of(found, name, what):.0%}"

    return (
        "Who learns against an opponent becomes the best response to that opponent. Against random moves a threat is "
        f"carried out rarely: if only a win counts, the second player blocks {share('win-only', 'block')} of what it "
        f"must; if a loss costs as much as a win gives, {share('best-response', 'block')}. An opponent who attacks in "
        f"{blocks_from(found):.0%} of its moves makes it block always, and it still loses every game to one that knows "
        f"it, by a fork: it is safe from {safe_from(found, 'attacker'):.0%} attacks on, or "
        f"{safe_from(found, 'minimax'):.0%} minimax moves. Minimax is never beaten, and pays for it with wins: "
        f"{share('minimax', 'win')} against random moves, not {share('best-response', 'win')}. Learning goes wrong in "
        f"ways that look alike: not telling the loser leaves {share('untold', 'block')} of blocks, a lost minus sign "
        f"{share('sign-bug', 'block')}. Self-play is safe, or nearly so, after {LEARNED:,} games, AlphaZero-lite after "
        f"{found.games:,} and {found.calls:,.0f} looks ahead; dynamic programming needs no game at all. What no game "
        "came through, nobody has learned: without random moves and turned boards the network blocks "
        f"{share('narrow network', 'block')}, with a search {share('narrow search', 'block')}, and it loses to its "
        "best response all the same."
    )


LAB = Lab(
    name="defend",
    title="Why does a model seek to win and not to defend?",
    question=(
        "Tic-tac-toe; you move second. A player has found the very best policy against an opponent who makes random "
        "moves: 1 for a win, 0 for a draw, -1 for a loss, computed exactly. No policy gets more against this opponent. "
        "Now it meets someone who knows its policy and replies as well as possible (its best response)."
    ),
    prompt="How often does the best response to random moves lose to its own best response?",
    choices=("never: it knows what a loss costs", "in about half of the games", "in every game"),
    answer=lambda found: min(2, int(2 * of(found, "best-response", "loses") + 0.5)),
    compute=compute,
    quickly=lambda: compute(seeds=1, games=200),
    claims=claims,
    draw=draw,
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
