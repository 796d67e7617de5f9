"""A small stack with gaps, repeated dates and weights, and its dense oracle."""

from dataclasses import replace

import numpy as np

from sparsegmrf.models import CAR, Independent, Matern, TensionSpline
from sparsegmrf.stacks._evidence import StackModel
from sparsegmrf.stacks._observed import StackData
from sparsegmrf.stacks._seasons import Seasons
from sparsegmrf.stacks._separable import Separable
from tests import reference

SHAPE = (4, 5)
SLOW, FAST = Separable(Matern(range=2.5, sigma=1.3), 30.0, "slow"), Separable(CAR(0.2, tau=2.0), 3.0, "fast")
LOCAL, STATIC = Separable(CAR(0.1, tau=1.5), 0.0, "day"), Separable(Matern(range=3.0, sigma=0.7), np.inf, "map")
MODELS = {
    "matern": StackModel((Separable(Matern(range=2.5, sigma=1.3), 15.0),), Matern(range=4.0), (0.8, 0.5), 0.3),
    "car": StackModel((Separable(CAR(0.2, tau=2.0), 40.0),), Independent(), (0.8, 0.5), 0.05),
    "spline": StackModel((Separable(TensionSpline(0.7, tau=3.0, proper=0.1), 2.0),), CAR(0.24), (2.0, 0.1), 1.0),
    "two scales": StackModel((SLOW, FAST), Matern(range=4.0), (0.8, 0.5), 0.3),
    "all kinds": StackModel((STATIC, LOCAL, SLOW), Independent(), (0.8, 0.5), 0.1),
    "weather": StackModel((LOCAL,), Independent(), (0.8, 0.5), 0.1),
}


def stack_of(days, index, harmonics, covariates, seed, shape=SHAPE):
    """Return data, images ``(T, n)``, their weights, and the seasons."""
    rng = np.random.default_rng(seed)
    n = shape[0] * shape[1]
    seasons = Seasons(harmonics, covariates, shape, 365.25)
    rows, columns = (np.arange(side) for side in shape)
    blank = StackData(
        days,
        shape,
        np.zeros((len(days), n)),
        np.zeros((len(days), n)),
        seasons.basis(days),
        seasons.groups,
        seasons.columns(days, rows, columns),
        0,
        0.0,
        0.0,
    )
    images = 3.0 + rng.standard_normal((len(index), n))
    weights = rng.uniform(0.5, 2.0, images.shape) * (rng.uniform(size=images.shape) > 0.4)
    return blank.weighted(images, weights, np.asarray(index)), images, weights


def oracle(model, data, images, weights, index):
    """Return log-density, mean and covariance at the dates of the data, and the trend's coefficients, densely."""
    S = prior(model, data)
    X = data.covariates.reshape(len(data.covariates), data.n_dates * data.n_pixels).T
    U, n = data.n_dates, data.n_pixels
    # The images stand before the dates, as places of their own.
    picked = np.concatenate([np.arange(n) + u * n for u in (*index, *range(U))])
    observed = np.append(weights.ravel() > 0.0, np.zeros(U * n, dtype=bool))
    values = np.append(images.ravel(), np.zeros(U * n))
    noise = model.noise_variance / weights.ravel()[weights.ravel() > 0.0]
    loglik, mean, covariance, beta = reference.gaussian_given(
        S[np.ix_(picked, picked)], values, observed, noise, X[picked]
    )
    first = len(index) * n
    return loglik, mean[first:].reshape(U, n), covariance[first:, first:], beta


def prior(model, data):
    """Return the covariance of fields and season at the dates of the data."""
    of_coefficients, *spatial = (
        np.linalg.inv(each.stencil(data.shape).tocsr().toarray())
        for each in (model.coefficients, *(part.model for part in model.fields))
    )
    parts = [(part.ell, K) for part, K in zip(model.fields, spatial, strict=True)]
    deviations = data.by_coefficient(model.deviations)
    return reference.sum_covariance(data.days, parts, data.basis, deviations, of_coefficients)


def moved(model, name, step):
    """Return a model whose parameter, as `Evidence.gradient` names it, has moved by a step."""
    kind, _, own = name.partition(".")
    if kind in ("fields", "log ell"):
        number, _, own = own.partition(".")
        fields = list(model.fields)
        part = fields[int(number)]
        if kind == "fields":
            fields[int(number)] = part.with_model(part.model.replace(**{own: part.model.parameters[own] + step}))
        else:
            fields[int(number)] = replace(part, ell=part.ell * np.exp(step))
        return replace(model, fields=tuple(fields))
    if kind == "coefficients":
        value = model.coefficients.parameters[own] + step
        return replace(model, coefficients=model.coefficients.replace(**{own: value}))
    if name == "log noise_variance":
        return replace(model, noise_variance=model.noise_variance * np.exp(step))
    deviations = list(model.deviations)
    deviations[int(own)] *= np.exp(step)
    return replace(model, deviations=tuple(deviations))
