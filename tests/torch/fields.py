"""Random fields for the tests of the torch interface, and the same as dense normals."""

import numpy as np

from sparsegmrf.torch import CholeskyGMRF
from tests.cholesky_factors import dense
from tests.conftest import require

torch = require("torch")


def field(batch=(), channels=1, shape=(3, 4), radius=1, dtype=None, coupled=True, scale=0.3, seed=0, **arguments):
    """A field that is no contraction in general; every parameter has the whole batch shape."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*size):
        return torch.randn(*batch, *size, *shape, dtype=torch.float64, generator=generator)

    pairs = channels * (channels - 1) // 2
    parameters = [normal(channels), 0.3 * normal(channels), scale * normal(channels, 2 * radius * (radius + 1))]
    parameters.append(normal(pairs) if coupled else None)
    parameters = [part if part is None else part.to(dtype or torch.float64) for part in parameters]
    return CholeskyGMRF(*parameters, radius=radius, **arguments)


def rows(images):
    """``(..., C, H, W)`` as ``(..., n)``, pixel-major, channel fastest."""
    return images.movedim(-3, -1).flatten(-3)


def images(vectors, like):
    """The inverse of `rows` for the event shape of a field."""
    channels, height, width = like.event_shape
    return vectors.unflatten(-1, (height, width, channels)).movedim(-1, -3)


def factor_of(p):
    """``L``, ``(*batch, n, n)`` in float64."""
    parts = [part.detach().double().numpy() for part in (p.log_diag.exp(), p.off_diag, p.cross)]
    size = int(np.prod(p.event_shape))
    Ls = np.empty((*p.batch_shape, size, size))
    for index in np.ndindex(*p.batch_shape):
        Ls[index] = dense(*(part[index] for part in parts))
    return torch.from_numpy(Ls)


def dense_normal(p):
    """The same distribution on vectors, by torch's own dense class, in float64."""
    L = factor_of(p)
    return torch.distributions.MultivariateNormal(rows(p.loc.double()), precision_matrix=L @ L.mT)
