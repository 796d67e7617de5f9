"""The stability test against exact conditions and against impulse responses."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sparsegmrf.autoregression import CausalAR
from tests.autoregression.explicit import HALF_PLANE, QUARTER_PLANE, impulse_response_norms

FAMILIES = [
    QUARTER_PLANE,
    HALF_PLANE[1],
    HALF_PLANE[2],
    [(-a, -b) for a in range(3) for b in range(3) if a or b],
    [(-1, 1), (0, -1)],
    [(-2, 0), (-1, 2)],
    [(0, -2), (0, -1), (-1, 0)],
]


def drawn_weights(offsets, seed):
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal(len(offsets))
    return weights * rng.uniform(0.5, 2.0) / np.abs(weights).sum()


@given(corner=st.tuples(*[st.floats(-1.5, 1.5)] * 3))
@settings(max_examples=200)
def test_quarter_plane_verdict_and_numerical_margin_agree_with_the_exact_inequalities(corner):
    c, a, b = corner
    verdict = CausalAR([c, a, b]).stability()
    exact = min(1 - a - b - c, 1 - a + b + c, 1 + a - b + c, 1 + a + b - c)
    assert verdict.quarter_plane_margin == pytest.approx(exact, abs=1e-14)
    assert verdict.stable == (exact > 0)
    assert verdict.decided_by == "quarter plane"
    if abs(exact) > 1e-6:
        assert (verdict.margin > 0) == (exact > 0)


@given(offsets=st.sampled_from(FAMILIES), seed=st.integers(0, 2**20))
@settings(max_examples=60)
def test_verdict_is_that_of_the_impulse_response(offsets, seed):
    weights = drawn_weights(offsets, seed)
    verdict = CausalAR(weights, support=offsets).stability()
    assume(abs(verdict.margin) > 0.1)
    norms = impulse_response_norms(offsets, weights)
    # 0.9^200 = 7e-10 and 1.1^200 = 2e8, up to the powers of the lag that multiple roots bring
    if verdict.stable:
        assert norms[-1] < 1e-4
        assert norms.max() < 1e3
    else:
        assert norms.max() > 1e4


@given(seed=st.integers(0, 2**20))
def test_margin_is_the_decay_rate_of_the_impulse_response(seed):
    rng = np.random.default_rng(seed)
    weights = rng.choice([-1.0, 1.0], 4) * rng.dirichlet(np.ones(4)) * rng.uniform(0.85, 1.1)
    verdict = CausalAR(weights, support="nshp").stability()
    # A weight b to the left carries the response b / (1 - b) columns per row, which must not leave the image.
    assume(0.02 < verdict.margin < 0.3 and abs(weights[-1]) < 0.8)
    norms = impulse_response_norms(HALF_PLANE[1], weights, rows=160)
    # The maximum over the frequency brings a factor lag^(-1/4) or so to the norm of a row.
    assume(np.isfinite(verdict.frequency))
    rate = (norms[159] / norms[79]) ** (1 / 80)
    assert rate == pytest.approx(1.0 - verdict.margin, abs=0.01)


@given(offsets=st.sampled_from(FAMILIES), seed=st.integers(0, 2**20))
def test_margin_is_the_largest_root_on_a_fine_grid(offsets, seed):
    weights = drawn_weights(offsets, seed)
    verdict = CausalAR(weights, support=offsets).stability()
    table = dict(zip(offsets, weights, strict=True))
    in_row = [-table.get((0, -b), 0.0) for b in range(1, 4)]
    moduli = [np.abs(np.roots([1.0, *in_row])).max(initial=0.0)]
    assume(moduli[0] < 0.99)
    for frequency in np.linspace(0.0, np.pi, 2001):
        B = np.zeros(3, dtype=complex)
        for (di, dj), weight in table.items():
            B[-di] += weight * np.exp(1j * dj * frequency)
        moduli.append(np.abs(np.roots([1.0 - B[0], -B[1], -B[2]])).max(initial=0.0))
    assert 1.0 - verdict.margin >= max(moduli) - 1e-9
    assert 1.0 - verdict.margin == pytest.approx(max(moduli), abs=1e-3)


@given(offsets=st.sampled_from(FAMILIES), seed=st.integers(0, 2**20))
def test_weights_that_sum_to_less_than_one_in_absolute_value_are_stable(offsets, seed):
    weights = drawn_weights(offsets, seed)
    weights *= 0.999 / np.abs(weights).sum()
    verdict = CausalAR(weights, support=offsets).stability()
    assert verdict.stable
    assert verdict.sum_rule_margin == pytest.approx(0.001)
    assert verdict.margin > 0


@pytest.mark.parametrize("distance", [1e-2, 1e-5, 1e-8])
@pytest.mark.parametrize(
    ("offsets", "weights"),
    [
        # 1 = sum w exp(i o.u) has its first root at the frequencies (0, 0), (pi, 0) and (0, pi)
        (HALF_PLANE[1], [0.1, 0.2, 0.3, 0.4]),
        (HALF_PLANE[1], [-0.1, -0.2, -0.3, 0.4]),
        (HALF_PLANE[1], [-0.1, 0.2, -0.3, -0.4]),
    ],
)
def test_limit_of_the_half_plane_is_found_from_both_sides(offsets, weights, distance):
    inside = CausalAR(np.multiply(weights, 1 - distance), support=offsets).stability()
    outside = CausalAR(np.multiply(weights, 1 + distance), support=offsets).stability()
    assert inside.stable
    assert inside.margin > 0
    assert not outside.stable
    assert outside.margin < 0


def test_limit_beyond_the_sum_rule_is_certified_close_to_the_edge():
    # (-0.1, 0.2, 0.3, 0.4) t: the sum rule gives t < 1, the recursion is stable up to sum = 1 at t = 1.25
    for distance in (1e-3, 1e-6):
        weights = np.array([-0.1, 0.2, 0.3, 0.4]) * 1.25
        verdict = CausalAR(weights * (1 - distance), support="nshp").stability()
        assert verdict.sum_rule_margin < 0
        assert (verdict.stable, verdict.decided_by) == (True, "all frequencies")
        assert not CausalAR(weights * (1 + distance), support="nshp").is_stable()


def test_row_recursion_alone_can_fail():
    verdict = CausalAR([0.5, 0.6, 0.01], support=[(0, -1), (0, -2), (-1, 1)]).stability()
    assert (verdict.stable, verdict.decided_by) == (False, "row recursion")
    assert verdict.margin == pytest.approx(1 - (0.5 + np.sqrt(0.25 + 2.4)) / 2)
    assert np.isnan(verdict.frequency)


def test_limit_on_equal_right_and_lower_weights_is_one_half():
    assert CausalAR([0.0, 0.4999999, 0.4999999]).is_stable()
    assert not CausalAR([0.0, 0.5, 0.5]).is_stable()
    assert not CausalAR([0.0, -0.5, -0.5]).is_stable()


def test_white_field_is_stable_with_margin_one():
    verdict = CausalAR([], support=[]).stability()
    assert (verdict.stable, verdict.margin, verdict.sum_rule_margin) == (True, 1.0, 1.0)


@given(seed=st.integers(0, 2**20))
def test_transposed_quarter_plane_has_the_same_verdict(seed):
    weights = drawn_weights(FAMILIES[3], seed)
    one = CausalAR(weights, support=FAMILIES[3]).stability()
    other = CausalAR(weights, support=[(dj, di) for di, dj in FAMILIES[3]]).stability()
    assume(abs(one.margin) > 1e-6)
    assert one.stable == other.stable
