"""A field trial of 20 x 25 plots: autoregressions with two interactions, beside dense maximum likelihood.

python -m bench.field_trial [--seed 2]

Five blocks of five columns have ten treatments ten times each; fertility varies by a CAR or SAR field, with or without
noise of the plots. Exits with 1 if a fit has not converged, or an estimate differs by more than 1e-6 of itself.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from sparsegmrf import CAR, SAR, fit

SHAPE = (20, 25)
BLOCKS, TREATMENTS = 5, 10
TRUTH = {"CAR": CAR((0.36, 0.13), tau=0.5), "SAR": SAR((0.29, 0.18), tau=0.5)}
NOISE = 0.6
STARTS = ((0.1, 0.1), (0.3, 0.1), (0.05, 0.35))
GOAL = 1e-6
NOWHERE = -1e10
"""Log-likelihood where rounding makes a covariance indefinite."""


class Trial(NamedTuple):
    """Yields ``(H, W)``, and the covariates ``(K, H, W)``: a constant, blocks and treatments but the first."""

    yields: np.ndarray
    covariates: np.ndarray


def trial(kind: str, noise: bool, seed: int) -> Trial:
    """Lay out a trial by chance, and draw its yields."""
    rng = np.random.default_rng(seed)
    height, width = SHAPE
    block = np.repeat(np.arange(BLOCKS), width // BLOCKS) * np.ones(SHAPE, dtype=int)
    treatment = np.empty(SHAPE, dtype=int)
    for k in range(BLOCKS):
        plots = height * width // BLOCKS
        treatment[block == k] = rng.permutation(np.repeat(np.arange(TREATMENTS), plots // TREATMENTS))
    yields = 40.0 + rng.normal(size=BLOCKS)[block] + 0.5 * rng.normal(size=TREATMENTS)[treatment]
    yields = yields + TRUTH[kind].gmrf(SHAPE).sample(rng=rng)
    yields = yields + np.sqrt(NOISE) * noise * rng.normal(size=SHAPE)
    of_blocks = [block == k for k in range(1, BLOCKS)]
    of_treatments = [treatment == k for k in range(1, TREATMENTS)]
    return Trial(yields, np.array([np.ones(SHAPE), *of_blocks, *of_treatments], dtype=float))


def neighbours() -> tuple[np.ndarray, np.ndarray]:
    """Return the 0/1 matrices of vertical and horizontal neighbours, ``(n, n)``."""
    paths = [np.eye(n, k=1) + np.eye(n, k=-1) for n in SHAPE]
    return np.kron(paths[0], np.eye(SHAPE[1])), np.kron(np.eye(SHAPE[0]), paths[1])


class Dense:
    """Log-likelihood by dense covariances and its gradient, as a function of numbers on the real line.

    With the largest cosines ``c`` of either side, ``2 (c_v rho_v + c_h rho_h) = tanh a`` and
    ``2 (c_v rho_v - c_h rho_h) = tanh b`` hold the interactions within their region. The numbers are ``a``, ``b``, the
    logarithm of ``tau``, and that of the noise variance if there is any.
    """

    def __init__(self, kind: str, data: Trial, noise: bool, method: str) -> None:
        self.kind, self.noise, self.method = kind, noise, method
        self.y, self.X = data.yields.ravel(), data.covariates.reshape(len(data.covariates), -1).T
        self.W = neighbours()
        c = np.cos(np.pi / (np.array(SHAPE) + 1.0))
        self.forms = 2.0 * np.array([[c[0], c[1]], [c[0], -c[1]]])
        self.evaluations = 0

    def parameters(self, u: np.ndarray) -> np.ndarray:
        """Return interactions, ``tau`` and noise variance."""
        return np.concatenate([np.linalg.solve(self.forms, np.tanh(u[:2])), np.exp(u[2:])])

    def numbers(self, parameters: np.ndarray) -> np.ndarray:
        """Return the numbers of parameters."""
        return np.concatenate([np.arctanh(self.forms @ parameters[:2]), np.log(parameters[2:])])

    def __call__(self, u: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log-likelihood in nats and its gradient."""
        self.evaluations += 1
        vertical, horizontal, tau, *noise = self.parameters(u)
        identity = np.eye(len(self.y))
        root = identity - vertical * self.W[0] - horizontal * self.W[1]
        Q = tau * (root if self.kind == "CAR" else root @ root)
        products = [W if self.kind == "CAR" else W @ root for W in self.W]
        slopes = [-tau * (each if self.kind == "CAR" else each + each.T) for each in products]
        try:
            C = np.linalg.inv(Q)
            factor = cho_factor(C + noise[0] * identity if noise else C, lower=True)
        except np.linalg.LinAlgError:  # a trial of a line search next to the end of the region
            return NOWHERE, np.zeros(len(u))
        inverse = cho_solve(factor, identity)
        left = solve_triangular(factor[0], self.X, lower=True)
        gram = left.T @ left
        SX = inverse @ self.X
        P = inverse - SX @ np.linalg.solve(gram, SX.T)
        rest = P @ self.y
        value = -0.5 * (2.0 * np.log(np.diagonal(factor[0])).sum() + self.y @ rest)
        degrees = len(self.y)
        if self.method == "reml":
            degrees -= self.X.shape[1]
            value -= 0.5 * (np.linalg.slogdet(gram)[1] - np.linalg.slogdet(self.X.T @ self.X)[1])
        value -= 0.5 * degrees * np.log(2.0 * np.pi)
        # dl = sum(B dS) with the covariance S, and dS = -C dQ C of the field's part.
        B = 0.5 * (np.outer(rest, rest) - (P if self.method == "reml" else inverse))
        by_Q = -C @ B @ C
        by_rho = np.array([np.sum(by_Q * slope) for slope in slopes])
        by_forms = np.linalg.solve(self.forms.T, by_rho) * (1.0 - np.tanh(u[:2]) ** 2)
        return float(value), np.array([*by_forms, np.sum(by_Q * Q), *(s * np.trace(B) for s in noise)])

    def maximum(self) -> tuple[np.ndarray, float]:
        """Return the parameters of the largest of the maxima that several starts lead to, polished, and its value."""
        starts = [self.numbers(np.array([*pair, 1.0, *([0.1] if self.noise else [])])) for pair in STARTS]
        ends = [minimize(lambda u: tuple(-each for each in self(u)), u, jac=True, method="BFGS") for u in starts]
        u = min(ends, key=lambda end: end.fun).x
        for _ in range(4):
            u = u - np.linalg.solve(hessian(self, u), self(u)[1])
        value, gradient = self(u)
        if np.abs(gradient).max() > 1e-5:
            raise SystemExit(f"the dense likelihood has no maximum where it was searched: its gradient is {gradient}")
        return self.parameters(u), value


