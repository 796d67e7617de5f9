"""Estimate the covariance of 64 pixels from 60 images, with and without knowing that they are a lattice.

Each estimate is judged by the log-density of images it has not seen. The sample covariance is singular: 64 pixels, 60
images. The graphical lasso must find out which pixels are neighbours; the fits of this package know. Run with
``python examples/ensemble_covariance.py``.
"""

import warnings

import numpy as np
from sklearn.covariance import OAS, GraphicalLasso, LedoitWolf
from sklearn.exceptions import ConvergenceWarning

from sparsegmrf.ensembles import CholeskyField, SymmetricField

SHAPE, TRAINING, HELD_OUT = (8, 8), 60, 2000
FOUR = [(0, 1), (1, 0)]


def truth():
    """Return a field whose neighbours are coupled more strongly on the right than on the left."""
    strength = np.linspace(0.7, 1.04, SHAPE[1]) * np.ones(SHAPE)
    return SymmetricField(4.2 * np.ones(SHAPE), [-strength, -strength], FOUR).gmrf(mean=10.0)


def graphical_lasso(rows):
    """Return the graphical lasso whose penalty predicts a third of the images best, fitted to all of them."""
    fitted, validation = rows[: 2 * len(rows) // 3], rows[2 * len(rows) // 3 :]
    penalties = np.geomspace(0.01, 0.3, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a penalty with which it does not converge scores badly
        scores = [GraphicalLasso(alpha=alpha).fit(fitted).score(validation) for alpha in penalties]
        return GraphicalLasso(alpha=penalties[int(np.argmax(scores))]).fit(rows)


def main():
    """Return the held-out log-density per image of each estimate, in nats."""
    field = truth()
    training, held_out = field.sample(TRAINING, rng=1), field.sample(HELD_OUT, rng=2)
    rows, others = training.reshape(TRAINING, -1), held_out.reshape(HELD_OUT, -1)

    shared = SymmetricField.fit(training, offsets=FOUR, homogeneous=True)
    planes = SymmetricField.fit(training, offsets=FOUR)
    triangular = CholeskyField.fit(training, radius=2)
    print(planes.summary(), end="\n\n")
    print(triangular.summary(), end="\n\n")

    scores = {"the truth": np.mean(field.logpdf(held_out))}
    for name, fit in [
        ("precision, shared coefficients", shared),
        ("precision, one per pixel", planes),
        ("Cholesky factor, shrunk", triangular),
    ]:
        scores[name] = np.mean(fit.gmrf().logpdf(held_out))
    for name, estimate in [
        ("graphical lasso", graphical_lasso(rows)),
        ("Ledoit-Wolf", LedoitWolf().fit(rows)),
        ("OAS", OAS().fit(rows)),
    ]:
        scores[name] = gaussian_score(others, estimate.location_, estimate.get_precision())
    print("held-out log-density per image, nats")
    for name, score in scores.items():
        print(f"{name:>32}{score:10.2f}")
    gain = scores["precision, one per pixel"] - scores["graphical lasso"]
    print(f"\nthe lattice is worth {gain:.2f} nats per image over the graphical lasso")
    return scores


def gaussian_score(rows, mean, precision):
    """Return the mean log-density of rows under a dense precision."""
    r = rows - mean
    squares = np.einsum("np,pq,nq->n", r, precision, r)
    return 0.5 * np.mean(np.linalg.slogdet(precision)[1] - len(precision) * np.log(2.0 * np.pi) - squares)


if __name__ == "__main__":
    main()
