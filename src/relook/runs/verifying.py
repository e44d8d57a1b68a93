"""Is a run what it says? Its recorded episodes are played again, and its parameters' digests computed anew."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from relook.envs import EnvironmentSpec, EpisodeDigest, ObservationSpace, play_again
from relook.envs.make import bare
from relook.runs.files import number
from relook.runs.reading import Run, parameters_sha256


@dataclass(frozen=True)
class Verdict:
    """What was looked at, and the first thing that differs; None if nothing does."""

    episodes: int
    agents: int
    differs: str | None


def verify(run: Run, spec: EnvironmentSpec, kinds: tuple[str, ...] = ("evaluation",)) -> Verdict:
    """Play the recorded episodes of these kinds again, and compare digests; stop at the first difference."""
    agents = 0
    for unit in run.units:
        if not {"finished", "interrupted"} & set(run.unit_events(unit)):
            continue
        parameters, recorded = run.parameters(unit), run.recorded_digests(unit)
        for position, agent in enumerate(run.members(unit)):
            found = parameters_sha256(parameters, position)
            if found != recorded.get(str(agent.agent)):
                return Verdict(0, agents, f"the parameters of agent {agent.agent} have the digest {found} now")
            agents += 1
    played = 0
    for row, difference in _differences(run, spec, kinds):
        played += 1
        if difference is not None:
            where = f"agent {row['agent']}, {row['kind']} episode {row['episode']} of environment {row['environment']}"
            return Verdict(played, agents, f"{where} (reset seed {row['reset_seed']}): {difference}")
    return Verdict(played, agents, None)


def _differences(
    run: Run, spec: EnvironmentSpec, kinds: tuple[str, ...]
) -> Iterator[tuple[Mapping[str, Any], str | None]]:
    env, limit = bare(spec.make())
    try:
        for row in run.recorded_episodes():
            if row["kind"] in kinds and row["ending"] in ("terminated", "truncated", "cut"):
                yield row, _difference(run, env, limit, row)
    finally:
        env.close()


def difference(run: Run, spec: EnvironmentSpec, row: Mapping[str, Any]) -> str | None:
    """How a recorded episode comes out otherwise when it is played again; None if it does not."""
    env, limit = bare(spec.make())
    try:
        return _difference(run, env, limit, row)
    finally:
        env.close()


def _difference(run: Run, env: Any, limit: float, row: Mapping[str, Any]) -> str | None:
    if row["reset_seed"] is None:
        return "it began without a seed, and cannot be played again"
    actions, space = run.recorded_actions(row), ObservationSpace(env.observation_space)
    try:
        first, *moments = play_again(env, space, row["reset_seed"], actions)
    except Exception as error:
        return f"its environment raised {type(error).__name__}: {error}"
    if min(limit, len(moments)) < row["length"]:
        return f"it ends at step {min(limit, len(moments)):.0f} now, and ended at step {row['length']}"
    digest = EpisodeDigest(first.observation)
    for moment in moments:
        digest.take(moment.observation, [moment.reward])
    last = moments[-1] if moments else first
    ending = "terminated" if last.terminated else "truncated" if last.truncated or len(moments) >= limit else "cut"
    if ending != row["ending"]:
        return f"at step {len(moments)} it is {ending} now, and was {row['ending']}"
    if digest.so_far(ending).hex() != row["digest"]:
        now, then = sum(digest.rewards), number(row["return"])
        what = f"a return of {now!r} now, {then!r} then" if now != then else "other observations or rewards"
        return f"somewhere in its {row['length']} steps: {what}"
    return None
