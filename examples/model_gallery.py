"""One draw of every model side by side: what the parameters look like.

Run with ``python examples/model_gallery.py [models.png]``.
"""

import sys

import numpy as np
from matplotlib.figure import Figure

from sparsegmrf.autoregression import CausalAR
from sparsegmrf.models import CAR, SAR, Intrinsic, Matern, TensionSpline

SHAPE = (128, 128)


def barrier():
    """A wall with one gap."""
    wall = np.zeros(SHAPE, dtype=bool)
    wall[:100, 62:66] = True
    return wall


def models():
    """Return the models by title."""
    growing = np.broadcast_to(np.linspace(4.0, 60.0, SHAPE[1]), SHAPE)
    return {
        "CAR, rho = 0.2499": CAR(0.2499),
        "CAR, rho = (0.45, 0.04)": CAR((0.45, 0.04)),
        "CAR, rho = -0.2499": CAR(-0.2499),
        "SAR, rho = 0.245": SAR(0.245),
        "CausalAR": CausalAR([-0.9, 0.95, 0.94]),
        "Intrinsic, order 1": Intrinsic(1),
        "Intrinsic, order 2": Intrinsic(2),
        "TensionSpline, kappa = 0.3": TensionSpline(0.3),
        "Matern, nu = 0.5": Matern(20.0, nu=0.5),
        "Matern, nu = 1": Matern(20.0, nu=1),
        "Matern, nu = 2": Matern(20.0, nu=2),
        "Matern, ratio 4 at 45 degrees": Matern(20.0, anisotropy=(4.0, np.pi / 4.0)),
        "Matern, range 4 to 60": Matern(growing),
        "Matern, barrier": Matern(40.0, barrier=barrier()),
    }


def main(path="models.png"):
    """Draw all models, save the page, and return the draws by title."""
    draws = {title: model.gmrf(SHAPE).sample(rng=1) for title, model in models().items()}
    columns = 5
    rows = -(-len(draws) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.9 * rows), layout="constrained")
    axes = figure.subplots(rows, columns).ravel()
    for each in axes:
        each.set_axis_off()
    for each, (title, draw) in zip(axes, draws.items(), strict=False):
        shown = np.ma.masked_array(draw, barrier() if "barrier" in title else False)
        middle, spread = float(shown.mean()), float(shown.std())
        each.imshow(shown, cmap="viridis", vmin=middle - 2.5 * spread, vmax=middle + 2.5 * spread)
        each.set_title(f"{title}\nsd {spread:.3g}", fontsize=9)
    figure.savefig(path, dpi=120)
    print(f"{len(draws)} draws of {SHAPE[0]} x {SHAPE[1]} pixels in {path}")
    return draws


if __name__ == "__main__":
    main(*sys.argv[1:2])
