"""What a planted bug is."""

from dataclasses import dataclass
from pathlib import Path

from relook.errors import RelookError

SOURCE = Path(__file__).parents[2]
"""The package `relook`, whose files bugs are planted in copies of."""


@dataclass(frozen=True)
class Bug:
    """A text of the source, once in its file, and what a mistake would make of it."""

    name: str
    what: str
    """The mistake, and its effect."""
    algorithm: str
    """The algorithm in which it is looked for: one that it matters to."""
    component: str
    """What is broken, in the words of `relook.doctor.findings.COMPONENTS`."""
    file: str
    """Relative to the package."""
    right: str
    wrong: str
    environment: str = ""
    """A Gymnasium id in which it bears load: what is trained there comes out otherwise, or is recorded otherwise.

    Empty if it does so in no ordinary training, but takes options that the examination has.
    """
    shows: bool = False
    """Whether evaluations there are worse for it; else it is one that only its specification tells."""
    check: str = ""
    """The check that is to name it; empty if none is known to."""

    def plant(self, package: Path) -> str:
        """Put the bug into a copy of the package; returns the file's text as it was, to be put back.

        Raises `RelookError` if the text is not there exactly once: the source has changed, and the bug must follow.
        """
        path = package / self.file
        text = path.read_text(encoding="utf-8")
        if (count := text.count(self.right)) != 1:
            raise RelookError(
                f"expected the text that bug {self.name} changes once in {self.file}; found it {count} times"
            )
        path.write_text(text.replace(self.right, self.wrong), encoding="utf-8")
        return text
