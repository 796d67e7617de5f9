"""Boxes of joint limits: they hold every value that is possible, and as few others as they can."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import CAR, SAR, Channels, Intrinsic, Matern, Sum, TensionSpline
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import JointLimits
from sparsegmrf.models._neighbourhood import Neighbourhood

SHAPE = (6, 7)
WIDE = [(0, 1), (0, 2), (1, 0), (2, 1)]
JOINT = {
    "CAR": (CAR((0.1, 0.1)), 0.7),
    "CAR neumann": (CAR((0.1, 0.1), boundary="neumann"), 0.9),
    "CAR torus": (CAR((0.1, 0.1), boundary="torus"), 0.8),
    "CAR degree, torus": (CAR((0.1, 0.1), form="degree", boundary="torus"), 3.0),
    "CAR horizontal first": (CAR((0.1, 0.1), neighbourhood=[(0, 1), (1, 0)]), 0.7),
    "CAR 8, torus": (CAR((0.1, 0.02, 0.1, 0.05), neighbourhood=8, boundary="torus"), 0.45),
    "CAR wide, torus": (CAR((0.1, -0.2, 0.05, 0.01), neighbourhood=WIDE, boundary="torus"), 0.5),
    "CAR wide": (CAR((0.1, 0.1), neighbourhood=[(0, 1), (0, 2)]), 0.8),
    "SAR": (SAR((0.1, 0.1)), 0.7),
    "SAR rows, torus": (SAR((0.1, 0.1), row_standardized=True, boundary="torus"), 3.0),
}


def every():
    return pytest.mark.parametrize(("model", "size"), list(JOINT.values()), ids=list(JOINT))


def is_in_box(limits, values):
    return all(low < each < high for each, (low, high) in zip(limits.forms @ values, limits.intervals, strict=True))


def is_accepted(model, shape):
    try:
        model.stencil(shape)
    except ArgumentError:
        return False
    return True


@every()
@pytest.mark.parametrize("shape", [SHAPE, (1, 5), (2, 9), (3, 3)])
def test_values_that_a_model_takes_are_in_the_box_and_inside(model, size, shape):
    limits = model.joint_limits(shape)
    rng = np.random.default_rng(0)
    inside = 0
    for values in rng.uniform(-size, size, (30, len(model.rho))):
        moved = model.replace(rho=tuple(values))
        accepted = is_accepted(moved, shape)
        assert moved.is_inside(shape) == accepted
        assert not accepted or limits is None or is_in_box(limits, values)
        inside += accepted
    assert 0 < inside < 30


@every()
def test_box_does_not_depend_on_the_values_and_names_the_interactions(model, size):
    limits = model.joint_limits(SHAPE)
    assert isinstance(limits, JointLimits)
    assert limits.names == tuple(name for name in model.parameters if name != "tau")
    assert abs(np.linalg.det(limits.forms)) > 1e-3
    other = model.replace(rho=tuple(np.full(len(limits.names), 99.0))).joint_limits(SHAPE)
    assert np.array_equal(other.forms, limits.forms)
    assert other.intervals == limits.intervals
    with pytest.raises(ValueError, match="read-only"):
        limits.forms[0, 0] = 1.0


@pytest.mark.parametrize("kind", [CAR, SAR])
@pytest.mark.parametrize("shape", [SHAPE, (2, 9), (20, 25)])
def test_box_of_a_pair_cut_off_at_the_border_is_the_region(kind, shape):
    limits = kind((0.1, 0.1)).joint_limits(shape)
    c = np.cos(np.pi / (np.array(shape) + 1.0))
    assert_allclose(limits.forms, 2.0 * np.array([[c[0], c[1]], [c[0], -c[1]]]), rtol=1e-14)
    assert_allclose(limits.intervals, [(-1.0, 1.0)] * 2, rtol=1e-12)
    rng = np.random.default_rng(0)
    for values in rng.uniform(-0.8, 0.8, (100, 2)):
        assert kind(tuple(values)).is_inside(shape) == is_in_box(limits, values)


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann", "torus"])
@pytest.mark.parametrize("other", [-0.9, -0.5, 0.0, 0.3, 0.9])
def test_upper_side_of_a_pair_is_where_its_sum_runs_to_the_limit(boundary, other):
    limits = CAR((0.1, 0.1), boundary=boundary).joint_limits((20, 25))
    for gap, expected in ((1e-9, True), (-1e-9, False)):
        values = np.linalg.solve(limits.forms, [1.0 - gap, other])
        model = CAR(tuple(values), boundary=boundary)
        assert is_in_box(limits, values) is expected
        assert model.is_inside((20, 25)) is expected
        assert is_accepted(model, (20, 25)) is expected


@pytest.mark.parametrize(
    "name", [name for name, (model, _) in JOINT.items() if len(model.rho) == 2 and "wide" not in name]
)
@pytest.mark.parametrize("shape", [SHAPE, (3, 3), (20, 25)])
def test_region_reaches_every_end_of_the_box(name, shape):
    model = JOINT[name][0]
    limits = model.joint_limits(shape)
    for form, ends in enumerate(limits.intervals):
        for end in ends:
            others = np.linspace(*limits.intervals[1 - form], 401)
            points = np.stack(
                [np.full(401, end * (1.0 - 0.005)), others] if form == 0 else [others, np.full(401, end * 0.995)]
            )
            values = np.linalg.solve(limits.forms, points).T
            assert any(model.replace(rho=tuple(each)).is_inside(shape) for each in values)


def test_box_of_one_row_of_neighbours_has_the_bounds_of_fejer():
    # |c_k| <= c_0 cos(pi / (floor(n / k) + 2)) for a trigonometric polynomial of degree n that is not negative.
    limits = CAR((0.1, 0.1), neighbourhood=[(0, 1), (0, 2)]).joint_limits((64, 64))
    # The first form is the side at the lowest frequency, ``2 (rho_0 + rho_1)``.
    assert_allclose(limits.forms, [[2.0, 2.0], [0.0, 1.0]], rtol=0.005)
    assert limits.intervals[0][1] == 1.0
    assert_allclose(limits.intervals[1], (-0.5, 0.5), rtol=0.005)


@pytest.mark.parametrize("boundary", ["dirichlet", "torus"])
def test_box_of_many_interactions_is_not_wider_than_half_of_a_positive_cosine(boundary):
    # |rho_k| <= 1/2 for each of the eight neighbours: the mean of (1 -+ cos) times a symbol that is positive.
    limits = CAR((0.1, 0.1, 0.1, 0.1), neighbourhood=8, boundary=boundary).joint_limits((64, 64))
    assert_allclose(limits.intervals[1:], [(-0.5, 0.5)] * 3, rtol=0.01)
    assert np.array_equal(limits.forms[1:], np.eye(4)[1:])
    # The other side is where smooth images lie: all neighbours together.
    assert_allclose(limits.forms[0], [2.0] * 4, rtol=0.005)
    assert limits.intervals[0][1] == 1.0


@pytest.mark.parametrize(
    "model",
    [
        CAR(0.2),
        CAR(neighbourhood=8),
        CAR((0.5, 0.2), form="degree"),
        CAR((0.5, 0.2), form="degree", boundary="neumann"),
        SAR(0.2),
        SAR((0.5, 0.2), row_standardized=True),
        Matern(anisotropy=(2.0, 0.3)),
        TensionSpline(),
        Intrinsic(),
        Sum([CAR(0.2), Matern()]),
        Channels(CAR(0.2), np.eye(2)),
    ],
)
def test_models_whose_intervals_do_not_depend_on_each_other_have_no_box(model):
    assert model.joint_limits(SHAPE) is None
    assert model.is_inside(SHAPE)
    for each in (model.joint_limits, model.is_inside):
        with pytest.raises(ArgumentError, match=r"^shape must be"):
            each((0, 3))


def test_on_one_row_cut_off_a_pair_has_intervals_of_its_own():
    model = CAR((9.0, 0.1))
    assert model.joint_limits((1, 9)) is None
    assert model.is_inside((1, 9))


def test_sum_and_channels_hand_on_the_boxes_of_their_models():
    pair = CAR((0.1, 0.2))
    own = pair.joint_limits(SHAPE)
    model = Sum([Matern(), pair, SAR((0.1, 0.1))], labels=["a", "b", "c"])
    limits = model.joint_limits(SHAPE)
    assert limits.names == ("rho_vertical_b", "rho_horizontal_b", "rho_vertical_c", "rho_horizontal_c")
    assert np.array_equal(limits.forms[:2, :2], own.forms)
    assert not limits.forms[:2, 2:].any()
    assert limits.intervals == own.intervals * 2
    assert not model.replace(rho_vertical_b=0.5).is_inside(SHAPE)
    channels = Channels(pair, np.eye(2)).joint_limits(SHAPE)
    assert channels.names == own.names
    assert channels.intervals == own.intervals


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann", "torus"])
@pytest.mark.parametrize("kind", [CAR, SAR])
@pytest.mark.parametrize(
    ("neighbourhood", "rho"),
    [
        (8, (0.05, 0.1, 0.12, -0.02)),
        (((0, 1), (1, 0), (0, 2), (2, 0)), (0.1, 0.2, 0.05, -0.1)),
        (4, (0.1, 0.3)),
        (8, 0.1),
    ],
)
def test_point_is_tried_itself_and_is_inside_where_the_intervals_say_so(
    kind, neighbourhood, rho, boundary, monkeypatch
):
    model = kind(rho, neighbourhood=neighbourhood, boundary=boundary)
    ends = model.limits((9, 11))
    monkeypatch.setattr(Neighbourhood, "unit_limits", lambda *_: pytest.fail("an interval is found to try a point"))
    for name, (low, high) in ends.items():
        if name != "tau":
            for end, inwards in ((low, 1e-6), (high, -1e-6)):
                if np.isfinite(end):
                    assert model.replace(**{name: end + inwards}).is_inside((9, 11))
                    assert not model.replace(**{name: end - inwards}).is_inside((9, 11))
