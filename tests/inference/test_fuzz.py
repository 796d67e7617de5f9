"""Drawn fits end with a maximum or with a reason that is true, and with no exception but about their own images.

``SPARSEGMRF_FUZZ=2000`` in the environment tries so many fits instead; ``pytest -s`` prints the counts by outcome.
"""

import collections
import os
import re

import pytest

from tests.inference.fuzz import Drawn

COUNT = int(os.environ.get("SPARSEGMRF_FUZZ", "12"))
BATCHES = 6


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(BATCHES))
def test_drawn_fits_end_with_what_is_true(batch, capsys):
    wrong, outcomes = [], collections.Counter()
    for seed in range(batch, COUNT, BATCHES):
        try:
            outcomes[Drawn(seed).outcome()] += 1
        except AssertionError as error:
            outcomes["wrong"] += 1
            wrong.append(str(error))
    with capsys.disabled():
        print(dict(outcomes))
    assert not wrong, "\n".join(wrong)
    assert outcomes["not at a maximum"] + outcomes["ran away"] <= 0.1 * outcomes.total()


@pytest.mark.parametrize(
    ("seed", "told"),
    [
        (317, r"range ran to infinity: .*, as far as rounding lets it be seen"),
        (797, r"rho ran to the end 1 of its interval: .*, as far as rounding lets it be seen"),
        (124, r"^rho ran to the end 1 of its interval: neighbours are tied"),
        (1764, r"sigma_1 is not determined by the image; sigma_0 goes with it"),
    ],
)
def test_ends_that_rounding_hides_or_that_are_shared_are_named(seed, told):
    drawn = Drawn(seed)
    assert re.search(told, drawn.found.reason), drawn.found.reason
    assert drawn.outcome() == "ran to an end"
