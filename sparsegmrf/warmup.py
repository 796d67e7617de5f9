"""Kernels compiled beforehand: small calls of every kind leave what the processes to come find compiled.

To be called where the image of a container is built, say. What is compiled is for the processor of the machine.
"""

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

import sparsegmrf
from sparsegmrf import kernels
from sparsegmrf._validate import one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.kernels import _first_use
from sparsegmrf.typing import FloatArray

__all__ = ["available_parts", "compile_kernels", "kernel_directory"]

_SIDE = 72
"""Side of images in pixels: more than a tile of a dissection."""


def compile_kernels(parts: Iterable[str] | None = None) -> int:
    """Make small calls of each part, so that its kernels are compiled and kept.

    Parameters
    ----------
    parts : iterable of str, optional
        Of `available_parts`; by default all of them.

    Returns
    -------
    int
        How many kernels were compiled, once for each combination of types; the others were there already.

    Raises
    ------
    ArgumentError
        If a part is not known, or its library is not installed; if kernels cannot be kept, since neither the package's
        folder nor the user's cache directory can be written and ``NUMBA_CACHE_DIR`` names none that can; or if
        compilation is switched off.

    Examples
    --------
    >>> compile_kernels(["stacks"]) >= 0
    True
    """
    known = available_parts()
    chosen = known if parts is None else tuple(one_of("parts", part, known) for part in parts)
    kernel_directory()
    before = _compiled()
    for part in chosen:
        _PARTS[part]()
    return _compiled() - before


def available_parts() -> tuple[str, ...]:
    """Return the parts whose libraries are installed: all but ``"sparse"`` and ``"torch"`` need none."""
    return tuple(part for part in _PARTS if part not in _NEEDS or importlib.util.find_spec(_NEEDS[part]) is not None)


def kernel_directory() -> Path:
    """Return where kernels are kept.

    Raises
    ------
    ArgumentError
        If they are not kept at all.
    """
    found = _first_use.all_kernels()
    if not found:
        raise ArgumentError("kernels must be compiled, but NUMBA_DISABLE_JIT=1 switches compilation off; unset it.")
    if not kernels.KEPT:
        raise ArgumentError(
            "compiled kernels must be kept, but neither the package's folder nor the user's cache directory can be "
            "written; set NUMBA_CACHE_DIR to a directory that can, here and for the processes to come."
        )
    return Path(found["triangular.multiply_rows"].stats.cache_path)


def _compiled() -> int:
    return sum(sum(kernel.stats.cache_misses.values()) for kernel in _first_use.all_kernels().values())


def _image(height: int = _SIDE, width: int = _SIDE) -> FloatArray:
    """Return smooth pixels with noise, a fifth of which are missing."""
    rng = np.random.default_rng(0)
    smooth = np.cumsum(np.cumsum(rng.standard_normal((height, width)), axis=0), axis=1)
    noisy: FloatArray = smooth / smooth.std() + 0.1 * rng.standard_normal(smooth.shape)
    noisy[rng.random(noisy.shape) < 0.2] = np.nan
    return noisy


def _fields() -> None:
    """Fill, with draws: fields on rings and of channels, factors in both precisions; take a matrix for a precision."""
    image = _image()
    for precision in ("double", "single"):
        sparsegmrf.fill(image, model=sparsegmrf.Matern(nu=2.0), n_samples=2, rng=0, precision=precision)
    sparsegmrf.fill(image)
    ring = sparsegmrf.Matern(range=3.0, boundary=("neumann", "torus"))
    ring.gmrf((9, 10)).tocsr()
    sparsegmrf.fill(image[:20, :24], model=ring, noise_variance=0.01, fixed=["range", "sigma"])
    colours = np.stack([image[:20, :24], image[:20, 24:48]], axis=-1)
    channels = sparsegmrf.Channels(sparsegmrf.Matern(range=3.0), [[1.0, 0.5], [0.5, 1.0]]).gmrf((20, 24))
    posterior = sparsegmrf.condition(channels, colours, noise_variance=0.01, mask="nan")
    posterior.sample(rng=0), posterior.marginal_variance()
    Q = sparsegmrf.CAR().gmrf((20, 24)).tocsr()
    sparsegmrf.GMRF.from_precision(Q, shape=(20, 24)).marginal_variance()


