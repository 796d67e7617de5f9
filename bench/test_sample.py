"""A draw against drawing its standard normals alone: by our blocks in threads, and by NumPy's generator in one."""

import numpy as np
import pytest

from sparsegmrf import GMRF, TriangularStencil
from sparsegmrf.factors.normals import fill_standard_normal

HALF_PLANE = [(-1, -1), (-1, 0), (-1, 1), (0, -1)]


def field(side, kind):
    """A causal field of four neighbours."""
    if kind == "homogeneous":
        return GMRF.from_whitening(TriangularStencil(HALF_PLANE, 1.3, [-0.2] * 4, (side, side)))
    diagonal, *weights = np.random.default_rng(0).uniform(0.1, 0.3, (5, side, side))
    return GMRF.from_whitening(TriangularStencil(HALF_PLANE, diagonal + 1.0, weights, (side, side)))


@pytest.mark.parametrize("side", [1024, 4096])
@pytest.mark.parametrize("kind", ["homogeneous", "per_pixel"])
@pytest.mark.parametrize("member", ["sparsegmrf", "its normals alone", "numpy normals"])
def test_sample(timed, side, kind, member):
    gmrf = field(side, kind)

    def normals():
        out = np.empty((side, side))
        fill_standard_normal(np.random.default_rng(0), out)
        return out

    def check(draw):
        white = gmrf.whiten(draw) if member == "sparsegmrf" else draw
        assert abs(white.std() - 1.0) < 6.0 / side
        if member == "sparsegmrf":
            np.testing.assert_allclose(white, normals(), rtol=1e-9, atol=1e-9)

    call = {
        "sparsegmrf": lambda: gmrf.sample(rng=0),
        "its normals alone": normals,
        "numpy normals": lambda: np.random.default_rng(0).standard_normal((side, side)),
    }[member]
    timed(f"a draw, {kind}, 4 neighbours, {side}", member, call, check=check, rounds=7)
