"""Are the samples of a replay transitions that happened, all equally likely, and none else?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from relook.buffers import Batch, Replay
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check

CHECK = Check(
    name="replay-samples",
    component="sampling",
    asks="A batch holds transitions of the agent's own past, all that are there equally likely; over n steps it adds "
    "up discounted rewards to the end of the episode at most, and says where they led and whether that terminated.",
    causes=(
        "rows that are not filled yet are sampled",
        "the newest or the oldest rows are left out, or agents share their samples",
        "an n-step return runs on beyond the end of its episode, or stops at its truncation as if it had terminated",
        "the next observation is the row that follows, which may be another episode's",
    ),
    remedy="Draw among the rows that are filled and followed by enough others; stop adding up at either flag.",
    lesson="Rows of zeros pull Q towards 0 early and are diluted later; a wrong n-step return at ends is a bias in a "
    "few per cent of the samples. Neither shows in a curve, so the batch is computed once more from what happened.",
)
WHERE = "relook/buffers/replay.py, Replay.sample"


def attach(patient: Patient) -> None:
    drawn: list[Tensor] = []
    numbers: set[bytes] = set()

    def places(call: Callable[..., Tensor], replay: Replay, chance: Tensor) -> Tensor:
        found = call(replay, chance)
        rows = {row.numpy().tobytes() for row in chance}
        fresh = len(rows) == len(chance) and not rows & numbers
        said = "expected random numbers of its own for each agent and update; found some a second time"
        patient.ask(CHECK, fresh, said, f"relook/algorithms/{patient.name}.py", part="randomness")
        numbers.update(rows)
        if len(drawn) < 4:
            _even(patient, call, replay)
        if drawn and drawn[-1].shape == found.shape:
            patient.ask(CHECK, not torch.equal(drawn[-1], found), "expected samples of its own in each update", WHERE)
        if len(patient.agents) > 1:
            patient.ask(CHECK, not torch.equal(found[0], found[1]), "expected samples of its own for each agent", WHERE)
        drawn.append(found.clone())
        return found

    def sample(call: Callable[..., Batch], replay: Replay, places: Tensor, discount: Tensor) -> Batch:
        found = call(replay, places, discount)
        for a in range(len(patient.agents)):
            _compare(patient, a, [int(p) for p in places[a]], found)
        return found

    if patient.has("replay_for"):
        patient.around(Replay, "places", places)
        patient.around(Replay, "sample", sample)


def _even(patient: Patient, call: Callable[..., Tensor], replay: Replay) -> None:
    """Numbers spread evenly over [0, 1) must meet every usable transition as often as every other."""
    count, n = len(patient.history), patient.config.envs
    first, last = max(0, count - replay.length) * n, (count - patient.config.n_step + 1) * n
    usable = last - first
    chance = ((torch.arange(3 * usable, dtype=torch.float64) + 0.5) / (3 * usable)).repeat(len(patient.agents), 1)
    for own in call(replay, chance):
        expected = torch.arange(first, last).repeat_interleave(3)
        evenly = torch.equal(own.sort().values, expected)
        patient.ask(
            CHECK,
            evenly,
            f"expected each of the transitions {first} … {last - 1} equally often; found {int(own.min())} … "
            f"{int(own.max())}, {len(own.unique())} different ones of {usable}",
            WHERE,
        )


def _compare(patient: Patient, a: int, places: list[int], batch: Batch) -> None:
    config, gamma = patient.config, patient.hyperparameter(a, "discount")
    rows: dict[str, list[Any]] = {name: [] for name in Batch._fields}
    for place in places:
        step, n = divmod(place, config.envs)
        if not 0 <= step < len(patient.history):
            patient.report(CHECK, f"expected a transition that happened; found number {place}", WHERE)
            return
        first = patient.history[step]
        reward, discount, last = 0.0, 1.0, first
        for ahead in range(config.n_step):
            if step + ahead >= len(patient.history):
                break
            last = patient.history[step + ahead]
            reward += discount * float(last.told.reward[a, n])
            discount *= gamma
            if last.told.terminated[a, n] or last.told.truncated[a, n]:
                break
        rows["observation"].append(first.told.observation[a, n])
        rows["action"].append(first.action[a, n])
        rows["reward"].append(torch.tensor(reward))
        rows["next_observation"].append(last.told.next_observation[a, n])
        rows["terminated"].append(last.told.terminated[a, n])
        rows["discount"].append(torch.tensor(discount))
    for name, expected in rows.items():
        patient.compare(CHECK, f"{name} of a sample", getattr(batch, name)[a], torch.stack(expected), WHERE, 1e-5)