def _textures() -> None:
    """Fit a causal autoregression, whiten, draw, and take its precision."""
    image = _image(24, 24)
    image[np.isnan(image)] = 0.0
    result = sparsegmrf.autoregression.CausalAR.fit(image, support="nshp", radius=2)
    field = result.gmrf()
    blocks = sparsegmrf.TriangularStencil([(0, -1)], np.eye(2), [-0.5 * np.eye(2)], (8, 9), channels=2)
    of_channels = sparsegmrf.GMRF.from_whitening(blocks)
    draw = of_channels.sample(rng=0)
    of_channels.logpdf(draw), of_channels.tocsr()
    sparsegmrf.SymmetricStencil([(0, 0), (0, 1)], [4.0 * np.eye(2), -np.eye(2)], (8, 9), channels=2) @ draw
    field.whiten(image), field.sample(rng=0), field.logpdf(image), field.marginal_variance(), field.tocsr()
    image[2, 3:9] = np.nan
    sparsegmrf.autoregression.CausalAR.fit(image, method="yule_walker", mask="nan")


def _ensembles() -> None:
    """Fit fields to several images, complete and with gaps."""
    images = np.random.default_rng(0).standard_normal((12, 8, 9))
    sparsegmrf.ensembles.CholeskyField.fit(images, radius=1).gmrf().sample(rng=0)
    sparsegmrf.ensembles.SymmetricField.fit(images, offsets=[(0, 1), (1, 0)]).gmrf().sample(rng=0)
    images[0, 2, 3:5] = np.nan
    sparsegmrf.ensembles.CholeskyField.fit(images, radius=1, shrinkage=0.1)


def _pixels() -> None:
    """Make density images and anomaly maps."""
    colours = np.random.default_rng(0).standard_normal((24, 24, 3))
    fitted = sparsegmrf.pixels.PixelGaussian().fit(colours)
    fitted.log_density_image(colours)
    sparsegmrf.pixels.rx(colours)
    sparsegmrf.pixels.rx(colours, window=(3, 9))
    sparsegmrf.pixels.matched_filter(colours, np.ones(3))


def _stacks() -> None:
    """Fill images in time."""
    stack = np.stack([_image(12, 14) for _ in range(4)])
    stack[1, 3:6, 4:9] = np.nan
    sparsegmrf.fill(stack, dates=np.array([0.0, 3.0, 9.0, 20.0]), harmonics=None, n_samples=1, rng=0)


def _tiles() -> None:
    """Fill a raster tile by tile."""
    sparsegmrf.large.fill(
        _image(100, 110), model=sparsegmrf.Matern(range=5.0), noise_variance=0.01, core=60, halo=16, n_samples=1, rng=0
    )


def _sparse() -> None:
    """Take the factor and the variances of a sparse matrix that is no stencil."""
    stencil = sparsegmrf.SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (9, 10))
    sparsegmrf.factorize(stencil, method="cholmod").selected_inverse()


def _torch() -> None:
    """Take a training step, draw, and ask for deviations and conditional means."""
    from sparsegmrf.torch import _warmup  # of an optional library

    _warmup.call_each_operation()


_PARTS: Mapping[str, Callable[[], None]] = MappingProxyType(
    {
        "fields": _fields,
        "textures": _textures,
        "ensembles": _ensembles,
        "pixels": _pixels,
        "stacks": _stacks,
        "tiles": _tiles,
        "sparse": _sparse,
        "torch": _torch,
    }
)
_NEEDS = {"sparse": "sksparse", "torch": "torch"}
