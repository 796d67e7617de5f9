"""What a fit of a causal autoregression tells about itself."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf.typing import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class FitReport:
    """Estimates with their uncertainty and the likelihood they reach.

    An equation is a pixel whose whole neighbourhood is on the image and observed; the first rows and the border columns
    within the support's reach predict, but are not predicted.

    Attributes
    ----------
    method : str
        ``"least_squares"`` or ``"yule_walker"``.
    support : str
        Name of the support.
    offsets : ndarray, (K, 2)
        Offsets of the weights.
    weights : ndarray, (K,)
        Estimated weights.
    sigma : float
        Innovation standard deviation in intensity: the root of the mean squared residual (maximum likelihood) with
        least squares, the Yule-Walker value otherwise.
    mean : float
        Mean in intensity.
    covariance : ndarray, (K, K)
        Covariance of the estimated weights, ``s^2 (Z^T Z)^-1`` with ``Z`` the centred neighbours and
        ``s^2 = RSS / (n - K - 1)``; with Yule-Walker its asymptotic value ``sigma^2 R^-1 / n``.
    sigma_error : float
        Standard error of `sigma`, ``sigma / sqrt(2 n)``, which holds for Gaussian innovations.
    mean_error : float
        Standard error of `mean` by the delta method; large where the weights sum to almost 1.
    n_equations : int
        Number of equations ``n``.
    loglik : float
        Conditional Gaussian log-likelihood of the equations in nats.
    condition_number : float
        2-norm condition number of the correlation matrix of the neighbours.
    """

    method: str
    support: str
    offsets: IntArray
    weights: FloatArray
    sigma: float
    mean: float
    covariance: FloatArray
    sigma_error: float
    mean_error: float
    n_equations: int
    loglik: float
    condition_number: float

    @property
    def standard_errors(self) -> FloatArray:
        """Standard errors of the weights, ``(K,)``."""
        return np.sqrt(np.diagonal(self.covariance))

    @property
    def n_parameters(self) -> int:
        """Number of parameters ``k = K + 2``: the weights, `sigma` and `mean`."""
        return len(self.weights) + 2

    @property
    def loglik_per_pixel(self) -> float:
        """Log-likelihood per equation in nats."""
        return self.loglik / self.n_equations

    @property
    def nats_per_pixel(self) -> float:
        """Negative log-likelihood per equation; differences are what a lossless predictive coder saves per pixel."""
        return -self.loglik_per_pixel

    @property
    def aic(self) -> float:
        """Akaike's criterion ``2 k - 2 loglik``; smaller is better, on the same equations (`select_order`)."""
        return 2.0 * self.n_parameters - 2.0 * self.loglik

    @property
    def bic(self) -> float:
        """Schwarz's criterion ``k log n - 2 loglik``; smaller is better, on the same equations (`select_order`)."""
        return self.n_parameters * float(np.log(self.n_equations)) - 2.0 * self.loglik

    def summary(self) -> str:
        """Return a table of the weights with standard errors, and the fit's figures, as text."""
        lines = [f"causal autoregression, {self.support}, {self.method}, {self.n_equations} equations", ""]
        lines.append(f"{'offset':>10}{'weight':>14}{'std. error':>14}{'z':>10}")
        for (di, dj), weight, error in zip(self.offsets.tolist(), self.weights, self.standard_errors, strict=True):
            lines.append(f"{f'({di}, {dj})':>10}{weight:14.6f}{error:14.6f}{weight / error:10.1f}")
        lines.append(f"{'sigma':>10}{self.sigma:14.6g}{self.sigma_error:14.3g}")
        lines.append(f"{'mean':>10}{self.mean:14.6g}{self.mean_error:14.3g}")
        lines.append("")
        lines.append(
            f"log-likelihood per pixel {self.loglik_per_pixel:.6f} nats, AIC {self.aic:.2f}, BIC {self.bic:.2f}"
        )
        lines.append(f"condition number of the neighbours {self.condition_number:.3g}")
        return "\n".join(lines)
