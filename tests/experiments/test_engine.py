"""Units on a cluster: what becomes of them when workers, nodes, disks and packages fail. Here Ray is a script."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayTaskError, TaskCancelledError, WorkerCrashedError

from relook.cli.main import main
from relook.envs import EnvironmentSpec
from relook.errors import RelookError, WrongRequest
from relook.experiments import engine
from relook.experiments.engine import Ray, without_room
from relook.experiments.node import SHARED
from relook.experiments.shipping import Receiver, Sender
from relook.runs.files import lock
from relook.training import Request, prepare, work
from relook.workers import Task, record_failure
from support import SMALL

SPEC = EnvironmentSpec("CartPole-v1")
BEGUN, ENDED = ("begun", "A"), ("ended", 0)


class ScriptedRay:
    """In place of Ray: what comes of each task that is handed in, one after the other, is written down before.

    A report that is a function is called when it is taken; an exception is raised; "…" is never ready.
    """

    exceptions = ray.exceptions

    def __init__(self, scripts: Sequence[Sequence[Any]]) -> None:
        self.scripts = list(scripts)
        self.orders: list[dict[str, Any]] = []
        self.sent: list[Any] = []
        self.options: list[dict[str, Any]] = []
        self.cancelled: list[Any] = []
        self.most = 0

    def remote(self, **options: Any) -> Callable[[Any], Any]:
        assert options == {"max_retries": 0, "num_returns": "streaming", "num_cpus": 1}
        return lambda function: Handed(self)

    def put(self, value: Any) -> Any:
        return value

    def wait(self, tasks: list[Any], *, num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        assert tasks
        self.most = max(self.most, len(tasks))
        return [task for task in tasks if task.reports[:1] != ["…"] or task in self.cancelled], []

    def get(self, report: Any) -> Any:
        if isinstance(report, BaseException):
            raise report
        return report() if callable(report) else report

    def cancel(self, task: Any) -> None:
        self.cancelled.append(task)
        task.reports[:] = [TaskCancelledError()]


class Handed:
    def __init__(self, to: ScriptedRay) -> None:
        self.to = to

    def options(self, **options: Any) -> "Handed":
        self.to.options.append(options)
        return self

    def remote(self, order: dict[str, Any], parcels: Any, stop: str) -> "Reports":
        self.to.orders.append(order)
        self.to.sent.append(parcels)
        return Reports(list(self.to.scripts.pop(0)))


class Reports:
    def __init__(self, reports: list[Any]) -> None:
        self.reports = reports

    def __next__(self) -> Any:
        if not self.reports:
            raise StopIteration
        return self.reports.pop(0)


class ScriptedEngine(Ray):
    def __init__(self, scripts: Sequence[Sequence[Any]], storage: str = "auto", workers: int | None = None) -> None:
        super().__init__("head:1", workers, storage)
        self.script = ScriptedRay(scripts)
        self.there: list[dict[str, float]] = [{"CPU": 2.0, "memory": 2.0**30}]
        self.notices: list[str] = []

    @property
    def ray(self) -> Any:
        return self.script

    def nodes(self) -> list[Any]:
        return self.there

    def post(self, notice: str) -> None:
        self.notices.append(notice)

    def take_down(self, notice: str) -> None:
        self.notices.append(f"not {notice}")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "LOOK", 0.0)
    monkeypatch.setattr(engine, "CHECK", 0.0)


@pytest.fixture
def tasks(tmp_path: Path) -> list[Task]:
    run = prepare(Request("ppo", SPEC, (0, 1, 2), 64, SMALL, 0, tmp_path / "run", checkpoint_every=32), workers=3)
    return [Task(run, unit, SPEC) for unit in run.units]


def trains(task: Task) -> Callable[[], Any]:
    """A report whose taking trains a unit where it lies, as a node that sees the same storage does."""

    def carried_out() -> Any:
        work(task.run, task.unit, task.spec)
        return BEGUN

    return carried_out


def good(task: Task) -> list[Any]:
    return [BEGUN, trains(task), ENDED]


def carry_out(scripted: ScriptedEngine, tasks: Sequence[Task], watch: Callable[[], None] = lambda: None) -> ScriptedRay:
    scripted.carry_out(tasks, watch)
    for task in tasks:
        assert not (task.run.path / SHARED).exists()
        lock(task.run.unit_directory(task.unit)).close()
    return scripted.script


def why(task: Task) -> str:
    return str(task.run.unit_events(task.unit)["failed"]["error"])


def test_all_is_well(tasks: list[Task]) -> None:
    script = carry_out(ScriptedEngine([good(task) for task in tasks]), tasks)
    assert [task.run.has_ended(task.unit) for task in tasks] == [True] * 3
    assert [order["unit"] for order in script.orders] == [0, 1, 2]
    assert [[agent["agent"] for agent in order["record"]["agents"]] for order in script.orders] == [[0], [1], [2]]
    assert script.options == [{}] * 3
    assert script.most <= 4


def test_a_unit_asks_for_the_memory_that_it_needs(tasks: list[Task]) -> None:
    large = Task(tasks[0].run, 0, SPEC, memory=2**20)
    assert carry_out(ScriptedEngine([good(large)]), [large]).options == [{"memory": 2**20}]


@pytest.mark.parametrize(("workers", "most"), [(None, 4), (1, 1), (2, 2)])
def test_few_units_are_handed_over_at_a_time(tasks: list[Task], workers: int | None, most: int) -> None:
    many = [Task(tasks[0].run, 0, SPEC) for _ in range(20)]
    script = carry_out(ScriptedEngine([[BEGUN, BEGUN, BEGUN, ENDED]] * 20, workers=workers), many)
    assert script.most == most


# Losses


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (NodeDiedError("x"), "node A died; unit 0 of run goes on from its newest checkpoint"),
        (WorkerCrashedError(), "the worker on node A died; unit 0 of run goes on"),
        (OutOfMemoryError("x"), "node A ran out of memory, and Ray ended the worker there; unit 0 of run goes on"),
        (("ended", -9), "the process on node A was killed by SIGKILL; by somebody, or because the machine ran out"),
        (None, "the process on node A ended; unit 0 of run goes on"),
    ],
)
def test_a_unit_that_loses_its_worker_goes_on(
    tasks: list[Task], loss: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = [BEGUN] if loss is None else [BEGUN, loss]
    carry_out(ScriptedEngine([first, *[good(task) for task in tasks]]), [tasks[0]])
    assert said in capsys.readouterr().err
    assert "finished" in tasks[0].run.unit_events(0)
    assert "failed" not in tasks[0].run.unit_events(0)


def test_a_unit_that_loses_its_worker_again_and_again_has_failed(tasks: list[Task]) -> None:
    lost = [BEGUN, NodeDiedError("x")]
    carry_out(ScriptedEngine([lost, good(tasks[1]), lost, lost]), tasks[:2])
    assert why(tasks[0]) == "lost its worker 3 times without a newer checkpoint in between; the last time node A died"
    assert "finished" in tasks[1].run.unit_events(1)


def test_losses_with_newer_checkpoints_in_between_do_not_count(tasks: list[Task]) -> None:
    points = tasks[0].run.unit_directory(0) / "checkpoints"

    def gets(steps: int) -> Callable[[], Any]:
        def saved() -> Any:
            (points / f"{steps:012d}").mkdir(parents=True)
            return BEGUN

        return saved

    lost = [[BEGUN, gets(steps), NodeDiedError("x")] for steps in range(1, 8)]
    carry_out(ScriptedEngine([*lost, [BEGUN, ENDED]]), [tasks[0]])
    assert "failed" not in tasks[0].run.unit_events(0)


def test_a_unit_that_ended_before_its_worker_was_lost_has_ended(tasks: list[Task]) -> None:
    script = carry_out(ScriptedEngine([[BEGUN, trains(tasks[0]), NodeDiedError("x")]]), [tasks[0]])
    assert len(script.orders) == 1


# Failures


def fails(task: Task) -> Callable[[], Any]:
    def carried_out() -> Any:
        record_failure(task.run, task.unit, "RuntimeError: no display")
        return BEGUN

    return carried_out


def test_a_unit_that_fails_is_recorded_and_the_rest_is_finished(tasks: list[Task]) -> None:
    scripts: list[list[Any]] = [[BEGUN, fails(tasks[0]), ("ended", 1)], [BEGUN, ("failed", "no torch")], good(tasks[2])]
    carry_out(ScriptedEngine(scripts), tasks)
    assert why(tasks[0]) == "RuntimeError: no display; on node A"
    assert why(tasks[1]) == "no torch"
    assert "finished" in tasks[2].run.unit_events(2)


def test_a_process_that_ends_without_a_word(tasks: list[Task]) -> None:
    carry_out(ScriptedEngine([[BEGUN, ("ended", 2)]]), [tasks[0]])
    assert why(tasks[0]) == "the worker on node A ended with status 2"


def task_error(cause: Exception) -> Exception:
    """As Ray raises it."""
    error: Exception = RayTaskError("f", "Traceback …", cause, "f", 1, "10.0.0.7").as_instanceof_cause()
    return error


@pytest.mark.parametrize(
    ("reports", "said"),
    [
        (
            [task_error(RuntimeError("The remote function failed to import on the worker. This may be because …"))],
            "expected relook on every node of the cluster; node 10.0.0.7 cannot import it: install it there",
        ),
        ([BEGUN, task_error(KeyError("x"))], "KeyError on node A: 'x'"),
        ([BEGUN, "nonsense"], "expected reports from node A; it sent others"),
        ([BEGUN, ("ended", "0")], "expected reports from node A; it sent others"),
        ([BEGUN, ("parcel", [[("../run.json", 0, b"")], None])], "expected files of a unit of work from a worker"),
    ],
)
def test_tasks_that_fail(tasks: list[Task], reports: list[Any], said: str) -> None:
    carry_out(ScriptedEngine([reports, good(tasks[1])]), tasks[:2])
    assert said in why(tasks[0])
    assert "finished" in tasks[1].run.unit_events(1)


def test_a_full_disk_fails_the_unit_whose_results_it_does_not_hold(
    tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Receiver.take

    def full(self: Receiver, pieces: Any, gone: Any) -> None:
        if self.directory.name == "0":
            raise OSError(28, "No space left on device")
        take(self, pieces, gone)

    monkeypatch.setattr(Receiver, "take", full)
    parcel = ("parcel", ([("metrics.jsonl", 0, b"{}\n")], None))
    script = carry_out(ScriptedEngine([[BEGUN, parcel, "…"], [BEGUN, parcel, ENDED]]), tasks[:2])
    directory = tasks[0].run.unit_directory(0)
    assert why(tasks[0]) == (
        f"cannot write into {directory} what came from its node: No space left on device; make room"
    )
    assert len(script.cancelled) == 1
    assert (tasks[1].run.unit_directory(1) / "metrics.jsonl").read_bytes() == b"{}\n"


def test_a_unit_that_somebody_else_trains_has_failed(tasks: list[Task], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relook.runs.files.PATIENCE", 1)
    with lock(tasks[0].run.unit_directory(0)):
        ScriptedEngine([[BEGUN, ENDED]], storage="objects").carry_out(tasks[:2], lambda: None)
    assert "is being trained by another process" in why(tasks[0])
    assert "failed" not in tasks[1].run.unit_events(1)


# Storage


def test_objects_are_sent_along_only_where_there_are_any(tasks: list[Task]) -> None:
    work(tasks[0].run, 0, SPEC)
    files = list(Sender(tasks[0].run.unit_directory(0)).parcels())
    ended = [BEGUN, ENDED]
    script = carry_out(ScriptedEngine([ended, ended], storage="objects"), tasks[:2])
    assert script.sent == [files, []]
    script = carry_out(ScriptedEngine([ended, ended]), tasks[:2])
    assert script.sent == [None, None]
    assert [(order["begun"], order["storage"]) for order in script.orders] == [(True, "auto"), (False, "auto")]


def test_a_node_that_asks_gets_the_files_and_so_do_all_after_it(tasks: list[Task]) -> None:
    work(tasks[0].run, 0, SPEC)
    asks = [BEGUN, ("asks", "")]
    scripted = ScriptedEngine([asks, asks, *[[BEGUN, ENDED]] * 3], workers=2)
    script = carry_out(scripted, tasks)
    assert [order["storage"] for order in script.orders] == ["auto", "auto", "objects", "objects", "objects"]
    assert len([sent for sent in script.sent if sent]) == 1
    assert not any("failed" in task.run.unit_events(task.unit) for task in tasks)


def test_a_lost_unit_is_sent_as_its_newest_checkpoint_has_it(tasks: list[Task]) -> None:
    directory = tasks[0].run.unit_directory(0)

    def torn() -> Any:
        for pieces, gone in finished:
            Receiver(directory).take(pieces, gone)
        (directory / "checkpoints" / "000000000064" / "manifest.json").write_text("{")
        with (directory / "events.jsonl").open("w") as file:
            file.write("")
        with (directory / "metrics.jsonl").open("a") as file:
            file.write('{"half')
        return BEGUN

    work(tasks[0].run, 0, SPEC)
    finished = list(Sender(directory).parcels())
    for path in sorted(directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    scripts: list[list[Any]] = [[BEGUN, torn, NodeDiedError("x")], [BEGUN, ENDED]]
    script = carry_out(ScriptedEngine(scripts, storage="objects"), [tasks[0]])
    [(pieces, _)] = script.sent[1]
    assert not any(b'{"half' in content for _, _, content in pieces)


# Room


def test_what_no_node_has_room_for(tasks: list[Task]) -> None:
    large, small = Task(tasks[0].run, 0, SPEC, memory=2**30), Task(tasks[0].run, 1, SPEC, memory=2**20)
    head, node = {"memory": 2.0**40}, {"CPU": 1.0, "memory": 2.0**29}
    assert without_room([large, small], [head, node]) == [
        (
            large,
            "a unit of ppo on CartPole-v1 needs 1,024 MiB of memory, and the largest node of the cluster has 512 MiB",
        )
    ]
    assert without_room([small], [head])[0][1].endswith("needs a processor, and no node of the cluster has one")
    assert without_room([large, small], [node, {"CPU": 4.0, "memory": 2.0**30}]) == []
    scripted = ScriptedEngine([])
    scripted.there = [node]
    with pytest.raises(RelookError, match="has 512 MiB, so nothing was started"):
        scripted.carry_out([small, large], lambda: None)
    assert scripted.script.orders == []


@pytest.mark.parametrize("comes_back", [False, True])
def test_units_that_no_node_has_room_for_any_more(
    tasks: list[Task], comes_back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two begin, one waits at Ray and one here, when the cluster shrinks."""
    monkeypatch.setattr(engine, "GRACE", 0.0 if not comes_back else 60.0)
    large = [Task(task.run, task.unit, SPEC, memory=2**20) for task in tasks]
    begun, queued, waiting = large
    scripts: list[list[Any]] = [
        [BEGUN, BEGUN, BEGUN, trains(begun), BEGUN, BEGUN, ENDED],
        ["…", BEGUN, ENDED],
        [BEGUN, ENDED],
    ]
    scripted = ScriptedEngine(scripts, workers=2)
    looks = 0

    def watch() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            scripted.there = [{"CPU": 2.0, "memory": 2.0**19}]
        if looks == 6:
            scripted.there = [{"CPU": 2.0, "memory": 2.0**30}]
            if comes_back:
                for flight in [*ready]:
                    flight.reports.pop(0)

    ready: list[Reports] = []
    remote = Handed.remote

    def noted(self: Handed, *words: Any) -> Reports:
        reports = remote(self, *words)
        if reports.reports[:1] == ["…"]:
            ready.append(reports)
        return reports

    monkeypatch.setattr(Handed, "remote", noted)
    script = carry_out(scripted, large, watch)
    assert "finished" in begun.run.unit_events(0)
    if comes_back:
        assert "failed" not in {**queued.run.unit_events(1), **waiting.run.unit_events(2)}
        assert script.cancelled == []
    else:
        for task in (queued, waiting):
            assert why(task).endswith("needs 1 MiB of memory, and the largest node of the cluster has 0 MiB")
        assert len(script.cancelled) == 1


