"""`relook play`: a game in the terminal, with what the other player thinks."""

from collections.abc import Iterator

import pytest

from relook.cli.main import main


def answers(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    left: Iterator[str] = iter(words)

    def typed(prompt: str) -> str:
        word = next(left, None)
        if word is None:
            raise EOFError
        return word

    monkeypatch.setattr("builtins.input", typed)


def test_a_game_against_minimax_is_shown_move_by_move(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, "5", "5", "nonsense", "9", "3", "4", "7", "1", "2", "6", "8")
    assert main(["play"]) == 0
    said = capsys.readouterr().out
    assert "minimax: what is best against the best. You are X." in said
    assert ", or q; found 'nonsense'" in said
    assert "found '5'" in said, "a field that is taken"
    assert "+0.00*" in said, "what it thinks of a corner after the centre"
    assert said.rstrip().endswith(("A draw.", "minimax wins."))
    assert said.count("minimax plays") >= 3


def test_the_best_response_to_random_moves_is_beaten_by_a_fork(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/win-or-defend.md says: it has won most of its games, and who knows it wins all of theirs."""
    from relook.games import solving
    from relook.games.game import FIRST, SECOND, tic_tac_toe
    from relook.games.players import known, table

    game = tic_tac_toe()
    theirs = table(game, known("best-response", game.name).make(game, SECOND, 0))
    mine = solving.best_response(game, FIRST, theirs)[1]
    shown: list[str] = []

    def typed(prompt: str) -> str:
        drawn = capsys.readouterr().out
        shown.append(drawn)
        rows = [line for line in drawn.splitlines()[-5:] if "│" in line]
        marks = [cell.strip() for row in rows for cell in row.split("│")]
        board = [{"X": 1, "O": 2}.get(mark, 0) for mark in marks]
        [state] = [i for i, stones in enumerate(game.board) if stones.tolist() == board]
        return str(solving.among_best(game, mine)[state].argmax() + 1)

    monkeypatch.setattr("builtins.input", typed)
    assert main(["play", "--against", "best-response"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("You win.")


def test_connect_four_where_the_other_moves_first_and_leaving(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, "2", "q")
    assert main(["play", "connect-four", "--against", "random", "--seat", "O"]) == 0
    said = capsys.readouterr().out
    assert "You are O." in said
    assert "?" in said, "a player that moves at random expects nothing"
    assert said.rstrip().endswith("You leave.")
    answers(monkeypatch)
    assert main(["play", "connect-four", "--against", "uct"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("You leave."), "the end of input"


def test_a_player_that_learns_says_so_and_the_list_names_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from relook.games.players import PLAYERS

    answers(monkeypatch, "Q")
    assert main(["play", "--against", "minimax-q"]) == 0
    assert "Training minimax-q for a few seconds …" in capsys.readouterr().out
    assert main(["play", "--players"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in PLAYERS)
    assert main(["play", "connect-four", "--players"]) == 0
    assert "network" not in capsys.readouterr().out


def test_what_cannot_be_played_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["play", "--against", "nobody"]) == 2
    assert "expected a player of tic-tac-toe: random" in capsys.readouterr().err
    assert main(["play", "connect-four", "--against", "network"]) == 2
    assert "expected a player of connect-four: random, " in capsys.readouterr().err
