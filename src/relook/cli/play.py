"""`relook play GAME`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from rich.markup import escape

from relook.cli.options import parse

if TYPE_CHECKING:
    from relook.games.game import Game
    from relook.games.players import Thoughts

MARKS = (" ", "X", "O")


@dataclass
class Form:
    """Play tic-tac-toe, or Connect Four on 4 × 4 fields, against a player that was solved, trained, or searches.

    Before each of its moves you see what it expects of every move, from -1 for a loss to 1 for a win. Fields, or
    columns, have numbers: type one and press Enter; q ends the game. relook play --players says who there is; who has
    to learn first does so when you ask for it, from --seed.
    """

    game: Annotated[tyro.conf.Positional[Literal["tic-tac-toe", "connect-four"]], tyro.conf.arg(metavar="GAME")] = (
        "tic-tac-toe"
    )
    """What is played."""
    against: Annotated[str, tyro.conf.arg(metavar="PLAYER")] = "minimax"
    """The other player."""
    seat: Literal["X", "O"] = "X"
    """Yours: X moves first."""
    seed: int = 0
    """Of the other player's training, and of its choice among moves that it likes equally."""
    players: bool = False
    """List the players of the game, and play nothing."""


def run(arguments: Sequence[str]) -> None:
    import numpy as np

    from relook.games.game import FIRST, SECOND
    from relook.games.players import GAMES, PLAYERS, known
    from relook.population import single_threaded, stream

    form = parse(Form, "play", arguments)
    console = Console(highlight=False, width=min(Console().width, 100))
    if form.players:
        for name, one in PLAYERS.items():
            if form.game in one.games:
                learns = f" (learns for {one.learns})" if one.learns else ""
                console.print(f"{name:<16}{escape(one.what + learns)}", soft_wrap=True)
        return
    other = known(form.against, form.game)
    single_threaded()
    game, seat = GAMES[form.game](), FIRST if form.seat == "O" else SECOND
    if other.learns:
        console.print(f"[dim]Training {form.against} for {other.learns} …[/]")
    think, rng, state = other.make(game, seat, form.seed), stream(form.seed, "play"), 0
    console.print(f"{form.against}: {escape(other.what)}. You are {form.seat}.\n")
    while not game.over[state]:
        if game.seat[state] == seat:
            thoughts = think(np.array([state]))
            console.print(f"[dim]What {form.against} expects of each move, and * where it likes to move:[/]")
            console.print(_thoughts(game, state, thoughts))
            move = int(rng.choice(len(thoughts.policy[0]), p=thoughts.policy[0]))
            console.print(f"{form.against} plays {move + 1}.\n")
        else:
            console.print(_board(game, state, lambda move: f"[dim]{move + 1}[/]"))
            chosen = _ask(console, game, state)
            if chosen is None:
                console.print("You leave.")
                return
            move = chosen
        state = int(game.after[state, move])
    console.print(_board(game, state, lambda move: " "))
    result = int(game.outcome[state]) * (1 - 2 * seat)
    console.print(["A draw.", f"{form.against} wins.", "You win."][result])


def _ask(console: Console, game: "Game", state: int) -> int | None:
    """A move; None at the end of input or for q."""
    moves = [int(move) + 1 for move in game.legal[state].nonzero()[0]]
    while True:
        try:
            word = input("Your move: ").strip()
        except EOFError:
            return None
        if word.lower() == "q":
            return None
        if word.isdecimal() and int(word) in moves:
            return int(word) - 1
        console.print(f"expected one of {', '.join(map(str, moves))}, or q; found {escape(repr(word))}")


def _thoughts(game: "Game", state: int, thoughts: "Thoughts") -> str:
    """The board with what the player expects of each move, and a star at those that it would make."""
    [policy], [value] = thoughts

    def cell(move: int) -> str:
        said = "   ? " if value[move] != value[move] else f"{0.0 + round(value[move], 2):+.2f}"
        return f"[bold green]{said}*[/]" if policy[move] > 0 else f"[cyan]{said} [/]"

    return _board(game, state, cell, width=8)


def _board(game: "Game", state: int, cell: Callable[[int], str], width: int = 3) -> str:
    """The board, with a text for each move: in its empty field, or below its column."""
    from rich.text import Text

    columns, rows = game.size

    def centred(text: str) -> str:
        missing = width - len(Text.from_markup(text))
        return " " * (missing // 2) + text + " " * (missing - missing // 2)

    def field(number: int) -> str:
        stone = int(game.board[state, number])
        if stone:
            return centred(f"[bold]{MARKS[stone]}[/]")
        return centred(" " if game.drops else _if_legal(game, state, number, cell))

    rule = "\n" + "┼".join(["─" * width] * columns) + "\n"
    drawn = rule.join("│".join(field(row * columns + column) for column in range(columns)) for row in range(rows))
    if game.drops:
        drawn += "\n" + " ".join(centred(_if_legal(game, state, move, cell)) for move in range(columns))
    return drawn


def _if_legal(game: "Game", state: int, move: int, cell: Callable[[int], str]) -> str:
    return cell(move) if game.legal[state, move] else " "
