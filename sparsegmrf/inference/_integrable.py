"""What fits whose parameters can be integrated over have."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Literal

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf.inference._integrate import IntegratedFit, integrate
from sparsegmrf.inference._log_posterior import LogPosterior
from sparsegmrf.inference._parameter_density import ParameterDensity
from sparsegmrf.inference._problem import Problem


class Integrable(ABC):
    """The posterior of the parameters of a fit."""

    problem: Problem

    @one_blas_thread()
    def integrate(self, *, strategy: Literal["auto", "grid", "ccd"] = "auto") -> IntegratedFit:
        """Return the posterior of the parameters, and with it pixels whose parameters are not taken as known.

        The density of the working parameters (logarithms of what is positive) is the restricted likelihood, in which
        the trend is integrated out, times the `priors` of the fit; without a prior a working number is **flat**. It is
        explored as by R-INLA: from its mode and curvature in standardized coordinates, whose axes are stretched by what
        the density loses on either side.

        Parameters
        ----------
        strategy : {"auto", "grid", "ccd"}
            ``"grid"``: the density at the points of a grid where it is within 7 nats of the mode, and cubics between:
            some 15, 150, 1,000 likelihoods of a small image for one, two, three parameters, and densities of parameters
            that are exact to a percent. ``"ccd"``: a central composite design, 9, 15, 25, 27 points for two to five
            parameters; densities of parameters are then those of independent split normal coordinates, some percent
            off where an image tells little. ``"auto"`` takes the grid for up to two parameters, and for three of images
            of up to 1,024 pixels.

        Returns
        -------
        IntegratedFit

        Raises
        ------
        ArgumentError
            If nothing was estimated, the density has no maximum, or it does not end: a flat prior leaves it without an
            integral where the image hardly tells a parameter from an end of its interval.

        References
        ----------
        H. Rue, S. Martino, N. Chopin (2009), Approximate Bayesian inference for latent Gaussian models, JRSS B 71,
        sections 3.1 and 6.5.

        Examples
        --------
        >>> from sparsegmrf import Matern, fit
        >>> from sparsegmrf.priors import PCRange, PCSigma
        >>> image = Matern(range=5.0).gmrf((16, 16)).sample(rng=1)
        >>> priors = {"range": PCRange(3.0, 0.05), "sigma": PCSigma(3.0, 0.05)}
        >>> found = fit(Matern(), image, noise_variance=None, priors=priors).integrate()
        >>> low, high = found.densities["range"].interval(0.95)
        >>> found.strategy, low < 5.0 < high
        ('grid', True)
        """
        height, width = self.problem.shape
        return integrate(self._log_posterior(), len(self.problem.images) * height * width, strategy)

    @cached_property
    def posterior_parameters(self) -> dict[str, ParameterDensity]:
        """Posterior density of every parameter, by `integrate` at first use.

        Each has ``values`` and ``density`` to plot, ``mean``, ``std``, ``median``, ``quantile`` and ``interval``.
        """
        return self.integrate().densities

    @abstractmethod
    def _log_posterior(self) -> LogPosterior:
        """Return the density of the working parameters given the observations."""
