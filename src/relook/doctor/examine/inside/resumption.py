"""Does a training that was interrupted become what it would have been?"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check
from relook.errors import RelookError
from relook.runs import checkpoints, segments
from relook.runs.checkpoints import CHECKPOINTS
from relook.runs.segments import REPLAY
from relook.runs.unit import LOGS

CHECK = Check(
    name="resumption",
    component="record",
    asks="A training that pauses and goes on from its checkpoint ends with the same parameters, bit for bit, as one "
    "that was never interrupted, without training any part of it twice, also if what was written last is damaged; and "
    "no kept checkpoint lacks what it needs.",
    causes=(
        "moments, step counts, statistics or experience are not in the checkpoint",
        "running episodes are not where they were",
        "a target network or a temperature is forgotten",
    ),
    remedy="Whatever the next update depends on belongs to `run.start(…)`, which keeps it.",
    lesson="Optimiser moments that begin anew, or an empty replay, show as a dent in the curve at best. Hardly any "
    "library resumes exactly, so hardly any notices.",
)


WHERE = "relook/runs/segments.py and relook/runs/unit.py"


def compare(make: Callable[[], Patient], report: Patient, *, damage: bool) -> None:
    """Train without a pause, with pauses, and with pauses and a file that has been damaged since, if that is wanted."""
    where = f"relook/algorithms/{report.name}.py, run.start"
    whole = make()
    kept: list[dict[str, bytes]] = []
    whole.afterwards(partial(_remember, whole, kept))
    whole.train()
    for what, pause in _TRIED[: 1 + 2 * damage]:
        paused = make()
        written: list[dict[str, bytes]] = []
        paused.afterwards(partial(_remember, paused, written))
        if pause is _wait:
            paused.afterwards(partial(_look, paused, report))
        paused.train(pause=pause)
        if whole.ac is None or whole.findings:
            return
        if paused.ac is None or paused.findings:
            problem = paused.findings[0].evidence if paused.findings else "no networks"
            report.ask(CHECK, False, f"expected to go on after {what}; found: {problem}", WHERE)
            return
        once = pause is not _wait or paused.counted == whole.counted
        said = f"expected each iteration to be trained once, whatever the pauses; found {paused.counted}"
        report.ask(CHECK, once, said, WHERE)
        for name, content in kept[0].items():
            said = f"expected the same {name} after {what}; found other content"
            report.ask(CHECK, written[0][name] == content, said, "relook/runs/unit.py")
        one, other = whole.ac.state(), paused.ac.state()
        different = [name for name, x in one.items() if not torch.equal(x, other[name])]
        report.ask(
            CHECK,
            not different,
            f"expected the same parameters after {what}; found other ones: {', '.join(different)}",
            where if pause is _wait else WHERE,
        )


def _damage(directory: Path) -> None:
    """Lose the second half of what was written last, but for its length: a disk does that."""
    written = sorted((directory / REPLAY).glob("*")) or sorted((directory / CHECKPOINTS).rglob("*.safetensors"))
    content = written[-1].read_bytes()
    half = len(content) // 2
    written[-1].write_bytes(content[:half] + bytes(len(content) - half))


def _remember(patient: Patient, written: list[dict[str, bytes]]) -> None:
    """All that a training writes, but for times and events."""
    own = {name: patient.directory / name for name in LOGS if name not in ("timing.jsonl", "events.jsonl")}
    written.append({name: path.read_bytes() for name, path in own.items() if path.exists()})


def _damage_checkpoint(directory: Path) -> None:
    """Change one byte of the newest checkpoint."""
    newest = max((directory / CHECKPOINTS).rglob("*.safetensors"), key=lambda path: path.stat().st_mtime_ns)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 255
    newest.write_bytes(bytes(content))


def _wait(directory: Path) -> None:
    """Nothing happens."""


_TRIED = (("a pause", _wait), ("a damaged file", _damage), ("a damaged checkpoint", _damage_checkpoint))


def _look(paused: Patient, report: Patient) -> None:
    """Every checkpoint that is kept has all that it needs."""
    problem = ""
    try:
        for record in checkpoints.records(paused.directory / CHECKPOINTS):
            segments.check(paused.directory / REPLAY, segments.recorded(record))
    except RelookError as error:
        problem = str(error)
    if paused.replay is not None:
        expected = paused.iterations * paused.config.steps_each // paused.config.envs
        said = f"expected a replay of {expected} steps after all pauses; found {paused.replay.steps}"
        report.ask(CHECK, paused.replay.steps == expected, said, "relook/buffers/replay.py")
    kept = {int(record["iteration"]) for record in checkpoints.records(paused.directory / CHECKPOINTS)}
    said = f"expected the checkpoint of a milestone, after iteration 1, to be kept; found those of {sorted(kept)}"
    report.ask(CHECK, paused.iterations < 2 or 1 in kept, said, WHERE)
    report.ask(CHECK, not problem, f"expected all that a kept checkpoint needs; found {problem}", WHERE)
