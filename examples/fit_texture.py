"""Fit a causal autoregression to a photograph of grass and draw grass of the same statistics.

Each pixel is predicted from 12 earlier ones; what the neighbours save, in nats per pixel, is what a lossless predictive
coder would save over coding each pixel by itself. Run with ``python examples/fit_texture.py``.
"""

import numpy as np
from skimage.data import grass

from sparsegmrf.autoregression import CausalAR, select_order

LAGS = [(0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)]


def correlation(image, lag):
    """Correlation of the pixels with those at `lag`; both components of the lag may have either sign."""
    di, dj = lag
    height, width = image.shape
    here = image[max(0, -di) : height - max(0, di), max(0, -dj) : width - max(0, dj)]
    there = image[max(0, di) : height - max(0, -di), max(0, dj) : width - max(0, -dj)]
    return np.corrcoef(here.ravel(), there.ravel())[0, 1]


def main():
    """Return the nats per pixel gained over a white field, and the largest difference of the correlations compared."""
    image = grass() / 255.0

    supports = select_order(image, [("nshp", 0), ("qp", (1, 1)), ("nshp", 1), ("nshp", 2)])
    print(supports.summary(), end="\n\n")

    result = CausalAR.fit(image, support="nshp", radius=2)
    verdict = result.model.stability()
    print(result.summary())
    print(f"stable: {verdict.stable}, margin {verdict.margin:.4f} ({verdict.decided_by})\n")

    # The recursion starts from the mean; a margin that is thrown away makes the draw stationary.
    draw = result.gmrf().sample(rng=0, burn_in=64)
    print(f"{'correlation at':>16}{'photograph':>12}{'draw':>8}")
    differences = []
    for lag in LAGS:
        of_image, of_draw = correlation(image, lag), correlation(draw, lag)
        differences.append(abs(of_image - of_draw))
        print(f"{lag!s:>16}{of_image:12.3f}{of_draw:8.3f}")

    white = CausalAR.fit(image, support="nshp", radius=0)
    gain = result.loglik_per_pixel - white.loglik_per_pixel
    print(f"\nthe neighbours save {gain:.4f} nats = {gain / np.log(2):.4f} bits per pixel")
    return gain, max(differences)


if __name__ == "__main__":
    main()
