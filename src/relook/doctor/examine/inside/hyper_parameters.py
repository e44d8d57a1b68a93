"""Does each agent have the numbers that it was given?"""

from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check
from relook.population import Agent, Agents
from relook.population.hyperparameters import Hyperparameters

CHECK = Check(
    name="hyper-parameters",
    component="hyper-parameters",
    asks="Each agent of a population has its own value of each numeric hyper-parameter, and those that fall to 0 have "
    "fallen by the share of training that is done, while the others stay.",
    causes=(
        "all agents get the first one's values",
        "the share is that of another moment",
        "all of them fall, or none",
    ),
    remedy="Print a hyper-parameter of two agents at the start, in the middle and at the end.",
    lesson="A sweep in which all agents train with one value shows a flat line, and is read as insensitivity.",
)
WHERE = "relook/population/agents.py and hyperparameters.py"


def attach(patient: Patient) -> None:
    patient.afterwards(lambda: _look(patient))


def _look(patient: Patient) -> None:
    given = {name: [float(agent.hyperparameters[name]) for agent in patient.agents] for name in _names(patient)}
    values = Hyperparameters(patient.agents)
    for name, own in given.items():
        patient.compare(CHECK, name, patient.agents.hyperparameter(name), own, WHERE, 1e-6)
        patient.ask(CHECK, values.any(name) == any(own), f"expected {name} to matter unless it is 0", WHERE)
        for progress in (0.0, 0.25, 0.75):
            left = 1 - progress
            for falling in ((), (name,)):
                found = getattr(values.annealed(falling, progress), name)
                expected = [x * left if falling else x for x in own]
                said = f"{name} after {progress:.0%} of training"
                patient.compare(CHECK, said, found, expected, WHERE, 1e-6, part="schedule" if falling else "")
    _limits(patient)


def _limits(patient: Patient) -> None:
    """What is infinite, or 0, for one agent alone still matters for the other."""
    name = next(iter(_names(patient)))
    for value, other in ((float("inf"), 1.0), (1.0, float("inf"))):
        both = Hyperparameters(Agents([Agent(a, a, {name: x}) for a, x in enumerate((value, other))]))
        said = "expected a limit that one of two agents has to be kept; found it lifted for both"
        patient.ask(CHECK, both.finite(name) is not None, said, WHERE)
    for value, other in ((0.0, 1.0), (1.0, 0.0)):
        both = Hyperparameters(Agents([Agent(a, a, {name: x}) for a, x in enumerate((value, other))]))
        said = "expected a weight that is 0 for one of two agents to count for the other; found it to count for none"
        patient.ask(CHECK, both.any(name), said, WHERE)


def _names(patient: Patient) -> list[str]:
    """Those that are finite: of an infinite one there is nothing to compare."""
    return [name for name, x in patient.agents[0].hyperparameters.items() if abs(float(x)) != float("inf")]
