"""One of each kind of model, and what it claims to be, written out densely."""

import numpy as np

from sparsegmrf.models import BYM, CAR, SAR, AR1xAR1, Channels, Independent, Intrinsic, Matern, Sum, TensionSpline
from tests import reference

SHAPE = (6, 7)
_RNG = np.random.default_rng(0)
BARRIER = np.zeros(SHAPE, dtype=bool)
BARRIER[2, :5] = BARRIER[4, 3] = True
PARTS = np.zeros(SHAPE, dtype=bool)
PARTS[2] = PARTS[4, 0] = PARTS[5, 1] = True
"""Leaves two parts and the single pixel (5, 0)."""
CORNER = np.zeros(SHAPE, dtype=bool)
CORNER[:2, 5:] = CORNER[5, 0] = True
RANGE = _RNG.uniform(3.0, 6.0, SHAPE)
SIGMA = _RNG.uniform(1.0, 2.0, SHAPE)
RATIO = _RNG.uniform(0.5, 4.0, SHAPE)
ANGLE = _RNG.uniform(0.0, 3.0, SHAPE)
WIDTHS = np.linspace(0.4, 2.5, SHAPE[0])
SIZES = (_RNG.uniform(0.5, 2.0, SHAPE), WIDTHS)
WIDE = [(0, 1), (0, 2), (1, 0), (2, 1)]

