"""The law of an image of a model's field, densely: its density, gradient, information and prediction."""

import dataclasses
import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sparsegmrf.models import Sum
from tests import reference
from tests.inference import dense
from tests.models.catalogue import SHAPE

STEP = 5e-4
"""Relative step of the differences of covariances, of fourth order."""
ROUNDING = 1e-9
NEIGHBOURS = {4: ((1, 0), (0, 1)), 8: ((0, 1), (1, -1), (1, 0), (1, 1))}
"""Offsets in the order of the interactions of a model."""


def trend_of(kind, shape):
    """Covariates ``(n, p)``: a level, and the rows' and the columns' distances from the middle."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    images = [np.ones(shape), rows - (shape[0] - 1) / 2, columns - (shape[1] - 1) / 2]
    count = {None: 0, "constant": 1, "linear": 3}[kind]
    return np.array(images[:count]).reshape(count, rows.size).T


@dataclass(frozen=True, eq=False)
class Law:
    """A model on a lattice: what is seen of its field without noise has a covariance and free directions.

    Attributes
    ----------
    model : Model
    shape : (int, int)
    """

    model: object
    shape: tuple[int, int]

    @cached_property
    def field(self):
        """The field of the model."""
        return self.model.gmrf(self.shape)

    @cached_property
    def domain(self):
        """Pixels that have a value: where all fields have one."""
        return self.field.lattice.domain.reshape(*self.shape, -1).all(axis=-1)

    @cached_property
    def covariance(self):
        """``B Q^+ B^T``, ``(n, n)``, with what ``B`` of the unknowns of a pixel is seen."""
        return covariance_of(self.model, self.shape)

    @cached_property
    def free(self):
        """``B V``, ``(n, r)``, with the null vectors ``V`` of the precision; zero outside the domain."""
        V = self.field.null_vectors.toarray()
        free = seen_of(self.model, self.shape) @ V if V.size else np.zeros((len(self.covariance), 0))
        return np.where(self.domain.reshape(-1, 1), free, 0.0)

    @cached_property
    def moved(self):
        """Derivatives of the covariance by the parameters, up to what free directions take: by differences."""
        return {name: self._moved(name, value) for name, value in self.model.parameters.items()}

    def _moved(self, name, value):
        step = STEP * max(abs(value), 0.1)
        ends = [covariance_of(self.model.replace(**{name: value + j * step}), self.shape) for j in (1, -1, 2, -2)]
        return (8.0 * (ends[0] - ends[1]) - (ends[2] - ends[3])) / (12.0 * step)

    def covariates(self, kind):
        """Covariates that are no free directions of the field."""
        X = np.where(self.domain.reshape(-1, 1), trend_of(kind, self.shape), 0.0)
        left = X - self.free @ np.linalg.lstsq(self.free, X, rcond=None)[0]
        return X[:, np.linalg.norm(left, axis=0) > ROUNDING * np.linalg.norm(X, axis=0)]

    def refusals(self, observed, noise, kind):
        """Words with which a fit must refuse a case; none: it must not."""
        field = self.field
        if self.model.combination is None and field.channels > 1:
            return ["image must have shape (H, W, "]
        if isinstance(self.model, Sum) and field.channels == 1 and self.model.observation[0] != 1.0:
            return ["observation must be 1 in a sum of a single field"]
        if observed[~self.domain].any():
            return ["image must be missing where the model has no value"]
        o, found = np.flatnonzero(observed), []
        if not is_independent(self.free[o]):
            found.append("image must have enough observed pixels to fix")
        if not self.covariates(kind)[o].any(axis=0).all() or not trend_of(kind, self.shape)[o].any(axis=0).all():
            found.append("covariates must not vanish on the observed pixels")
        if not is_independent(np.hstack([self.free, self.covariates(kind)])[o]):
            found.append("covariates must be linearly independent on the observed pixels")
        return found

    def loglik(self, y, observed, noise, kind, method="ml"):
        """Log-density of the observed pixels' contrasts that see no free direction, the trend profiled or left out."""
        y, C, X = self._contrasts(y, observed, noise, kind)
        if method == "reml":
            return dense.restricted(y, C, X)
        return dense.log_density(y - X @ coefficients(y, C, X), C)

    def slopes(self, y, observed, noise, kind, method="ml", by_noise=False):
        """Gradient by the parameters (and the noise variance), the sizes of its terms, and the average information.

        ``dl = (d^T dC d - tr(P dC)) / 2`` with ``d = C^-1 (y - X b)``, and ``P = C^-1``, or with REML ``C^-1`` less
        what the trend takes; the information is ``d^T dC_i C^-1 dC_j d / 2``.
        """
        K, o = self._basis(observed)
        y, C, X = self._contrasts(y, observed, noise, kind)
        moved = [K.T @ dC[np.ix_(o, o)] @ K for dC in self.moved.values()] + [K.T @ K] * by_noise
        S = np.linalg.inv(C)
        d = S @ (y - X @ coefficients(y, C, X))
        P = S - S @ X @ np.linalg.inv(X.T @ S @ X) @ X.T @ S if method == "reml" else S
        squares = np.array([d @ dC @ d for dC in moved]) / 2.0
        traces = np.array([np.sum(P * dC) for dC in moved]) / 2.0
        D = np.array([dC @ d for dC in moved]).reshape(len(moved), len(d))
        return squares - traces, np.abs(squares) + np.abs(traces), D @ S @ D.T / 2.0

    def prediction(self, y, observed, noise, kind):
        """Mean and covariance of field and trend at every pixel of the domain: kriging with generalized least squares.

        Elsewhere they are NaN.

        What is added to the covariance along free directions, so that it has an inverse, their coefficients take.
        """
        o, F = np.flatnonzero(observed), np.hstack([self.free, self.covariates(kind)])
        covariance = self.covariance + np.diagonal(self.covariance).mean() * self.free @ self.free.T
        C = covariance[np.ix_(o, o)] + np.diag(np.broadcast_to(noise, self.shape).ravel()[o])
        beta, of_beta = dense.generalized_least_squares(y.ravel()[o], C, F[o])
        gain = np.linalg.solve(C, covariance[o]).T
        left = F - gain @ F[o]
        mean = F @ beta + gain @ (y.ravel()[o] - F[o] @ beta)
        covariance = covariance - gain @ covariance[o] + left @ of_beta @ left.T
        outside = ~self.domain.ravel()
        mean[outside], covariance[outside], covariance[:, outside] = np.nan, np.nan, np.nan
        return mean, covariance

    def _basis(self, observed):
        o = np.flatnonzero(observed)
        return dense.contrasts(self.free[o]), o

    def _contrasts(self, y, observed, noise, kind):
        K, o = self._basis(observed)
        C = self.covariance[np.ix_(o, o)] + np.diag(np.broadcast_to(noise, self.shape).ravel()[o])
        return K.T @ y.ravel()[o], K.T @ C @ K, K.T @ self.covariates(kind)[o]


