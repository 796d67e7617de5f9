"""Integrated parameters beside dense quadrature, beside Markov chains, and what they do for the coverage of intervals.

``python -m bench.integration quadrature`` prints, for every model with up to three parameters on 12 x 14 pixels, the
total variation distance of each parameter's density, and of those of three hidden pixels, from quadrature of the dense
likelihood. ``chain`` does so beside a Metropolis chain on 30 x 30 pixels. ``coverage`` prints how often intervals hold
hidden pixels of 200 simulated images, with parameters taken as known and integrated out.
"""

import sys
import time
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve_banded, cholesky_banded
from scipy.stats import norm

from sparsegmrf import fit
from sparsegmrf._interval import Interval
from sparsegmrf.inference import FitResult, IntegratedFit, Mixture
from sparsegmrf.models import CAR, SAR, AR1xAR1, Independent, Intrinsic, Matern, Model, TensionSpline
from sparsegmrf.priors import LogNormal, Normal, PCPrecision, PCRange, PCSigma, Prior

SHAPE = (12, 14)
SIGMA, NOISE, TAU = PCSigma(3.0, 0.05), PCSigma(1.0, 0.05), PCPrecision(3.0, 0.05)


class Case(NamedTuple):
    """A model that is fitted with priors to a draw of another; with noise, if its variance is estimated."""

    name: str
    model: Model
    truth: Model
    priors: dict[str, Prior]
    noise: bool


def cases() -> list[Case]:
    """Return models with up to three parameters."""
    matern = Matern(range=5.0)
    scale = {"range": PCRange(3.0, 0.05), "sigma": SIGMA}
    tension = {"kappa": LogNormal(0.4, 0.7), "tau": LogNormal(1.0, 1.0)}
    flat, wide = Normal(0.0, 0.5), Normal(0.0, 0.2)
    plain = [
        ("Matern", Matern(), matern, scale),
        ("TensionSpline", TensionSpline(), TensionSpline(kappa=0.4), tension),
        ("CAR", CAR(), CAR(0.22), {"rho": wide, "tau": TAU}),
        ("SAR", SAR(), SAR(0.2), {"rho": wide, "tau": TAU}),
        ("Intrinsic", Intrinsic(), Intrinsic(), {"tau": TAU}),
    ]
    alone = [
        ("Independent", Independent(), Independent(), {"sigma": SIGMA}),
        ("AR1xAR1", AR1xAR1(), AR1xAR1(0.6, 0.5), {"rho_row": flat, "rho_column": flat, "sigma": SIGMA}),
        ("CAR, two rho", CAR((0.2, 0.2)), CAR((0.3, 0.15)), {"tau": TAU}),
    ]
    found = [Case(*each, noise=False) for each in plain + alone]
    noisy = [Case(name, model, truth, {**own, "noise_variance": NOISE}, True) for name, model, truth, own in plain]
    return found + noisy


def image_of(case: Case, shape: tuple[int, int], seed: int) -> np.ndarray:
    """Return a draw with a third of its pixels missing, and noise if there is any."""
    rng = np.random.default_rng(seed)
    field = case.truth.gmrf(shape).sample(rng=rng)
    image = field + 0.4 * field.std() * case.noise * rng.standard_normal(shape)
    return np.where(rng.random(shape) < 0.3, np.nan, image)


def fitted(case: Case, image: np.ndarray) -> FitResult:
    """Return the fit of a case to an image by restricted likelihood."""
    return fit(case.model, image, noise_variance="estimate" if case.noise else None, method="reml", priors=case.priors)


