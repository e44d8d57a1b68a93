"""Write the pages of docs/ that follow from the source: `python docs/generate.py`. A test finds them out of date."""

import inspect
import json
import sys
import textwrap
import tomllib
from dataclasses import fields
from difflib import SequenceMatcher
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from relook.algorithms import ALGORITHMS
from relook.cli.algorithms import presets
from relook.doctor.examine.functions.examination import ORDER as FUNCTIONS
from relook.doctor.examine.inside.examination import ORDER as INSIDE
from relook.doctor.examine.outside.examination import ORDER as OUTSIDE
from relook.doctor.watch.checks import CHECKS as WATCHED
from relook.games.players import LEARNED
from relook.labs import LABS, find
from relook.labs.defend.results import SHARES, plain
from relook.statistics.plots import save

DOCS = Path(__file__).parent
NEIGHBOURS = (("reinforce", "vpg"), ("vpg", "a2c"), ("vpg", "trpo"), ("vpg", "ppo"), ("ddpg", "td3"), ("td3", "sac"))
CONTEXT = 1
"""Lines that two files share, shown around those that differ."""


def presets_page() -> str:
    lines = [
        "# Presets",
        "",
        "Settings to start from in place of the defaults: `relook train ppo --env Ant-v5 --preset mujoco`; what is",
        "typed besides holds. Those of other implementations are for comparison, with what still differs from them.",
        "How ours for MuJoCo were found, and what they learn, is in [benchmarks.md](benchmarks.md).",
        "Made by `python docs/generate.py`.",
    ]
    pages = [presets(known).replace("# ", "## ", 1) for known in ALGORITHMS.values() if known.presets]
    return "\n\n".join(["\n".join(lines), *pages]) + "\n"


def side_by_side_page() -> str:
    lines = [
        "# Side by side",
        "",
        "What an algorithm changes in the one that it grew from: hyper-parameters, metrics and code, taken from the",
        "files themselves. Both files have the same order, so that what is not shown here is the same in both.",
        "Made by `python docs/generate.py`.",
        "",
        *(f"- [From {old} to {new}](#from-{old}-to-{new})" for old, new in NEIGHBOURS),
    ]
    for old, new in NEIGHBOURS:
        lines += ["", *comparison(old, new)]
    return "\n".join(lines) + "\n"


def comparison(old: str, new: str) -> list[str]:
    """Two algorithms' files as Markdown."""
    modules = [import_module(f"relook.algorithms.{name}") for name in (old, new)]
    lines = [f"## From {old} to {new}", ""]
    for name, module in zip((old, new), modules, strict=True):
        lines.append(f"- **{name}**: {(module.__doc__ or '').splitlines()[0]}")
    lines += ["", *hyperparameters(old, new, modules), "", *metrics(modules), ""]
    left, right = (functions(module) for module in modules)
    alike = [name for name in right if left.get(name) == right[name]]
    for name, code in right.items():
        if name not in left:
            lines += [f"### `{name}`, only in {new}", "", "```python", *code, "```", ""]
        elif name not in alike:
            lines += [
                f"### `{name if name != MAIN else f'{old}` and `{new}'}`",
                "",
                *columns(left[name], code, old, new),
            ]
    if gone := [name for name in left if name not in right]:
        lines += [f"Only in {old}: {', '.join(f'`{name}`' for name in gone)}.", ""]
    if alike:
        lines += [f"The same in both: {', '.join(f'`{name}`' for name in alike)}.", ""]
    return lines[:-1]


def hyperparameters(old: str, new: str, modules: list[ModuleType]) -> list[str]:
    """Those that only one file has, and those with another default."""
    defaults: list[dict[str, Any]] = [{f.name: f.default for f in fields(module.Config)} for module in modules]
    lines = [f"| hyper-parameter | {old} | {new} |", "|---|---|---|"]
    for name in {**defaults[0], **defaults[1]}:
        cells = [str(of[name]) if name in of else "" for of in defaults]
        if cells[0] != cells[1]:
            lines.append(f"| `{name}` | {cells[0]} | {cells[1]} |")
    return lines


def metrics(modules: list[ModuleType]) -> list[str]:
    old, new = (module.METRICS for module in modules)
    more, fewer = [name for name in new if name not in old], [name for name in old if name not in new]
    lines = []
    if more:
        lines.append(f"It also logs {', '.join(f'`{name}`' for name in more)}.")
    if fewer:
        lines.append(f"It does not log {', '.join(f'`{name}`' for name in fewer)}.")
    return lines


MAIN = "the algorithm"


def functions(module: ModuleType) -> dict[str, list[str]]:
    """The source lines of a file's functions and small classes, by name; the algorithm's own is called `MAIN`."""
    own, found = module.__name__.rpartition(".")[2], {}
    for name, value in vars(module).items():
        if isinstance(value, FunctionType | type) and value.__module__ == module.__name__ and name != "Config":
            found[MAIN if name == own else name] = inspect.getsource(value).rstrip().splitlines()
    return found