def seen_of(model, shape):
    """What is seen of the unknowns, ``(n, n C)``: the weighted sum of a pixel's."""
    weights = model.combination
    if weights is None:
        weights = model.observation if isinstance(model, Sum) else np.ones(1)
    return np.kron(np.eye(shape[0] * shape[1]), weights)


def covariance_of(model, shape):
    """``B Q^+ B^T`` with the precision ``Q`` of the unknowns in the domain."""
    field, B = model.gmrf(shape), seen_of(model, shape)
    inside = np.ones(B.shape[1], dtype=bool) if field.lattice.is_complete else ~field.lattice.outside
    Q, B = model.stencil(shape).tocsr().toarray()[np.ix_(inside, inside)], B[:, inside]
    return B @ reference.pseudo_inverse(Q, field.rank_deficiency) @ B.T


def coefficients(y, C, X):
    """Generalized least-squares coefficients of any number of covariates."""
    return dense.generalized_least_squares(y, C, X)[0] if X.shape[1] else np.zeros(0)


def is_independent(X):
    """Whether columns are linearly independent."""
    lengths = np.linalg.norm(X, axis=0)
    if X.shape[1] > X.shape[0] or not lengths.all():
        return X.shape[1] == 0
    return X.shape[1] == 0 or np.linalg.svd(X / lengths, compute_uv=False)[-1] > 1e-6


