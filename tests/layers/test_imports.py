"""Imports point one way; only what needs torch asks for it."""

import ast
from pathlib import Path

import pytest

from relook.algorithms import ALGORITHMS

SOURCE = Path(__file__).parents[2] / "src" / "relook"

LOWER = ("errors", "importing", "formulas", "population", "envs", "networks", "buffers", "runs")
ALLOWED: dict[str, tuple[str, ...]] = {
    "errors": (),
    "importing": ("errors",),
    "formulas": (),
    "population": ("errors", "formulas"),
    "envs": ("errors", "importing", "formulas", "population"),
    "networks": ("errors", "formulas", "population", "envs"),
    "buffers": ("errors", "formulas", "population", "envs"),
    "runs": ("errors", "importing", "formulas", "population", "envs", "networks", "buffers"),
    "algorithms": LOWER,
    "tabular": ("errors", "formulas", "population", "envs", "networks", "runs"),
    "games": ("errors", "formulas", "population", "networks", "tabular"),
    "labs": (*LOWER, "algorithms", "statistics", "tabular", "games"),
    "statistics": ("errors", "runs"),
    "exports": ("errors", "runs"),
    "workers": ("errors", "envs", "runs"),
    "training": (*LOWER, "algorithms", "workers"),
    "doctor": (*LOWER, "algorithms", "workers", "training"),
    "experiments": (*LOWER, "algorithms", "statistics", "workers", "training"),
    "cli": (
        *LOWER,
        "algorithms",
        "statistics",
        "exports",
        "workers",
        "training",
        "experiments",
        "doctor",
        "labs",
        "games",
    ),
    "__init__": ("runs", "algorithms", "training"),
}
"""What a room may import besides itself and libraries."""

LOOKS_ONLY = (
    "statistics",
    "exports",
    "doctor/watch",
    "doctor/findings.py",
    "cli/show.py",
    "cli/plot.py",
    "cli/tables.py",
    "cli/progress.py",
    "runs/reading.py",
)
"""What looks at runs reads their files, and never imports an algorithm."""


def imported(path: Path) -> set[str]:
    """The rooms of relook that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        found |= {name.split(".")[1] for name in names if name.startswith("relook.")}
    return found


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_imports_only_from_rooms_below(path: Path) -> None:
    assert room(path) in ALLOWED, f"{room(path)} is a new room: say here what it may import"
    assert imported(path) <= {*ALLOWED[room(path)], room(path)}


@pytest.mark.parametrize("place", LOOKS_ONLY)
def test_what_looks_at_runs_imports_no_algorithm(place: str) -> None:
    where = SOURCE / place
    for path in sorted(where.rglob("*.py")) if where.is_dir() else [where]:
        assert "algorithms" not in imported(path)


def test_algorithms_do_not_import_each_other() -> None:
    for name in ALGORITHMS:
        assert "algorithms" not in imported(SOURCE / "algorithms" / f"{name}.py")


def test_nothing_uses_ambient_randomness_or_unsafe_reading() -> None:
    forbidden = ("torch.manual_seed", "np.random.seed", "random.seed(", "pickle", "torch.load", "eval(")
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        if path.name == "modules.py":  # a module's own initialisation draws from torch's global numbers: lent, not used
            assert text.count("torch.manual_seed") == text.count("torch.random.fork_rng(devices=[])")
            text = text.replace("torch.manual_seed", "")
        assert not [word for word in forbidden if word in text], path
