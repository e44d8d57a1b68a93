"""What a search may choose from, as it is said and as it is refused."""

import re
from typing import Any

import numpy as np
import pytest

from relook.errors import WrongRequest
from relook.experiments.spaces import Choice, Range, beyond, parsed, settings, space_of


def test_a_space_is_read_in_the_types_of_the_hyperparameters() -> None:
    given = {
        "learning_rate": "1e-5:1e-2:log",
        "gae_lambda": "0.8:1",
        "epochs": "3:10",
        "clip": "0.1,0.2",
        "hidden": "64x64,256",
        "normalise_observations": "true,False",
        "activation": "tanh,relu",
        "target_kl": [0.01, "inf"],
        "discount": {"low": 0.9, "high": 1},
        "horizon": {"choices": [16, 32]},
        "entropy_coefficient": Range(0, 1),
    }
    found = space_of("ppo", given)
    assert found == {
        "learning_rate": Range(1e-5, 1e-2, log=True),
        "gae_lambda": Range(0.8, 1.0),
        "epochs": Range(3, 10),
        "clip": Choice((0.1, 0.2)),
        "hidden": Choice(((64, 64), (256,))),
        "normalise_observations": Choice((True, False)),
        "activation": Choice(("tanh", "relu")),
        "target_kl": Choice((0.01, float("inf"))),
        "discount": Range(0.9, 1.0),
        "horizon": Choice((16, 32)),
        "entropy_coefficient": Range(0.0, 1.0),
    }
    assert isinstance(found["epochs"], Range)
    assert isinstance(found["epochs"].low, int)
    assert isinstance(found["entropy_coefficient"], Range)
    assert isinstance(found["entropy_coefficient"].low, float), "whole ends of a range of real numbers"
    assert space_of("ppo", {name: dimension.record() for name, dimension in found.items()}) == found
    assert parsed(("gae-lambda=0.8:1", "clip=0.1,0.2")) == {"gae_lambda": "0.8:1", "clip": "0.1,0.2"}
    assert settings({name: found[name] for name in ("epochs", "hidden")}) == 16
    assert settings(found) == np.inf


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "at least one hyper-parameter to search over"),
        ({"speed": "1:2"}, "there is no hyper-parameter 'speed'"),
        ({"learning_rate": "0:1"}, "expected learning_rate above 0; found 0"),
        ({"learning_rate": "1e-2:1e-5"}, "from a smaller to a larger number"),
        ({"learning_rate": "1e-5:inf"}, "from a smaller to a larger number"),
        ({"learning_rate": "1e-5:1e-2:linear"}, "LOW:HIGH:log"),
        ({"learning_rate": "a:b"}, "a number as a value of learning_rate; found 'a'"),
        ({"entropy_coefficient": "0:1:log"}, "logarithmic range of entropy_coefficient to begin above 0"),
        ({"gae_lambda": "0.5:2"}, "gae_lambda at least 0 and at most 1; found 2"),
        ({"epochs": "1:2.5"}, "a whole number as a value of epochs"),
        ({"activation": "1:2"}, "a list of values for activation, which is not a number"),
        ({"activation": "tanh,sine"}, "'tanh' or 'relu'; found 'sine'"),
        ({"hidden": "64,64"}, "at least two values of hidden that differ"),
        ({"hidden": "64xa,64"}, "sizes such as 64x64 as a value of hidden"),
        ({"normalise_observations": "yes,no"}, "True or False as a value of normalise_observations"),
        ({"clip": [0.1]}, "at least two values of clip"),
        ({"clip": 0.1}, "a range or a list of values for clip"),
        ({"clip": ["a", "b"]}, "expected values of clip"),
    ],
)
def test_what_is_no_space_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongRequest, match=re.escape(said)):
        space_of("ppo", given)


@pytest.mark.parametrize("pairs", [["clip"], ["clip="], ["=1:2"], ["clip=0.1,0.2", "clip=1:2"]])
def test_words_that_are_no_space_are_refused(pairs: list[str]) -> None:
    with pytest.raises(WrongRequest, match=r"expected --space NAME=LOW:HIGH|once in the space"):
        parsed(pairs)


def test_what_lies_beyond_a_range() -> None:
    assert beyond("ppo", "gae_lambda", Range(0.8, 1.0)) == [True, False]
    assert beyond("ppo", "learning_rate", Range(1e-5, 1e-2)) == [True, True]
    assert beyond("ppo", "epochs", Range(1, 10)) == [False, True]
    assert beyond("ppo", "activation", Choice(("tanh", "relu"))) == [False, False]