PROPER = {
    "CAR": CAR(0.24),
    "CAR pair": CAR((0.3, 0.1), tau=2.0),
    "CAR pair, neumann": CAR((0.3, 0.1), boundary="neumann"),
    "CAR torus": CAR(0.24, boundary="torus"),
    "CAR 8": CAR(neighbourhood=8),
    "CAR 8, four numbers": CAR((0.1, 0.02, 0.1, 0.05), neighbourhood=8),
    "CAR 8, neumann": CAR(neighbourhood=8, boundary="neumann"),
    "CAR 8, torus": CAR((0.1, 0.02, 0.1, 0.05), neighbourhood=8, boundary="torus"),
    "CAR wide": CAR(neighbourhood=WIDE),
    "CAR wide, torus": CAR((0.1, -0.2, 0.05, 0.01), neighbourhood=WIDE, boundary="torus"),
    "CAR degree": CAR(form="degree"),
    "CAR degree, pair": CAR((0.9, -0.5), tau=3.0, form="degree"),
    "CAR degree 8": CAR(-1.2, neighbourhood=8, form="degree"),
    "CAR degree, torus": CAR(0.9, form="degree", boundary="torus"),
    "CAR degree wide": CAR(0.6, neighbourhood=WIDE, form="degree"),
    "CAR 8, cylinder": CAR(neighbourhood=8, boundary=("dirichlet", "torus")),
    "CAR degree, cylinder": CAR(0.9, form="degree", boundary=("torus", "neumann")),
    "SAR": SAR(0.24),
    "SAR pair": SAR((0.1, 0.3), tau=0.5),
    "SAR neumann": SAR(0.2, boundary="neumann"),
    "SAR 8": SAR(neighbourhood=8),
    "SAR 8, neumann": SAR((0.1, 0.02, 0.1, 0.05), neighbourhood=8, boundary="neumann"),
    "SAR wide": SAR((0.1, -0.2, 0.05, 0.01), neighbourhood=WIDE),
    "SAR torus": SAR(neighbourhood=8, boundary="torus"),
    "SAR rows": SAR(0.7, row_standardized=True),
    "SAR rows, pair": SAR((0.5, -0.9), row_standardized=True),
    "SAR rows 8": SAR(0.6, neighbourhood=8, row_standardized=True),
    "SAR rows, torus": SAR(0.7, neighbourhood=8, row_standardized=True, boundary="torus"),
    "SAR cylinder": SAR(0.2, tau=0.5, boundary=("neumann", "torus")),
    "Matern": Matern(5.0),
    "Matern dirichlet": Matern(5.0, 2.0, boundary="dirichlet"),
    "Matern smooth": Matern(4.0, anisotropy=(2.0, 0.4), diffusion="smooth"),
    "Matern smooth, torus": Matern(4.0, 2.0, 2, anisotropy=(2.0, 0.4), boundary="torus", diffusion="smooth"),
    "Matern 2": Matern(4.0, 2.0, 2),
    "Matern 3, dirichlet": Matern(4.0, 2.0, 3, boundary="dirichlet"),
    "Matern torus": Matern(6.0, 1.0, 2, anisotropy=(1.2, 0.7), boundary="torus"),
    "Matern stretched": Matern(6.0, 1.0, 2, anisotropy=(1.5, 0.0)),
    "Matern anisotropic": Matern(6.0, 1.0, 1, anisotropy=(5.0, 0.4)),
    "Matern barrier": Matern(5.0, 1.0, 1, barrier=BARRIER),
    "Matern maps": Matern(RANGE, SIGMA, 2, anisotropy=(RATIO, ANGLE), boundary="dirichlet", barrier=BARRIER),
    "Matern sigma map": Matern(5.0, SIGMA, 1, anisotropy=(2.0, 2.4)),
    "Matern 2, cylinder": Matern(5.0, 2.0, 2, boundary=("neumann", "torus")),
    "Matern maps, cylinder": Matern(RANGE, SIGMA, 1, barrier=BARRIER, boundary=("torus", "dirichlet")),
    "Matern of two borders": Matern(5.0, 1.0, 1, anisotropy=(3.0, 0.4), boundary=("neumann", "dirichlet")),
    "Matern of wide pixels": Matern(9.0, 2.0, spacing=(1.5, 4.0)),
    "Matern of wide pixels, turned": Matern(9.0, 1.0, 2, anisotropy=(2.0, 0.4), spacing=(1.5, 4.0)),
    "Matern of wide pixels, smooth": Matern(9.0, anisotropy=(2.0, 0.4), diffusion="smooth", spacing=(3.0, 2.0)),
    "Matern by latitude": Matern(5.0, 2.0, spacing=(1.5, WIDTHS)),
    "Matern by latitude, turned": Matern(5.0, 1.0, 2, anisotropy=(2.0, 0.4), spacing=(1.5, WIDTHS)),
    "Matern of many sizes": Matern(RANGE, SIGMA, 2, anisotropy=(RATIO, ANGLE), barrier=BARRIER, spacing=SIZES),
    "Matern around the globe": Matern(5.0, spacing=(1.0, WIDTHS), boundary=("dirichlet", "torus")),
    "AR1xAR1": AR1xAR1(0.6, 0.85, 1.5),
    "AR1xAR1, signs": AR1xAR1(-0.4, 0.7),
    "AR1xAR1 torus": AR1xAR1(0.5, -0.3, 2.0, boundary="torus"),
    "Independent": Independent(0.7),
    "Independent torus": Independent(2.0, boundary="torus"),
    "TensionSpline": TensionSpline(0.3, 2.0, proper=0.01),
    "TensionSpline dirichlet": TensionSpline(0.3, boundary="dirichlet"),
    "TensionSpline torus": TensionSpline(0.3, 2.0, proper=0.01, boundary="torus"),
    "TensionSpline smooth": TensionSpline(0.3, anisotropy=(2.0, 0.4), boundary="dirichlet", diffusion="smooth"),
    "TensionSpline anisotropic": TensionSpline(0.3, anisotropy=(3.0, 1.0), proper=0.01, barrier=BARRIER),
    "TensionSpline of wide pixels": TensionSpline(0.3, 2.0, proper=0.01, spacing=(3.0, 1.5)),
    "TensionSpline by latitude": TensionSpline(0.3, 2.0, anisotropy=(2.0, 1.0), proper=0.01, spacing=(1.5, WIDTHS)),
    "TensionSpline 2": TensionSpline(0.6, 2.0, anisotropy=(1.5, 0.0), proper=0.02, nu=2),
    "TensionSpline 2, barrier": TensionSpline(0.6, proper=0.01, barrier=BARRIER, spacing=(1.5, 2.0), nu=2),
    "TensionSpline 3, dirichlet": TensionSpline(0.9, boundary="dirichlet", nu=3),
}
FRACTIONAL = {
    "Matern 0.5": Matern(5.0, nu=0.5),
    "Matern 0.5, dirichlet": Matern(5.0, 2.0, nu=0.5, boundary="dirichlet"),
    "Matern 1.5, torus": Matern(5.0, nu=1.5, boundary="torus"),
    "Matern 1.5, cylinder": Matern(5.0, nu=1.5, boundary=("torus", "neumann")),
    "Matern 1.5, anisotropic": Matern(5.0, nu=1.5, anisotropy=(2.0, 0.4)),
    "Matern 0.7, maps": Matern(RANGE, SIGMA, 0.7, barrier=BARRIER, boundary="torus"),
    "Matern 0.5, sigma map": Matern(5.0, SIGMA, 0.5, anisotropy=(2.0, 2.4), barrier=BARRIER),
    "Matern 0.5 of wide pixels": Matern(9.0, nu=0.5, spacing=(1.5, 4.0)),
    "Matern 1.5 by latitude": Matern(5.0, nu=1.5, anisotropy=(2.0, 0.4), spacing=(1.5, WIDTHS)),
}
INTRINSIC = {
    "Intrinsic 1": Intrinsic(1, 2.0),
    "Intrinsic 1, torus": Intrinsic(1, boundary="torus"),
    "Intrinsic 1, scaled, cylinder": Intrinsic(1, 2.0, scale=True, boundary=("neumann", "torus")),
    "Intrinsic 1, mask": Intrinsic(1, 0.5, mask=BARRIER),
    "Intrinsic 1, scaled": Intrinsic(1, 0.5, scale=True),
    "Intrinsic 1, scaled, torus": Intrinsic(1, 0.5, scale=True, boundary="torus"),
    "Intrinsic 1, scaled, mask": Intrinsic(1, 3.0, scale=True, mask=BARRIER),
    "Intrinsic 1, parts": Intrinsic(1, 2.0, mask=PARTS),
    "Intrinsic 1, scaled, parts": Intrinsic(1, 0.5, scale=True, mask=PARTS),
    "Intrinsic 2": Intrinsic(2, 2.0),
    "Intrinsic 2, scaled": Intrinsic(2, scale=True),
    "Intrinsic 2, mask": Intrinsic(2, 2.0, mask=CORNER),
    "Intrinsic 2, parts": Intrinsic(2, 0.5, mask=PARTS),
    "TensionSpline intrinsic": TensionSpline(0.3, 2.0),
    "TensionSpline intrinsic, smooth": TensionSpline(0.3, 2.0, anisotropy=(2.0, 0.4), diffusion="smooth"),
    "TensionSpline intrinsic, torus": TensionSpline(0.3, anisotropy=(2.0, 0.4), boundary="torus"),
    "TensionSpline intrinsic, cylinder": TensionSpline(0.3, anisotropy=(2.0, 0.4), boundary=("torus", "neumann")),
    "TensionSpline intrinsic, barrier": TensionSpline(0.3, anisotropy=(2.0, 0.4), barrier=BARRIER),
    "TensionSpline intrinsic, parts": TensionSpline(0.3, 2.0, barrier=PARTS),
    "TensionSpline intrinsic, 2": TensionSpline(0.6, 2.0, anisotropy=(2.0, 0.4), diffusion="smooth", nu=2),
    "TensionSpline intrinsic, 3": TensionSpline(0.9, 2.0, nu=3),
    "TensionSpline intrinsic, 2, torus": TensionSpline(0.6, boundary="torus", nu=2),
    "Intrinsic 1 of wide pixels": Intrinsic(1, 2.0, spacing=(1.5, 4.0)),
    "Intrinsic 1 by latitude, scaled": Intrinsic(1, 2.0, scale=True, spacing=(1.5, WIDTHS)),
    "Intrinsic 2 of wide pixels": Intrinsic(2, 2.0, spacing=(1.5, 4.0)),
    "TensionSpline intrinsic, wide pixels": TensionSpline(0.3, 2.0, spacing=(1.5, 4.0)),
    "TensionSpline intrinsic, by latitude": TensionSpline(0.3, 2.0, spacing=(1.5, WIDTHS)),
}
COMPOSED = {
    "Sum": Sum([CAR((0.3, 0.1), tau=2.0), Matern(RANGE, SIGMA, 1, barrier=BARRIER)], labels=["near", "far_off"]),
    "Sum on a cylinder": Sum(
        [Intrinsic(boundary=("neumann", "torus")), Matern(3.0, nu=0.5, boundary=("dirichlet", "torus"))],
        observation=[0.5, 1.0],
    ),
    "Sum of one": Sum([SAR((0.1, 0.3))]),
    "Sum of one, weighted": Sum([SAR((0.1, 0.3))], observation=[2.0]),
    "Sum weighted": Sum([CAR(0.2), Matern(4.0), SAR(0.1)], observation=[2.0, -0.5, 1.0]),
    "Sum with a random walk": Sum([Intrinsic(1, 2.0), Matern(3.0, boundary="dirichlet")], observation=[0.5, 1.0]),
    "Sum with a fractional one": Sum([Matern(4.0, nu=0.5), CAR(0.2)], observation=[1.0, -0.5]),
    "Sum with a mask": Sum([Intrinsic(1, 2.0, mask=BARRIER), CAR(0.2)], observation=[0.5, 1.0]),
    "Sum with parts": Sum([Matern(3.0, boundary="dirichlet"), TensionSpline(0.3, barrier=PARTS)]),
    "Sum with order 2": Sum([CAR(0.2), Intrinsic(2, 2.0)]),
    "Sum with AR1xAR1": Sum([AR1xAR1(0.6, 0.3), Matern(4.0, boundary="dirichlet")], observation=[1.0, -0.5]),
    "Sum of sizes": Sum([Matern(4.0, spacing=(1.5, WIDTHS)), CAR(0.2)], observation=[1.0, -0.5]),
    "BYM": BYM(0.7, 0.3),
    "BYM cylinder": BYM(0.7, 0.3, boundary=("neumann", "torus")),
    "BYM of wide pixels": BYM(0.7, 0.3, spacing=(1.5, 4.0)),
    "BYM by latitude": BYM(0.7, 0.3, spacing=(1.5, WIDTHS)),
    "BYM torus": BYM(2.0, 0.8, boundary="torus"),
    "BYM, parts": BYM(0.7, 0.3, mask=PARTS),
    "Channels": Channels(Matern(RANGE, 2.0), [[1.0, 0.5], [0.5, 3.0]]),
    "Channels AR1xAR1": Channels(AR1xAR1(0.6, -0.3), [[1.0, 0.5], [0.5, 3.0]]),
    "Channels of a pair": Channels(CAR((0.3, 0.1)), [[1.0, 0.0], [0.0, 3.0]]),
}


def adjacency(offsets, weights, shape, boundary):
    """``sum_k w_k W_k``."""
    return reference.symmetric_matrix([(0, 0), *offsets], [0.0, *weights], shape, 1, boundary)


def diffusion_matrix(shape, conductance, offsets, boundary, blocked=None):
    """``G`` pair by pair: ``conductance(pixel, offset)`` at both pixels, averaged; ``blocked(pixel, offset)`` cuts."""
    height, width = shape
    G = np.zeros((height * width, height * width))
    for i, j in reference.pixels(shape):
        for di, dj in [*offsets, *((-a, -b) for a, b in offsets)]:
            later = (di, dj) if (di, dj) > (0, 0) else (-di, -dj)
            p = i * width + j
            found = reference.beyond((i + di, j + dj), shape, boundary)
            if isinstance(found, str):
                if found == "dirichlet" and (blocked is None or not blocked((i, j), (0, 0))):
                    G[p, p] += conductance((i, j), later)
                continue
            if blocked is not None and blocked((i, j), (di, dj)):
                continue
            a, b = found
            c = (conductance((i, j), later) + conductance((a, b), later)) / 2.0
            G[p, p] += c
            G[p, a * width + b] -= c
    return G
