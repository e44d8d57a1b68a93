"""Does every sample of a rollout come once in each epoch, with all that belongs to it?"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from relook.buffers import Minibatch, Rollout
from relook.doctor.examine.inside import plain
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check

CHECK = Check(
    name="minibatches",
    component="sampling",
    asks="An epoch holds each sample of an agent's rollout once, its observation with its own action, log-probability, "
    "value, advantage and target, in an order of its own.",
    causes=(
        "fields are shuffled apart from each other",
        "only a part of each epoch is used",
        "agents or epochs share an order",
    ),
    remedy="Index all fields with one permutation, and use all of it.",
    lesson="Advantages that were shuffled apart from their observations leave every mean and every spread as it was. "
    "Explained variance near 0 is all that a run shows of it.",
)
WHERE = "relook/buffers/rollout.py, Rollout.minibatches"


def attach(patient: Patient) -> None:
    before: dict[int, list[int]] = {}
    done: list[dict[bytes, bytes]] = [{} for _ in patient.agents]
    known = 0

    def evaluate(call: Callable[..., Any], ac: Any, observation: Tensor, action: Tensor) -> Any:
        nonlocal known
        for moment in patient.history[known:]:
            for a, own in enumerate(done):
                for seen, chosen in zip(moment.told.observation[a], moment.action[a], strict=True):
                    own[seen.numpy().tobytes()] = chosen.numpy().tobytes()
        known = len(patient.history)
        for a, own in enumerate(done):
            rows = zip(observation[a], action[a], strict=True)
            pairs = [(own.get(s.numpy().tobytes()), chosen.numpy().tobytes()) for s, chosen in rows]
            torn = sum(was is not None and was != chosen for was, chosen in pairs)
            said = f"expected observations with the actions that they led to; found {torn} of {len(pairs)} torn apart"
            patient.ask(CHECK, not torn, said, f"relook/algorithms/{patient.name}.py")
        return call(ac, observation, action)

    def minibatches(
        call: Callable[..., Iterator[Minibatch]],
        rollout: Rollout,
        agents: Any,
        iteration: int,
        epochs: int,
        size: int,
        *fields: Any,
        renew: Callable[[], tuple[Tensor, Tensor]] | None = None,
    ) -> Iterator[Minibatch]:
        orders: dict[int, list[list[int]]] = {a: [[]] for a in range(len(agents))}
        samples = rollout.reward[0].numel()
        places = [
            {rollout.observation[a].flatten(0, 1)[i].numpy().tobytes(): i for i in range(samples)}
            for a in range(len(agents))
        ]
        flat = [x.flatten(1, 2) for x in (rollout.observation, rollout.action, *fields)]

        def renewed() -> tuple[Tensor, Tensor]:
            assert renew is not None
            given = renew()
            flat[-2:] = (x.flatten(1, 2) for x in given)
            return given

        for batch in call(rollout, agents, iteration, epochs, size, *fields, renew=renewed if renew else None):
            for a in range(len(agents)):
                own = [places[a].get(row.numpy().tobytes()) for row in batch.observation[a]]
                known = [i for i in own if i is not None]
                patient.ask(CHECK, len(known) == len(own), "expected observations of the agent's own rollout", WHERE)
                for name, found, all_of_it in zip(Minibatch._fields, batch, flat, strict=True):
                    if len(known) == len(own):
                        patient.compare(CHECK, name, found[a], all_of_it[a][torch.tensor(known)], WHERE, 0)
                orders[a][-1].extend(known)
                if len(orders[a][-1]) >= samples:
                    orders[a].append([])
            yield batch
        _judge(patient, orders, samples, epochs)
        for a, epochs_of in orders.items():
            fresh = before.get(a) != epochs_of[0]
            said = "expected every iteration in orders of its own; found that of the one before"
            patient.ask(CHECK, fresh, said, f"relook/algorithms/{patient.name}.py", part="randomness")
            before[a] = epochs_of[0]

    def ended(call: Callable[..., Tensor], rollout: Rollout) -> Tensor:
        found = call(rollout)
        expected = plain.of_ended_episodes(rollout.terminated | rollout.truncated, rollout.past)
        said = "expected the steps of episodes that ended in this iteration, each once; found others"
        patient.ask(CHECK, torch.equal(found, expected), said, WHERE)
        return found

    if patient.has("Rollout"):
        patient.around(Rollout, "ended", ended)
        patient.around(Rollout, "minibatches", minibatches)
        for name in ("evaluate", "evaluate_policy"):
            patient.around(patient.known.networks, name, evaluate)


def _judge(patient: Patient, orders: dict[int, list[list[int]]], samples: int, epochs: int) -> None:
    whole = {a: [order for order in own if order] for a, own in orders.items()}
    for own in whole.values():
        patient.ask(
            CHECK,
            len(own) == epochs,
            f"expected {epochs} epochs of {samples} samples; found {sum(map(len, own))} samples",
            WHERE,
        )
        for order in own:
            patient.ask(
                CHECK,
                sorted(order) == list(range(samples)),
                f"expected each of {samples} samples once in an epoch; found {len(set(order))} different ones among "
                f"{len(order)}",
                WHERE,
            )
        patient.ask(
            CHECK, all(x != sorted(x) for x in own), "expected a random order; found that of the rollout", WHERE
        )
        if len(own) > 1:
            patient.ask(CHECK, own[0] != own[1], "expected every epoch in an order of its own; found two alike", WHERE)
    if len(whole) > 1 and whole[0]:
        patient.ask(CHECK, whole[0] != whole[1], "expected every agent to have its own orders; found two alike", WHERE)