class Dense:
    """The posterior by dense matrices: everything by the contrasts that see neither the trend nor the null space.

    Of the covariance ``c C + s I`` of measurements ``C`` is decomposed for each value of the parameters that are not
    its scale; the density is then a sum over eigenvalues for every ``c`` and ``s``.
    """

    def __init__(self, case: Case, image: np.ndarray) -> None:
        self.case, self.shape = case, image.shape
        self.observed, self.y = np.flatnonzero(np.isfinite(image.ravel())), image[np.isfinite(image)]
        X = np.ones((len(self.y), 1))
        self.K = np.linalg.svd(X)[0][:, 1:]
        self.r = self.K.T @ self.y
        names = list(case.model.parameters)
        self.scale = next(name for name in ("sigma", "tau") if name in names)
        self.shaped = [name for name in names if name != self.scale]
        twice = case.model.replace(**{self.scale: 2.0 * case.model.parameters[self.scale]})
        change = self._precision(twice)[0, 0] / self._precision(case.model)[0, 0]
        self.exponent = -float(np.log2(change))
        self.names = [*self.shaped, self.scale, *(["noise_variance"] if case.noise else [])]
        limits = case.model.limits(self.shape)
        coupled = case.model.joint_limits(self.shape) if hasattr(case.model, "joint_limits") else None
        self.coupled = coupled if coupled is not None and len(coupled.names) > 1 else None
        joint = () if self.coupled is None else self.coupled.names
        real = Interval(-np.inf, np.inf)
        self.intervals = [real if name in joint else Interval(*limits[name]) for name in self.shaped]
        self.intervals += [Interval(0.0, np.inf)] * (1 + case.noise)

    def _precision(self, model: Model) -> np.ndarray:
        return model.stencil(self.shape).tocsr().toarray()

    def eigen(self, values: dict[str, float], pixels: np.ndarray) -> "Eigen | None":
        """Decompose the covariance at parameters that are not the scale; None where they are not possible together."""
        model = self.case.model.replace(**values, **{self.scale: 1.0})
        if hasattr(model, "is_inside") and not model.is_inside(self.shape):
            return None
        Q = self._precision(model)
        C = np.linalg.pinv(Q, hermitian=True) if model.gmrf(self.shape).rank_deficiency else np.linalg.inv(Q)
        o, a = self.observed, np.full(len(self.y), 1.0 / len(self.y))
        lam, U = np.linalg.eigh(self.K.T @ C[np.ix_(o, o)] @ self.K)
        toward = C[np.ix_(pixels, o)] - a @ C[np.ix_(o, o)]
        own = C[pixels, pixels] - 2.0 * C[np.ix_(pixels, o)] @ a + a @ C[np.ix_(o, o)] @ a
        return Eigen(lam, U.T @ self.r, toward @ self.K @ U, own, float(a @ a), float(a @ self.y))

    def quadrature(self, low: np.ndarray, high: np.ndarray, nodes: int, pixels: np.ndarray) -> "Quadrature":
        """Return densities by working numbers on a grid between ends, and means and variances of pixels there."""
        axes = [np.linspace(a, b, nodes) for a, b in zip(low, high, strict=True)]
        scale, noise = axes[len(self.shaped)], axes[-1] if self.case.noise else np.array([-np.inf])
        c, s = np.exp(self.exponent * scale)[:, np.newaxis], np.exp(noise)[np.newaxis]
        logs, means, variances = [], [], []
        for at in product(*axes[: len(self.shaped)]):
            values = [each.inward(u) for each, u in zip(self.intervals, at, strict=False)]
            found = self.eigen(dict(zip(self.shaped, values, strict=True)), pixels)
            blank = np.full((len(scale), len(noise)), -np.inf)
            logs.append(blank if found is None else found.loglik(c, s) + self._log_measure(at))
            of_pixels = np.zeros((2, len(pixels), *blank.shape)) if found is None else found.pixels(c, s)
            means.append(of_pixels[0])
            variances.append(of_pixels[1])
        size = [nodes] * len(self.names)
        log = np.reshape(logs, size)
        for k, name in enumerate(self.names):
            if name in self.case.priors:
                prior = self.case.priors[name]
                own = [self._log_prior(name, prior, self.intervals[k], float(u)) for u in axes[k]]
                log = log + np.reshape(own, [-1 if j == k else 1 for j in range(len(size))])
        both = [np.moveaxis(np.array(each), 1, 0).reshape(len(pixels), *size) for each in (means, variances)]
        return Quadrature(axes, log, *both)

    def _log_measure(self, at: tuple[float, ...]) -> float:
        """Return the log-density, by parameters of a joint region, that is flat by their working numbers."""
        if self.coupled is None:
            return 0.0
        own = zip(self.coupled.intervals, self.coupled.forms @ np.array(at), strict=True)
        slopes = [Interval(*ends).slope(value) for ends, value in own]
        return float(np.linalg.slogdet(self.coupled.forms)[1] - np.log(slopes).sum())

    @staticmethod
    def _log_prior(name: str, prior: Prior, interval: Interval, u: float) -> float:
        if name == "noise_variance" and isinstance(prior, PCSigma):  # of the noise's standard deviation
            return PCSigma(prior.s0, prior.probability).log_density(np.exp(0.5 * u)) + 0.5 * u - np.log(2.0)
        return prior.on_real_line(interval.inward(u), interval)[0]