# Interrupts


def test_an_interrupt_lets_what_trains_end(tasks: list[Task], capsys: pytest.CaptureFixture[str]) -> None:
    begun = Reports([])
    scripted = ScriptedEngine([[BEGUN, BEGUN, BEGUN, BEGUN, ENDED], ["…"]], workers=2)
    looks = 0

    def watch() -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    script = carry_out(scripted, tasks, watch)
    assert signal.getsignal(signal.SIGINT) is before
    assert [order["unit"] for order in script.orders] == [0, 1], "nothing begins any more"
    assert len(script.cancelled) == 1, "nor does what had not begun"
    [posted, taken] = scripted.notices
    assert taken == f"not {posted}"
    assert not any("failed" in task.run.unit_events(task.unit) for task in tasks)
    assert "ending after the iteration" in capsys.readouterr().err
    assert not begun.reports


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_second_one_stops_at_once(tasks: list[Task], kind: signal.Signals) -> None:
    scripted = ScriptedEngine([[BEGUN, "…"], [BEGUN, "…"]], workers=2)

    def watch() -> None:
        os.kill(os.getpid(), kind)

    with pytest.raises(KeyboardInterrupt):
        scripted.carry_out(tasks[:2], watch)
    assert len(scripted.script.cancelled) == 2
    assert not (tasks[0].run.path / SHARED).exists()