def hessian(
    function: Callable[[np.ndarray], tuple[float, np.ndarray]], u: np.ndarray, step: float = 1e-4
) -> np.ndarray:
    """Return the Hessian by central differences of the gradient."""
    sides = step * np.eye(len(u))
    rows = np.array([function(u + side)[1] - function(u - side)[1] for side in sides]) / (2.0 * step)
    return 0.5 * (rows + rows.T)


def main(seed: int) -> int:
    """Print the table; return how many fits miss the goal."""
    names = ("rho_vertical", "rho_horizontal", "tau", "noise_variance")
    print(
        f"{'model':<6}{'noise':<7}{'method':<8}{'':<8}" + "".join(f"{name:>15}" for name in names) + f"{'loglik':>15}"
        f"{'likelihoods':>13}{'seconds':>9}{'converged':>11}{'largest difference':>20}"
    )
    missed = 0
    for kind in TRUTH:
        for noise in (False, True):
            data = trial(kind, noise, seed)
            for method in ("ml", "reml"):
                began = time.perf_counter()
                model = {"CAR": CAR, "SAR": SAR}[kind]((0.1, 0.1))
                options = {"noise_variance": "estimate" if noise else None, "method": method, "tolerance": 1e-8}
                found = fit(model, data.yields, covariates=data.covariates, **options)
                seconds = time.perf_counter() - began
                dense, began = Dense(kind, data, noise, method), time.perf_counter()
                with threadpool_limits(1, user_api="blas"):
                    best, value = dense.maximum()
                estimates = np.array([found.parameters[name] for name in names[: len(best)]])
                difference = float(np.abs(estimates / best - 1.0).max())
                print(
                    f"{kind:<6}{'yes' if noise else 'none':<7}{method:<8}{'fit':<8}{row(estimates, found.loglik)}"
                    f"{found.evaluations:>13}{seconds:>9.2f}{found.converged!s:>11}{difference:>20.1e}"
                )
                print(
                    f"{'':<21}{'dense':<8}{row(best, value)}{dense.evaluations:>13}{time.perf_counter() - began:>9.2f}"
                )
                missed += difference > GOAL or not found.converged or abs(found.loglik - value) > GOAL
    print(f"\n{missed} of 8 fits have not converged, or differ by more than {GOAL:g}")
    return missed


def row(parameters: np.ndarray, loglik: float) -> str:
    """Return the numbers of a line."""
    told = "".join(f"{each:>15.9f}" for each in parameters) + " " * 15 * (4 - len(parameters))
    return f"{told}{loglik:>15.7f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=2)
    sys.exit(min(1, main(parser.parse_args().seed)))