def columns(left: list[str], right: list[str], old: str, new: str) -> list[str]:
    """The places in which two functions differ, beside each other."""
    lines = ["<table>", f"<tr><th>{old}.py</th><th>{new}.py</th></tr>"]
    for group in SequenceMatcher(None, left, right, autojunk=False).get_grouped_opcodes(CONTEXT):
        cells = [left[group[0][1] : group[-1][2]], right[group[0][3] : group[-1][4]]]
        lines.append("<tr>")
        for cell in cells:
            lines += ["<td>", "", "```python", *textwrap.dedent("\n".join(cell)).splitlines(), "```", "", "</td>"]
        lines.append("</tr>")
    return [*lines, "</table>", ""]


def doctor_page() -> str:
    """The page's head, which is written by hand, the trainer that it examines, and a section for each check."""
    head = (DOCS / "doctor.head.md").read_text(encoding="utf-8")
    trainer = (DOCS / "trainer.py").read_text(encoding="utf-8")
    losses = (DOCS / "losses.py").read_text(encoding="utf-8")
    lines = [head.replace("TRAINER", f"```python\n{trainer}```").replace("LOSSES", f"```python\n{losses}```")]
    groups = (
        ("Checks of a run", [module.CHECK for module in WATCHED]),
        ("Checks of an algorithm of ours", INSIDE),
        ("Checks of anybody's training function", OUTSIDE),
        ("Checks of losses and updates", FUNCTIONS),
    )
    for title, checks in groups:
        lines += [f"## {title}", ""]
        for check in checks:
            lines += [f"### {check.name}", "", f"*{check.component}.* {check.asks}", "", check.lesson, ""]
            lines += ["Likely causes:", "", *(f"{i}. {cause}" for i, cause in enumerate(check.causes, 1)), ""]
            lines += [f"What to do: {check.remedy}", ""]
    return "\n".join(lines)


def labs_page() -> str:
    """Every lab: what it asks, what came out, its picture."""
    lines = [
        "# The labs",
        "",
        "Concepts that you predict, run, look at and can check: `relook lab NAME` asks, computes, draws and says",
        "whether your prediction held; `relook lab --all --check` checks every claim; `relook lab symbols` prints the",
        "notation with values. Below is what each asks; what comes out is yours to see. Made by `python",
        "docs/generate.py`, the pictures by `python docs/generate.py --pictures`.",
        "",
        *(f"- [{find(name).title}](#{name})" for name in LABS),
    ]
    for name in LABS:
        own = find(name)
        lines += ["", f"## {name}", "", f"**{own.title}.** {own.question}", "", f"*Predict.* {own.prompt}", ""]
        lines += [f"{i}. {choice}" for i, choice in enumerate(own.choices, 1)]
        lines += ["", "<details><summary>The picture</summary>", "", f"![{own.title}](images/labs/{name}.png)", ""]
        lines += ["</details>", "", f"A mistake that its claims catch: {own.mistake}. "]
        lines += [f"Read next: {'; '.join(own.reading)}."]
        if own.erratum:
            lines += ["", f"The notes, once more: {own.erratum}"]
    return "\n".join(lines) + "\n"


def notes_page() -> str:
    """The founding notes line by line, each with what answers it."""
    answers = tomllib.loads((DOCS / "answers.toml").read_text(encoding="utf-8"))
    lines = [
        "# The founding notes, line by line",
        "",
        "A learner's notes on Spinning Up became relook. Each line stands here with what in relook answers it: a lab,",
        "an algorithm, a command or a page. Made by `python docs/generate.py` from `answers.toml` and from what the",
        "labs say of themselves.",
        "",
        "| the notes | in relook |",
        "|---|---|",
    ]
    for line in filter(None, map(str.strip, (DOCS / "founding-notes.txt").read_text(encoding="utf-8").splitlines())):
        found = [f"relook lab {name}" for name in LABS if line in find(name).notes]
        found += [answer for answer in answers.get(line, []) if answer not in found]
        shown = [_answer(answer) for answer in found]
        lines.append(f"| {line.replace('|', chr(92) + '|')} | {', '.join(shown) or 'nothing yet'} |")
    errata = [
        f"- **{find(name).title}** (`relook lab {name}`): {find(name).erratum}" for name in LABS if find(name).erratum
    ]
    return "\n".join([*lines, "", "## Where the notes are not quite right", "", *errata]) + "\n"


