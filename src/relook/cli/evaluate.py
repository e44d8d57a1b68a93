"""`relook evaluate RUN`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from relook.cli.options import environment_arguments, parse
from relook.errors import WrongRequest


@dataclass
class Form:
    """Play fresh episodes with a run's agents. With another environment or arguments: do they generalise?"""

    run: tyro.conf.Positional[Path]
    """The run's directory."""
    episodes: Annotated[int, tyro.conf.arg(metavar="N")] = 100
    """Episodes per agent."""
    stochastic: bool = False
    """Draw actions from the policy instead of taking the most probable ones."""
    env: Annotated[str | None, tyro.conf.arg(metavar="ID")] = None
    """Another environment with the same spaces; or repeats the run's, if its name imports code."""
    env_arg: Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE …")] = ()
    """Keyword arguments of the environment that differ from the run's."""
    max_episode_steps: Annotated[int | None, tyro.conf.arg(metavar="L")] = None
    """Another limit on the length of an episode."""
    actor_critic: Annotated[str | None, tyro.conf.arg(metavar="MODULE:FUNCTION")] = None
    """Repeats the function that made the run's networks, if it is not ours."""
    json: bool = False
    """Print JSON for programs: every return of every agent."""


def run(arguments: Sequence[str]) -> None:
    form = parse(Form, "evaluate", arguments)
    if form.episodes < 1:
        raise WrongRequest(f"expected at least one episode; found --episodes {form.episodes}")

    from rich.console import Console

    from relook.cli.tables import scores_table
    from relook.envs import EnvironmentSpec
    from relook.runs.acting import evaluate
    from relook.runs.files import plain
    from relook.runs.reading import Run
    from relook.runs.tidy import setting_name

    evaluated = Run(form.run)
    changed = form.env is not None and form.env != evaluated.environment_name
    if changed:
        rescale = bool(evaluated.record["environment"]["rescale_actions"])
        trained_in = EnvironmentSpec(str(form.env), rescale_actions=rescale)
    else:
        trained_in = evaluated.environment(form.env)
    spec = replace(
        trained_in,
        arguments={**trained_in.arguments, **environment_arguments(form.env_arg)},
        max_episode_steps=trained_in.max_episode_steps if form.max_episode_steps is None else form.max_episode_steps,
    )
    make = evaluated.actor_critic(form.actor_critic)
    returns = dict(evaluate(evaluated, spec, form.episodes, deterministic=not form.stochastic, make=make))
    if form.json:
        agents = [
            {"agent": agent.agent, "seed": agent.seed, "returns": returns[agent.agent]}
            for agent in evaluated.agents
            if agent.agent in returns
        ]
        asked = {"environment": spec.name, "arguments": dict(spec.arguments), "stochastic": form.stochastic}
        print(json.dumps(plain({**asked, "agents": agents}), indent=1, allow_nan=False))
        return
    scores: dict[str, list[tuple[int, float]]] = {}
    for agent in evaluated.agents:
        if own := returns.get(agent.agent):
            scores.setdefault(setting_name(evaluated, agent), []).append((agent.seed, sum(own) / len(own)))
    mode = "stochastic" if form.stochastic else "deterministic"
    given = " ".join(f"{key}={value}" for key, value in spec.arguments.items())
    title = (
        f"{evaluated.algorithm} in {spec.name} {given}".rstrip() + f": mean return of {form.episodes} {mode} episodes"
    )
    Console().print(scores_table(scores, title))
