"""What a lab is: a question, a prediction, a computation, a picture, and claims with numbers that anybody can check."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from matplotlib.figure import Figure

R = TypeVar("R")


@dataclass(frozen=True)
class Claim:
    """A sentence with a number in it, and how far the number may be off."""

    what: str
    """What the number is, without it: "the slope of the error over n, log by log"."""
    found: float
    expected: float
    tolerance: float
    why: str
    """Why the number is what is expected, and what the tolerance follows from."""
    kind: Literal["equal", "at least", "at most"] = "equal"
    """`equal`: within the tolerance; else the tolerance is what may be missing."""

    @property
    def holds(self) -> bool:
        """False also where the number is none."""
        if self.kind == "at least":
            return self.found >= self.expected - self.tolerance
        if self.kind == "at most":
            return self.found <= self.expected + self.tolerance
        return abs(self.found - self.expected) <= self.tolerance


@dataclass(frozen=True)
class Lab(Generic[R]):
    """One concept that a learner predicts, runs, looks at, and can trust. `R` is what the computation gives."""

    name: str
    """As in `relook lab NAME`, and that of its folder."""
    title: str
    question: str
    """What is asked: a paragraph that a beginner understands, with the symbols that are needed."""
    prompt: str
    """What to predict before anything is computed."""
    choices: tuple[str, ...]
    answer: Callable[[R], int]
    """Which of the choices the numbers say is right."""
    compute: Callable[[], R]
    """All numbers, from fixed seeds."""
    claims: Callable[[R], list[Claim]]
    draw: Callable[[R], Figure]
    """One picture with one message."""
    lesson: Callable[[R], str]
    """What it means: a paragraph with the numbers in it."""
    mistake: str
    """A mistake that people make here …"""
    wrong: Callable[[], R]
    """… and what would be computed with it: at least one claim does not hold of it."""
    notes: tuple[str, ...]
    """The lines of the founding notes that it answers, word by word."""
    reading: tuple[str, ...]
    """What to read next: labs, pages, papers with section or equation."""
    table: Callable[[R], str] | None = None
    """More numbers, as text of at most 90 columns, where the picture and the claims do not have them all."""
    shorter: Callable[[], R] | None = None
    """The same with less learning, for `--quick`, where the whole takes minutes."""
    quick: bool = True
    """Whether it takes a second or two, so that every test run can do it."""
    erratum: str = ""
    """What the notes say here that is not quite so, and what is; empty if nothing."""