def win_or_defend_page() -> str:
    """The essay: its text by hand, every number from what the lab computed."""
    found = json.loads((DOCS / "win-or-defend.json").read_text(encoding="utf-8"))
    learned, searched = found["learned"], found["alphazero"]
    uct = {f"uct {budget}": seeds for budget, seeds in found["uct"].items()}
    page = (DOCS / "win-or-defend.head.md").read_text(encoding="utf-8")
    tables = {
        "PLAYERS": _both_seats(found["exact"]["tic-tac-toe"]),
        "TEACHING": _teaching(found["taught"]),
        "CONNECT FOUR": _both_seats(found["exact"]["connect-four"]),
        "SOCCER": _soccer(found["soccer"]),
        "LEARNED": _both_seats(learned),
        "SEARCH": _both_seats(uct | searched),
        "COSTS": _costs(found),
    }
    for mark, table in tables.items():
        page = page.replace(f"\n{mark}\n", f"\n{table}\n")

    def safe(name: str, seats: str = "XO") -> int:
        return sum(all(one[seat]["worst"] >= 0 for seat in seats) for one in searched[name])

    return page.format(
        **found,
        learned_games=LEARNED,
        minimax_q_loses=_mean(learned["minimax-q"], "O", "loses"),
        seeds=len(searched["search"]),
        safe_search=safe("search"),
        safe_network=safe("network"),
        unsafe_narrow=len(searched["narrow-search"]) - safe("narrow-search", "O"),
        narrow_network=_mean(searched["narrow-network"], "O", "block"),
        narrow_search=_mean(searched["narrow-search"], "O", "block"),
        **{name.replace(" ", "_"): _mean(seeds, "O", "block") for name, seeds in uct.items()},
    )


def _mean(both: dict[str, Any] | list[dict[str, Any]], seat: str, what: str) -> float:
    """A player's figure, over seeds if it has learned."""
    rows = both if isinstance(both, list) else [both]
    return sum(float(row[seat][what]) for row in rows) / len(rows)


def _both_seats(players: dict[str, Any]) -> str:
    lines = [
        "| player | seat | wins against random | attacks | blocks | blocks on its path | worst case | loses to it |"
    ]
    lines += ["|---|---|---|---|---|---|---|---|"]
    shares = ("win", "attack", "block", "block_on_path")
    for name, both in players.items():
        for seat in "XO":
            cells = [f"{_mean(both, seat, what):.1%}" for what in shares]
            cells += [f"{_mean(both, seat, 'worst'):+.2f}", f"{_mean(both, seat, 'loses'):.1%}"]
            lines.append(f"| {name} | {seat} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _teaching(taught: dict[str, list[dict[str, float]]]) -> str:
    lines = [f"| O; punished in | {' | '.join(f'{share:.0%}' for share in SHARES)} |", f"|---|{'---|' * len(SHARES)}"]
    for teacher, reports in taught.items():
        for what, name, digits in (
            ("block", "blocks", 0),
            ("loses", "loses to its best response", 0),
            ("win", "wins", 1),
        ):
            cells = " | ".join(f"{report[what]:.{digits}%}" for report in reports)
            lines.append(f"| {teacher}: {name} | {cells} |")
    return "\n".join(lines)


def _soccer(players: dict[str, dict[str, float]]) -> str:
    lines = ["| policy | wins against random | wins against its best response | worst case |", "|---|---|---|---|"]
    for name, own in players.items():
        shares = f"{own['against_random']:.1%} | {own['against_best_response']:.1%}"
        lines.append(f"| {name} | {shares} | {0.0 + round(own['worst'], 3):+.3f} |")
    return "\n".join(lines)


def _costs(found: dict[str, Any]) -> str:
    """Games that were played to learn, and how often the game was asked what a move leads to, beside playing them."""
    rows = [
        ("dynamic programming: all exact players", "0", f"{found['moves']['tic-tac-toe']:,}, each move once"),
        ("Q-learning, minimax-Q", f"{LEARNED:,}", "0"),
        *(
            (f"UCT, {n} simulations", "0", f"{calls:,.0f} for each of its moves")
            for n, calls in found["uct_calls"].items()
        ),
        ("AlphaZero-lite", f"{found['games']:,}", f"{found['calls']:,.0f}"),
    ]
    lines = ["| player of tic-tac-toe | games | simulator calls |", "|---|---|---|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def _answer(answer: str) -> str:
    """A command or a file in code, a link as it is."""
    return f"`{answer}`" if answer.startswith("relook ") else answer


PAGES = {"presets.md": presets_page, "side-by-side.md": side_by_side_page, "doctor.md": doctor_page}
PAGES |= {"labs.md": labs_page, "notes.md": notes_page, "win-or-defend.md": win_or_defend_page}


if __name__ == "__main__":
    if "--pictures" in sys.argv:
        for name in LABS:
            found = find(name).compute()
            save(find(name).draw(found), DOCS / "images" / "labs" / f"{name}.png")
            if name == "defend":
                (DOCS / "win-or-defend.json").write_text(json.dumps(plain(found), indent=1) + "\n", encoding="utf-8")
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