def drawn(model, shape, kind, noise, seed=0):
    """An image of the law, with a trend, in steps of 2^-20."""
    rng = np.random.default_rng(seed)
    field = model.gmrf(shape).sample(rng=rng)
    image = model.observe(field) if hasattr(model, "observe") else field
    trend = trend_of(kind, shape) @ np.array([4.0, 0.1, -0.05])[: {None: 0, "constant": 1, "linear": 3}[kind]]
    image = image + trend.reshape(shape) + np.sqrt(noise) * rng.standard_normal(shape)
    return np.round(image * 2.0**20) / 2.0**20


def turned(model, turn):
    """The model of images turned by `np.flipud`, `np.fliplr` or `np.transpose`."""
    if isinstance(model, Sum):
        return model.replace(models=tuple(turned(each, turn) for each in model.models))
    fields = {field.name: getattr(model, field.name) for field in dataclasses.fields(model) if field.init}
    maps = {name: value for name, value in fields.items() if name not in ("neighbourhood", "spacing")}
    changes = {name: turn(value) for name, value in maps.items() if np.ndim(value) == 2}
    if fields.get("anisotropy") is not None:
        ratio, angle = (turn(each) if np.ndim(each) else each for each in fields["anisotropy"])
        changes["anisotropy"] = (ratio, np.pi / 2.0 - angle if turn is np.transpose else -angle)
    if turn is np.transpose and isinstance(fields.get("boundary"), tuple):
        changes["boundary"] = fields["boundary"][::-1]
    if fields.get("spacing") is not None:
        changes["spacing"] = turned_sizes(fields["spacing"], turn)
    if "rho_row" in fields and turn is np.transpose:
        changes |= {"rho_row": model.rho_column, "rho_column": model.rho_row}
    if "neighbourhood" in fields:
        given = fields["neighbourhood"]
        offsets = NEIGHBOURS[given] if isinstance(given, int) else given
        changes["neighbourhood"] = [turned_offset(*each, turn) for each in offsets]
    return model.replace(**changes)


def turned_sizes(spacing, turn):
    """Height and width of the pixels of a turned image."""
    maps = [np.broadcast_to(each[:, np.newaxis] if np.ndim(each) == 1 else each, SHAPE) for each in spacing]
    height, width = (each if not np.ndim(each) else turn(image) for each, image in zip(spacing, maps, strict=True))
    return (width, height) if turn is np.transpose else (height, width)


def turned_offset(di, dj, turn):
    """The offset of two turned pixels, of both signs that which is later in raster order."""
    offset = {np.flipud: (-di, dj), np.fliplr: (di, -dj), np.transpose: (dj, di)}[turn]
    return offset if offset > (0, 0) else (-offset[0], -offset[1])


def around(model, shape, noise, seed=0):
    """Models and noise variances on two grids of three values by parameter about those given, parts of large ones.

    Steps are those of what is unbounded: logarithms of what is positive, logits of what is between two ends.
    """
    limits = [*model.limits(shape).items(), *([("noise", (0.0, np.inf))] if noise is not None else [])]
    values = [*model.parameters.values(), noise][: len(limits)]
    signs = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=len(limits))))
    if len(limits) > 4:
        signs = np.random.default_rng(seed).permutation(signs)[:20]
    for step in (distance * row for distance in (0.1, 1.0) for row in signs):
        at = [stepped(value, *ends, by) for value, (_, ends), by in zip(values, limits, step, strict=True)]
        other = model.replace(**dict(zip(model.parameters, at, strict=False)))
        if other.is_inside(shape):
            yield other, at[-1] if noise is not None else 0.0


def stepped(value, low, high, by):
    """A parameter a step away on the real line."""
    if np.isinf(low):
        return value + by
    if np.isinf(high):
        return low + (value - low) * np.exp(by)
    odds = (value - low) / (high - value) * np.exp(by)
    return low + (high - low) * odds / (1.0 + odds)
