"""Problems as tests ask for them."""

from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._problem import Problem
from sparsegmrf.likelihoods import Gaussian


def read(model, image, missing=None, noise="estimate", covariates="constant", method="ml", fixed=(), priors=None):
    """The problem with Gaussian noise."""
    return Problem.read(model, image, missing, Gaussian(noise), covariates, method, fixed, priors)


def searched(*arguments, **options):
    """The log-likelihood of a problem as a search sees it."""
    return Searched(read(*arguments, **options).objective)


class Searched(Memo):
    """What is remembered of an objective, with the objective's own attributes."""

    def __getattr__(self, name):
        return getattr(self.objective, name)

    def with_scale(self):
        return Searched(self.objective.with_scale())
