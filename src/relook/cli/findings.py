"""Findings on the terminal."""

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from relook.doctor.findings import LESSONS, Finding


def print_finding(console: Console, finding: Finding) -> None:
    """Everything that a finding says, in a few lines."""
    style = "bold red" if finding.severity == "error" else "bold yellow"
    title = Table.grid(expand=True)
    title.add_column(no_wrap=True)
    title.add_column(justify="right", style="dim")
    title.add_row(f"{finding.severity}: {finding.check.name}", finding.component)
    title.columns[0].style = style
    console.print(title)
    details = Table.grid(padding=(0, 2))
    details.add_column(style="dim", no_wrap=True)
    details.add_column(overflow="fold")
    if finding.subject:
        details.add_row("who", finding.subject)
    details.add_row("what", _sentence(finding.evidence))
    details.add_row("see", finding.where)
    for number, cause in enumerate(finding.check.causes, 1):
        details.add_row("causes" if number == 1 else "", f"{number}. {cause}")
    details.add_row("remedy", finding.check.remedy)
    details.add_row("lesson", f"{LESSONS}#{finding.check.name}")
    console.print(Padding(details, (0, 0, 0, 2)))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
