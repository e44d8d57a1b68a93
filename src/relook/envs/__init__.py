"""Environments: making, stepping and resetting them, and probes whose answers are known."""

from relook.envs.make import EnvironmentSpec, time_limit
from relook.envs.probes import register_probes
from relook.envs.replayability import EpisodeDigest, Moment, play_again, replays_exactly
from relook.envs.spaces import ActionSpace, Choices, Continuous, ObservationSpace, check_bounded
from relook.envs.vector import Environments, Episode, Spaces, Transition

register_probes()

__all__ = [
    "ActionSpace",
    "Choices",
    "Continuous",
    "EnvironmentSpec",
    "Environments",
    "Episode",
    "EpisodeDigest",
    "Moment",
    "ObservationSpace",
    "Spaces",
    "Transition",
    "check_bounded",
    "play_again",
    "replays_exactly",
    "time_limit",
]