class Eigen(NamedTuple):
    """Contrasts in the basis in which their covariance ``c lam + s`` is diagonal, and what they say of pixels."""

    lam: np.ndarray
    r: np.ndarray
    toward: np.ndarray
    own: np.ndarray
    of_noise: float
    mean: float

    def loglik(self, c: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Return the restricted log-likelihood of scales and noise variances that broadcast."""
        v = c[..., np.newaxis] * self.lam + s[..., np.newaxis]
        return -0.5 * np.sum(np.log(2.0 * np.pi * v) + self.r**2 / v, axis=-1)

    def pixels(self, c: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Return mean and variance of each pixel: universal kriging."""
        v = c[..., np.newaxis] * self.lam + s[..., np.newaxis]
        means, variances = [], []
        for g, own in zip(self.toward, self.own, strict=True):
            means.append(self.mean + c * np.sum(g * self.r / v, axis=-1))
            variances.append(c * own + s * self.of_noise - c * c * np.sum(g * g / v, axis=-1))
        return np.array([np.broadcast_arrays(*means), np.broadcast_arrays(*variances)])


class Quadrature(NamedTuple):
    """Log-density by working numbers on a grid, and means and variances of pixels."""

    axes: list[np.ndarray]
    log: np.ndarray
    means: np.ndarray
    variances: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """The density, of sum one."""
        found = np.exp(self.log - self.log.max())
        return found / found.sum()

    @property
    def log_integral(self) -> float:
        """Logarithm of the integral."""
        cell = sum(np.log(each[1] - each[0]) for each in self.axes)
        return float(self.log.max() + np.log(np.exp(self.log - self.log.max()).sum()) + cell)

    def marginal(self, k: int) -> np.ndarray:
        """Return the density of a working number at its nodes."""
        others = tuple(j for j in range(self.log.ndim) if j != k)
        return self.weights.sum(axis=others) / (self.axes[k][1] - self.axes[k][0])

    def pixel(self, k: int, x: np.ndarray) -> np.ndarray:
        """Return the density of a pixel at intensities."""
        w, m, v = self.weights.ravel(), self.means[k].ravel(), self.variances[k].ravel()
        kept = w > 1e-9
        return np.array([np.sum(w[kept] * norm.pdf(at, m[kept], np.sqrt(v[kept]))) for at in x])


def distances(case: Case, image: np.ndarray, found: IntegratedFit, dense: Dense, exact: Quadrature) -> dict[str, float]:
    """Return total variation distances of densities of parameters, the error of the evidence, and that of pixels."""
    said = {}
    for k, name in enumerate(dense.names):
        u, interval = exact.axes[k], dense.intervals[k]
        values = np.array([interval.inward(each) for each in u])
        slopes = np.array([interval.slope(each) for each in values])
        own = found.densities[name].pdf(values) * slopes
        said[name] = 0.5 * float(np.sum(np.abs(own - exact.marginal(k)))) * (u[1] - u[0])
    said["evidence"] = abs(found.log_evidence - exact.log_integral)
    mixture = found.predict().mixture
    worst = 0.0
    for k, pixel in enumerate(hidden(image)):
        m, s = mixture.mean.ravel()[pixel], mixture.std.ravel()[pixel]
        x = np.linspace(m - 8.0 * s, m + 8.0 * s, 201)
        of_each = norm.pdf(
            x[:, np.newaxis],
            mixture.means.reshape(len(mixture.weights), -1)[:, pixel],
            mixture.stds.reshape(len(mixture.weights), -1)[:, pixel],
        )
        worst = max(worst, 0.5 * float(np.sum(np.abs(of_each @ mixture.weights - exact.pixel(k, x)))) * (x[1] - x[0]))
    said["pixels"] = worst
    return said


def hidden(image: np.ndarray) -> np.ndarray:
    """Return three hidden pixels."""
    found = np.flatnonzero(np.isnan(image.ravel()))
    return found[[0, len(found) // 2, -1]]


def quadrature(only: str = "") -> None:
    """Print distances from dense quadrature, of cases in whose label a text is."""
    for number, case in enumerate(cases()):
        label = case.name + " + noise" * case.noise
        if only not in label:
            continue
        image = image_of(case, SHAPE, number)
        start = fitted(case, image)
        dense = Dense(case, image)
        for strategy in ("grid", "ccd"):
            clock = time.perf_counter()
            found = start.integrate(strategy=strategy)
            seconds = time.perf_counter() - clock
            if strategy == "grid":
                ends = [found.densities[name]._numbers[[0, -1]] for name in dense.names]
                low, high = np.array(ends).T
                nodes = {1: 400, 2: 200, 3: 90}[len(dense.names)]
                exact = dense.quadrature(low - 0.2 * (high - low), high + 0.2 * (high - low), nodes, hidden(image))
            said = distances(case, image, found, dense, exact)
            told = "  ".join(f"{name} {100.0 * value:.3f}%" for name, value in said.items())
            what = f"{label:22}{strategy:6}{found.evaluations:6}"
            print(f"{what} {len(found.weights):4} points {seconds:6.2f} s  {told}", flush=True)


class Chain(NamedTuple):
    """States of a chain on the working numbers, after its burn-in, and the share of proposals that were taken."""

    states: np.ndarray
    taken: float

    def error(self, values: np.ndarray) -> float:
        """Return the standard error of the mean of a function of the states, by the means of 30 batches."""
        means = [each.mean() for each in np.array_split(values, 30)]
        return float(np.std(means, ddof=1) / np.sqrt(30))


def metropolis(case: Case, image: np.ndarray, start: np.ndarray, step: np.ndarray, count: int) -> Chain:
    """Return a random-walk Metropolis chain on the restricted likelihood, by banded Cholesky, times the priors."""
    rng, y = np.random.default_rng(0), np.where(np.isnan(image), 0.0, image).ravel()
    observed = np.isfinite(image).ravel()
    names = [*case.model.parameters, "noise_variance"]
    positive = Interval(0.0, np.inf)

    def log_density(u: np.ndarray) -> float:
        *own, noise = np.exp(u)
        Q = case.model.replace(**dict(zip(names, own, strict=False))).stencil(image.shape).tocsr().tocoo()
        w, lower = observed / noise, Q.row >= Q.col
        bands = np.zeros((int((Q.row - Q.col).max()) + 1, Q.shape[0]))
        bands[(Q.row - Q.col)[lower], Q.col[lower]] = Q.data[lower]
        L = cholesky_banded(bands, lower=True)
        bands[0] += w
        P = cholesky_banded(bands, lower=True)
        WD = w[:, np.newaxis] * np.stack([y, observed.astype(float)], axis=1)
        gram = WD.T @ (WD / np.where(observed, w, 1.0)[:, np.newaxis] - cho_solve_banded((P, True), WD))
        log = 2.0 * (np.log(L[0]).sum() - np.log(P[0]).sum()) + np.log(w[observed]).sum()
        log -= np.log(gram[1, 1]) + gram[0, 0] - gram[0, 1] ** 2 / gram[1, 1]
        prior = [Dense._log_prior(name, case.priors[name], positive, at) for name, at in zip(names, u, strict=True)]
        return 0.5 * log + sum(prior)

    at, value, taken, states = start, log_density(start), 0, []
    for _ in range(count):
        there = at + step @ rng.standard_normal(len(at))
        new = log_density(there)
        if np.log(rng.random()) < new - value:
            at, value, taken = there, new, taken + 1
        states.append(at)
    return Chain(np.array(states)[count // 20 :], taken / count)


def chain(count: str = "20000") -> None:
    """Print moments and quantiles of the parameters of a 30 x 30 image beside those of a chain, with its errors."""
    case = next(each for each in cases() if each.name == "Matern" and each.noise)
    image = image_of(case, (30, 30), 1)
    start = fitted(case, image)
    names = list(start.parameters)
    grid, design = (start.integrate(strategy=each) for each in ("grid", "ccd"))
    # a step of 2.4 / sqrt(3) posterior deviations is the best of a normal density in three dimensions
    cloud, w = np.log([grid.points[name] for name in names]), grid.weights
    covariance = np.cov(cloud, aweights=w)
    found = metropolis(case, image, cloud @ w, 2.4 / np.sqrt(3.0) * np.linalg.cholesky(covariance), int(count))
    print(f"{len(found.states)} states, {100.0 * found.taken:.0f}% of proposals taken")
    print(f"{'':16}{'':10}{'chain':>12}{'its error':>12}{'grid':>12}{'ccd':>12}")
    for k, name in enumerate(names):
        values = np.exp(found.states[:, k])
        print(
            f"{name:16}{'mean':10}{values.mean():12.4f}{found.error(values):12.4f}"
            f"{grid.densities[name].mean:12.4f}{design.densities[name].mean:12.4f}"
        )
        for probability in (0.025, 0.25, 0.5, 0.75, 0.975):
            at = float(np.quantile(values, probability))
            slope = float(grid.densities[name].pdf(at))
            error = found.error((values <= at).astype(float)) / slope
            print(
                f"{'':16}{probability:<10g}{at:12.4f}{error:12.4f}"
                f"{grid.densities[name].quantile(probability):12.4f}{design.densities[name].quantile(probability):12.4f}"
            )


def coverage(strategy: str = "auto", count: str = "200", hidden_share: str = "0.3") -> None:
    """Print how often intervals of hidden pixels hold the field, and the CRPS, on simulated 12 x 14 images."""
    truth, told = Matern(range=5.0), {"plug-in": [], "plug-in, priors": [], "integrated": []}
    priors = {"range": PCRange(2.0, 0.05), "sigma": SIGMA, "noise_variance": NOISE}
    for number in range(int(count)):
        rng = np.random.default_rng(number)
        field = truth.gmrf(SHAPE).sample(rng=rng)
        out = rng.random(SHAPE) < float(hidden_share)
        image = np.where(out, np.nan, field + 0.4 * rng.standard_normal(SHAPE))
        for name, own in (("plug-in", None), ("plug-in, priors", priors)):
            result = fit(Matern(), image, priors=own)
            predicted = result.predict()
            told[name].append(scores(Mixture([1.0], predicted.mean[np.newaxis], predicted.std[np.newaxis]), field, out))
        told["integrated"].append(scores(result.integrate(strategy=strategy).predict().mixture, field, out))
    print(f"{count} images, {SHAPE[0]} x {SHAPE[1]}, {hidden_share} hidden, {strategy}; standard errors count images")
    print(f"{'':20}{'in 90%':>18}{'in 95%':>18}{'CRPS':>18}{'deviation':>12}")
    for name, rows in told.items():
        mean, error = np.mean(rows, axis=0), np.std(rows, axis=0) / np.sqrt(len(rows))
        cells = "".join(f"{a:11.4f} +-{b:.4f}" for a, b in zip(mean[:3], error[:3], strict=True))
        print(f"{name:20}{cells}{mean[3]:12.4f}", flush=True)


def scores(mixture: Mixture, truth: np.ndarray, out: np.ndarray) -> list[float]:
    """Return shares of hidden pixels within central intervals of 90% and 95%, mean CRPS and standard deviation."""
    own = Mixture(mixture.weights, mixture.means[:, out], mixture.stds[:, out])
    at = own.cdf(truth[out])
    within = [float(np.mean(np.abs(at - 0.5) < 0.5 * level)) for level in (0.9, 0.95)]
    return [*within, float(own.crps(truth[out]).mean()), float(own.std.mean())]


if __name__ == "__main__":
    {"quadrature": quadrature, "chain": chain, "coverage": coverage}[sys.argv[1]](*sys.argv[2:])