# Ray itself


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (None, "expected Ray 2.54 or newer; found none; pip install -U '.[ray]' in relook's folder"),
        ("2.9.3", "found 2.9.3"),
        ("2.53.1", "found 2.53.1"),
    ],
)
def test_a_ray_that_is_missing_or_too_old_is_refused(
    version: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(name: str) -> str:
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, "version", found)
    with pytest.raises(WrongRequest) as refused:
        _ = Ray().workers
    assert said in str(refused.value)


@pytest.mark.parametrize("version", ["2.54.0", "2.60.0", "3.0.0rc1"])
def test_others_are_not(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: version)
    engine._check_version()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--engine", "ray", "--address", "ray://head:10001"], "expected the HOST:PORT"),
        (["--engine", "ray", "--address", "auto"], "expected the HOST:PORT"),
        (["--engine", "ray", "--address", "127.0.0.1:1"], "nobody answers"),
        (["--address", "127.0.0.1:6379"], "expected --engine ray with --address"),
        (["--storage", "objects"], "expected --engine ray with --address or --storage"),
        (["--engine", "ray", "--workers", "0"], "at least one worker"),
    ],
)
def test_wrong_requests_are_refused(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["grid", "ppo", "--env", "CartPole-v1", "--out", str(tmp_path / "g"), *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "g").exists()


@pytest.mark.parametrize(
    ("ending", "speaks"), [("os._exit(1)", True), ("os.kill(os.getpid(), 9)", True), ("pass", False)]
)
def test_a_command_that_is_ended_from_outside_has_last_words(ending: str, speaks: bool) -> None:
    code = f"import os; from relook.experiments.engine import LastWords; words = LastWords(); {ending}; "
    code += "words.are_not_needed()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode != 0) == speaks
    said = "relook: ended from outside, by a signal or because Ray lost the head of the cluster or the node here; "
    said += "what was trained until then is kept, and the same command goes on from there\n"
    assert ended.stderr == (said if speaks else "")


def test_storage_has_three_kinds() -> None:
    with pytest.raises(WrongRequest, match="expected a storage among auto, shared, objects; found cloud"):
        Ray(storage="cloud")


def test_nobody_else_imports_ray() -> None:
    source = Path(engine.__file__).parents[1]
    importing = [
        path for path in source.rglob("*.py") if "import ray" in path.read_text() or "from ray" in path.read_text()
    ]
    assert importing == [Path(engine.__file__)]
