"""The law of an image of several channels, densely, and one of each kind of model of them."""

from functools import cached_property

import numpy as np

from sparsegmrf.models import CAR, SAR, AR1xAR1, Channels, Matern, Sum, TensionSpline
from tests import reference

SHAPE = (5, 6)
TWO = np.array([[1.0, 0.6], [0.6, 0.8]])
OTHER = np.array([[0.5, -0.2], [-0.2, 0.4]])
THREE = np.array([[1.0, 0.8, 0.3], [0.8, 2.0, 0.1], [0.3, 0.1, 0.5]])
RANGE = np.random.default_rng(0).uniform(3.0, 6.0, SHAPE)
COARSE, FINE = Channels(Matern(5.0, 1.2), TWO), Channels(CAR(0.15, tau=2.0), OTHER)

CHANNELS = {
    "CAR": Channels(CAR(0.2), THREE),
    "CAR of a pair": Channels(CAR((0.3, 0.1), tau=2.0), TWO),
    "SAR": Channels(SAR(0.1, tau=2.0), THREE),
    "Matern": Channels(Matern(4.0, 1.5), TWO),
    "Matern 2": Channels(Matern(4.0, 1.5, 2), TWO),
    "Matern torus": Channels(Matern(4.0, boundary="torus"), TWO),
    "Matern map": Channels(Matern(RANGE, 2.0), TWO),
    "TensionSpline": Channels(TensionSpline(0.5, proper=0.1), TWO),
    "AR1xAR1": Channels(AR1xAR1(0.6, -0.3), TWO),
}
SUMS = {
    "two scales": Sum([COARSE, FINE], labels=["coarse", "fine"]),
    "weights": Sum([FINE, COARSE], observation=[-0.5, 2.0]),
    "three fields": Sum([COARSE, Channels(SAR(0.1), TWO), FINE]),
    "three channels": Sum([Channels(Matern(4.0), THREE), Channels(Matern(2.0, nu=2), 0.3 * np.eye(3))]),
    "torus": Sum([Channels(Matern(4.0, boundary="torus"), TWO), Channels(CAR(0.2, boundary="torus"), OTHER)]),
    "maps": Sum([Channels(Matern(RANGE, 2.0), TWO), FINE]),
    "one field": Sum([COARSE]),
}


class ChannelLaw:
    """A model of channels on a lattice, by its dense covariance; what is seen has noise, gaps and a trend."""

    def __init__(self, model, shape=SHAPE):
        self.model, self.shape = model, shape
        self.members = model.members if isinstance(model, Sum) else (model,)
        self.weights = model.observation if isinstance(model, Sum) else np.ones(1)
        self.channels = len(self.members[0].covariance)

    @cached_property
    def covariance(self):
        """``sum_r w_r^2 Q_r^-1 (x) S_r``, channels fastest."""
        parts = zip(self.weights, self.members, strict=True)
        inverse = [
            (w * w, np.linalg.inv(m.model.stencil(self.shape).tocsr().toarray()), m.covariance) for w, m in parts
        ]
        return sum(square * np.kron(K, S) for square, K, S in inverse)

    def given(self, y, observed, noise, covariates):
        """Log-density, mean and covariance of field and trend at every value, and coefficients."""
        D = np.kron(covariates.reshape(len(covariates), self.shape[0] * self.shape[1]).T, np.eye(self.channels))
        noise = np.broadcast_to(noise, y.shape).ravel()[observed.ravel()]
        return reference.gaussian_given(self.covariance, y.ravel(), observed.ravel(), noise, D)
