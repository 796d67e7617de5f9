"""Gaussian Markov random field: a mean, a precision or its whitening matrix, and a factor built when it is needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import scipy.sparse as sp

from sparsegmrf import _frozen
from sparsegmrf._validate import (
    boolean_mask,
    finite,
    generator,
    images,
    integer_at_least,
    one_of,
    read_only,
    real_array,
    sample_size,
    whole_array,
)
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.factors import Factor, TriangularFactor, factorize
from sparsegmrf.factors._factor import Method
from sparsegmrf.factors._growth import check_growth
from sparsegmrf.factors._on_lattice import OnLattice
from sparsegmrf.factors.choose import REACH, Precision, method_for, null_vectors_of, read_precision, stencil_of
from sparsegmrf.factors.observed_whitening import whiten_by_precision, whiten_by_rows
from sparsegmrf.factors.restricted import RestrictedForm
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil, TriangularStencil
from sparsegmrf.stencil._from_cholesky import whitening_of_cholesky
from sparsegmrf.stencil._partial_correlation import partial_correlation
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray, Offset, Offsets, Seed, Shape

if TYPE_CHECKING:
    from scipy.stats import Covariance

_LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, eq=False, init=False, repr=False)
class GMRF(OnLattice):
    """Gaussian Markov random field ``x ~ N(mu, Q^-1)`` on an image.

    With ``Q = A^T A``: ``log p(x) = -n/2 log 2 pi + logdet(Q)/2 - |A (x - mu)|^2 / 2`` over the ``n`` unknowns of the
    domain; the others, such as pixels that are known, are at the mean in every draw and have no variance. Images are
    ``(..., H, W)``, or ``(..., H, W, C)`` with more than one channel; batch axes lead. The field cannot be changed; its
    factor is built at first use and kept; a pickled or copied field leaves it behind and builds its own.

    Parameters
    ----------
    precision : SymmetricStencil, TriangularStencil, Form or scipy sparse array
        ``Q`` in 1/intensity^2, or a `TriangularStencil` ``A`` in 1/intensity. The constructors `from_precision`,
        `from_whitening` and `from_cholesky` say which is meant.
    mean : float or array_like, (H, W) or (H, W, C)
        ``mu`` in intensity; with channels also one number per channel. Copied.
    method : str or callable
        How to factorize, as for `factorize`; also a subclass of `Factor`.
    shape : (int, int), optional
        Height and width in pixels; with a sparse array only.
    channels : int
        Unknowns per pixel of a sparse array.
    domain : array_like of bool, (H, W) or (H, W, C), optional
        True where a pixel is free. The precision must not couple the others to these; what it has there is not read.

    Raises
    ------
    ArgumentError
        If the mean has another shape or is not finite, the method is not known, `shape` is missing, or `domain` is
        empty or cuts through couplings.

    Examples
    --------
    >>> from sparsegmrf import GMRF, TriangularStencil
    >>> field = GMRF.from_whitening(TriangularStencil([(0, -1), (-1, 0)], 2.0, [-0.8, -0.8], (64, 64)), mean=10.0)
    >>> draw = field.sample(rng=0)
    >>> draw.shape, field.whiten(draw).shape, round(field.logdet, 3)
    ((64, 64), (64, 64), 5678.262)
    """

    _lattice: Lattice
    _given: Precision
    _mean: FloatArray
    _method: Method

    def __init__(
        self,
        precision: Precision,
        mean: ArrayLike = 0.0,
        method: Method = "auto",
        *,
        shape: Shape | None = None,
        channels: int = 1,
        domain: ArrayLike | None = None,
    ) -> None:
        given, lattice = read_precision(precision, shape, channels)
        if domain is not None:
            lattice = lattice.restricted(Lattice(lattice.shape, lattice.channels, domain).domain)
            given = RestrictedForm.of(stencil_of(given, lattice), lattice)
        _frozen.assign(
            self,
            _lattice=lattice,
            _given=given,
            _mean=checked_mean(mean, lattice),
            _method=method_for(given, method),
        )

    @classmethod
    def from_whitening(cls, A: TriangularStencil, mean: ArrayLike = 0.0) -> "GMRF":
        """Return the field that ``A (x - mu)`` makes white: ``Q = A^T A``.

        Parameters
        ----------
        A : TriangularStencil
            Whitening matrix in 1/intensity.
        mean : float or array_like, (H, W) or (H, W, C)
            ``mu`` in intensity.

        Raises
        ------
        StencilError
            If `A` is not a `TriangularStencil`.

        Examples
        --------
        >>> A = TriangularStencil([(0, -1)], 1.0, [-0.5], (1, 3))
        >>> GMRF.from_whitening(A).marginal_variance().tolist()
        [[1.0, 1.25, 1.3125]]
        """
        if not isinstance(A, TriangularStencil):
            raise StencilError(
                f"A must be a TriangularStencil, got {type(A).__name__}; a precision goes to GMRF.from_precision."
            )
        return cls(A, mean)

    @classmethod
    def from_cholesky(
        cls,
        diagonal: ArrayLike,
        weights: Sequence[ArrayLike] | FloatArray,
        offsets: Offsets,
        mean: ArrayLike = 0.0,
        *,
        shape: Shape | None = None,
        channels: int = 1,
        convention: Literal["LLt", "LtL"] = "LLt",
    ) -> "GMRF":
        """Return the field whose precision is made of the lower triangular matrix ``L``.

        ``"LLt"``: ``Q = L L^T``, as networks that predict Cholesky factors mean it. Pixel ``p`` holds *column* ``p`` of
        ``L``: ``L[p, p]`` and ``L[p + o_k, p]`` on later neighbours, so ``A = L^T`` and ``x = mu + L^-T e``.
        ``"LtL"``: ``Q = L^T L``. Pixel ``p`` holds *row* ``p`` of ``L``: ``L[p, p]`` and ``L[p, p + o_k]`` on earlier
        neighbours, so ``A = L`` and ``x = mu + L^-1 e``, a causal autoregression.

        Parameters
        ----------
        diagonal : float or array_like, (H, W)
            ``L[p, p]``, positive, in 1/intensity. With channels a ``(C, C)`` block or ``(H, W, C, C)`` plane of blocks,
            lower triangular.
        weights : sequence or array_like, (K, H, W)
            Per offset a number, plane, block or plane of blocks, in 1/intensity; blocks are those of ``L`` itself.
        offsets : sequence of (int, int)
            ``(di, dj)`` in pixels, later in raster order with ``"LLt"``, earlier with ``"LtL"``.
        mean : float or array_like, (H, W) or (H, W, C)
            ``mu`` in intensity.
        shape : (int, int), optional
            Height and width in pixels; taken from the planes if there are any.
        channels : int
            Unknowns per pixel.
        convention : {"LLt", "LtL"}
            Which product is the precision.

        Raises
        ------
        StencilError
            If the offsets are on the wrong side for the convention, or an array has the wrong shape.
        ArgumentError
            If the diagonal is not positive, a value is not finite, or the shape cannot be told.

        Examples
        --------
        >>> field = GMRF.from_cholesky(1.0, [0.3, 0.3], [(0, 1), (1, 0)], shape=(2, 2))
        >>> field.tocsr().toarray().round(2)[:2].tolist()
        [[1.0, 0.3, 0.3, 0.0], [0.3, 1.09, 0.09, 0.3]]
        """
        A = whitening_of_cholesky(diagonal, weights, offsets, shape, channels, convention)
        return cls(A, mean)

    @classmethod
    def from_precision(
        cls,
        Q: SymmetricStencil | sp.sparray | sp.spmatrix,
        shape: Shape | None = None,
        mean: ArrayLike = 0.0,
        method: Method = "auto",
        *,
        channels: int = 1,
        domain: ArrayLike | None = None,
    ) -> "GMRF":
        """Return the field with precision ``Q``.

        Parameters
        ----------
        Q : SymmetricStencil or scipy sparse array, (H*W*C, H*W*C)
            Precision in 1/intensity^2, positive definite. A sparse array that couples near pixels only is read as a
            stencil.
        shape : (int, int), optional
            Height and width in pixels; needed with a sparse array.
        mean : float or array_like, (H, W) or (H, W, C)
            ``mu`` in intensity.
        method : str or callable
            How to factorize, as for `factorize`.
        channels : int
            Unknowns per pixel of a sparse array.
        domain : array_like of bool, (H, W) or (H, W, C), optional
            True where a pixel is free, as for the class.

        Raises
        ------
        StencilError
            If `Q` is a `TriangularStencil`, or not symmetric.
        ArgumentError
            As for the class.

        Examples
        --------
        >>> Q = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (3, 3))
        >>> round(GMRF.from_precision(Q).logdet, 6)
        11.799454
        """
        if isinstance(Q, TriangularStencil):
            raise StencilError(
                "Q must be symmetric, got a TriangularStencil; a whitening matrix goes to GMRF.from_whitening."
            )
        return cls(Q, mean, method, shape=shape, channels=channels, domain=domain)

    @property
    def lattice(self) -> Lattice:
        """The pixel grid, with the domain of the field."""
        return self._lattice

    @cached_property
    def null_vectors(self) -> sp.csr_array:
        """Orthonormal null vectors of the precision as columns, ``(n, r)``; none of a proper field."""
        return null_vectors_of(self._given, self._lattice)

    @property
    def mean(self) -> FloatArray:
        """Mean as an image, in intensity; read-only."""
        return np.broadcast_to(self._mean, self.lattice.image_shape)

    def with_mean(self, mean: ArrayLike) -> "GMRF":
        """Return the field moved to another mean, ``x + (mean - mu)``; it shares a factor that is already made.

        Parameters
        ----------
        mean : float or array_like, (H, W) or (H, W, C)
            The new mean in intensity; with channels also one number per channel. Copied.

        Raises
        ------
        ArgumentError
            If the mean has another shape or is not finite.

        Examples
        --------
        >>> field = GMRF.from_whitening(TriangularStencil([(0, -1)], 1.0, [-0.5], (1, 3)))
        >>> moved = field.with_mean(10.0)
        >>> moved.mean.tolist(), bool(moved.logpdf([[10.0] * 3]) == field.logpdf([[0.0] * 3]))
        ([[10.0, 10.0, 10.0]], True)
        """
        return _frozen.make(type(self), **{**vars(self), "_mean": checked_mean(mean, self.lattice)})

    @property
    def method(self) -> Method:
        """Method by which the precision is factorized."""
        return self._method

    @property
    def given(self) -> Precision:
        """What the field was made of: a precision, its whitening matrix, or a form that `factorize` takes."""
        return self._given

    @property
    def whitening(self) -> TriangularStencil | None:
        """Whitening matrix ``A`` if the field was given by one, else None."""
        return self._given if isinstance(self._given, TriangularStencil) else None

    @cached_property
    def precision(self) -> SymmetricStencil:
        """Precision ``Q`` as a stencil, in 1/intensity^2."""
        return stencil_of(self._given, self.lattice)

    @cached_property
    def factor(self) -> Factor:
        """Factor of the precision, built at first use."""
        return factorize(self._given, self._method, shape=self.shape, channels=self.channels)

    def __getstate__(self) -> dict[str, object]:
        """Return what a pickled or copied field takes along: not the factor, which may live in a C library."""
        return {name: value for name, value in self.__dict__.items() if name != "factor"}

    @property
    def logdet(self) -> float:
        """Log-determinant of ``Q``, in nats."""
        return self.factor.logdet

    def tocsr(self) -> sp.csr_array:
        """Return the precision as a CSR array with sorted indices."""
        return sp.csr_array(self._given, copy=True) if sp.issparse(self._given) else self.precision.tocsr()

    def logpdf(self, x: ArrayLike) -> FloatArray | float:
        """Return the log-density of images, in nats.

        Parameters
        ----------
        x : array_like, (..., H, W) or (..., H, W, C)
            Images in intensity, all values finite.

        Returns
        -------
        float or ndarray
            One number per image; a float for a single image.

        Raises
        ------
        ArgumentError
            If `x` has another shape or a value is NaN or infinite.
        """
        deviation = self._deviation(x)
        batch = deviation.shape[: deviation.ndim - len(self.lattice.image_shape)]
        squares = self.factor.squares(read_only(deviation.reshape(-1, self.lattice.size)))
        density = 0.5 * (self.logdet - self.rank * _LOG_2PI - squares)
        return density.reshape(batch) if batch else float(density[0])

    def whiten(self, x: ArrayLike, mask: ArrayLike | Literal["nan"] | None = None) -> FloatArray:
        """Return ``A (x - mu)``: white with unit variance where `x` is a draw.

        Of images with missing pixels the observed ones are whitened, exactly: ``L_oo^T (x_o - mu_o)`` with ``L_oo
        L_oo^T = S_oo^-1`` their precision, as many independent standard normals as pixels, whose squares sum to the
        quadratic form in their density. Where the field is given by its whitening matrix, such as an autoregression,
        each row of ``A`` that touches no missing pixel keeps its value.

        Parameters
        ----------
        x : array_like, (..., H, W) or (..., H, W, C)
            Images in intensity, finite where observed.
        mask : ndarray of bool, (H, W) or (H, W, C), or "nan", optional
            **True where a pixel is missing** in all images; ``"nan"`` stands for ``np.isnan(x)``, which must then be
            the same for all. It takes a general sparse factorization of the unknowns, of a field given by its whitening
            matrix only of those near missing ones.

        Returns
        -------
        ndarray
            The shape of `x`; NaN where missing.

        Raises
        ------
        ArgumentError
            If `x` has another shape, an observed value is NaN or infinite, or every pixel is missing; with missing
            pixels also if the field is intrinsic or under constraints.
        """
        missing = None if mask is None else self._missing(x, mask)
        if missing is None or not missing.any():
            return self.factor.whiten(self._deviation(x))
        if self.rank < self.lattice.n_free:
            raise ArgumentError(
                "mask must be None with a field that is intrinsic or under constraints, whose observed pixels have no "
                "proper precision; condition it on them instead."
            )
        deviation = self._deviation(np.where(missing, self.mean, real_array("x", x)))
        out, flat = self.lattice.outside, deviation.reshape(-1, self.lattice.size)
        reach = REACH if sp.issparse(self._given) else int(np.abs(self.precision.offsets).max())
        if self.whitening is not None:
            white = whiten_by_rows(self.whitening.tocsr(), self.lattice, reach, missing.ravel(), flat)
        else:
            white = whiten_by_precision(self.tocsr(), self.lattice, reach, missing.ravel(), np.where(out, 0.0, flat))
        return np.where(missing, np.nan, white.reshape(deviation.shape))

    def unwhiten(self, e: ArrayLike) -> FloatArray:
        """Return ``mu + A^-1 e``: a draw of the field where `e` is white with unit variance."""
        result = self.factor.unwhiten(e)
        if self._mean.any():
            result += self._mean
        return result

    def sample(self, size: int | tuple[int, ...] | None = None, rng: Seed = None, burn_in: int = 0) -> FloatArray:
        """Draw ``mu + A^-1 e`` with white ``e``; the same seed gives the same draw for any number of threads.

        Parameters
        ----------
        size : int or tuple of int, optional
            Batch shape; by default a single image.
        rng : int, Generator or None
            Seed, or a generator whose state moves on; None takes fresh entropy.
        burn_in : int
            Margin in pixels that is drawn and thrown away, on the sides where neighbours are off the image: a recursion
            that starts from the mean is not stationary there. For homogeneous whitening matrices only.

        Returns
        -------
        ndarray, (*size, H, W) or (*size, H, W, C)

        Raises
        ------
        ArgumentError
            If `size`, `rng` or `burn_in` is no such thing, or `burn_in` is positive for another kind of field.
        UnstableError
            If the recursion overflows; the message has its `TriangularFactor.contraction`.

        Warns
        -----
        UnstableWarning
            If the draw is so large that whitening it again loses more than six digits behind the point.

        Examples
        --------
        >>> field = GMRF.from_whitening(TriangularStencil([(0, -1), (-1, 0)], 1.0, [-0.4, -0.4], (8, 9)))
        >>> field.sample(size=(2, 3), rng=1, burn_in=50).shape
        (2, 3, 8, 9)
        """
        batch = sample_size(size)
        stream = generator(rng)
        margin = integer_at_least("burn_in", burn_in, 0)
        factor, inside = self._with_margin(margin) if margin else (self.factor, ())
        draw = np.empty((*batch, *factor.lattice.image_shape))
        draw = factor.draw_vectors(stream, draw.reshape(-1, factor.lattice.size)).reshape(draw.shape)
        if margin:
            draw = np.ascontiguousarray(draw[(..., *inside, *(() if self.channels == 1 else (slice(None),)))])
        check_growth("the draw", "values", factor, draw)
        if self._mean.any():
            draw += self._mean
        return draw

    def marginal_variance(self) -> FloatArray:
        """Return the variance of every pixel as an image, in intensity^2.

        Raises
        ------
        UnstableError
            If the recursion of a whitening matrix overflows.

        Warns
        -----
        UnstableWarning
            If variances are so large that digits are lost.
        """
        variance = self.factor.marginal_variance()
        check_growth("the field", "standard deviations", self.factor, np.sqrt(variance))
        return variance

    def covariance_with(self, pixel: tuple[int, int], channel: int = 0) -> FloatArray:
        """Return the covariance of every pixel with one pixel as an image, in intensity^2.

        Parameters
        ----------
        pixel : (int, int)
            Row and column.
        channel : int
            Which unknown of that pixel.

        Raises
        ------
        ArgumentError
            If the pixel or channel is not on the image.
        """
        return self.factor.covariance_with(pixel, channel)

    def partial_correlation(self, offset: Offset) -> FloatArray:
        """Return the correlation of each pixel with a neighbour, given all others: ``-Q[p,q] / sqrt(Q[p,p] Q[q,q])``.

        A positive one attracts, a negative one repels.

        Parameters
        ----------
        offset : (int, int)
            ``(di, dj)`` of the neighbour ``q = p + offset`` in pixels, on either side.

        Returns
        -------
        ndarray, (H, W) or (H, W, C, C)
            Zero where the neighbour is off the image, and everywhere for an offset that is not in the stencil. A pixel
            with itself (offset ``(0, 0)``) has 1.

        Raises
        ------
        ArgumentError
            If `offset` is not a pair of integers, or the field lives on a torus narrower than twice its stencil.
        """
        return partial_correlation(self.precision, offset)

    def entropy(self) -> float:
        """Return the differential entropy ``n/2 (1 + log 2 pi) - logdet(Q)/2``, in nats."""
        return 0.5 * (self.rank * (1.0 + _LOG_2PI) - self.logdet)

    def covariance_object(self) -> "Covariance":
        """Return ``Q^-1`` as a `scipy.stats.Covariance` for `scipy.stats.multivariate_normal`; images are flattened.

        Raises
        ------
        ArgumentError
            If it is singular: of an intrinsic field, with known pixels, or under constraints.
        """
        from sparsegmrf.factors.scipy_covariance import covariance_object  # importing scipy.stats takes long

        return covariance_object(self.factor)

    def __repr__(self) -> str:
        kind = type(self._given).__name__
        return f"GMRF({kind}, shape={self.shape}, channels={self.channels}, method={self._method!r})"

    def _deviation(self, x: ArrayLike) -> FloatArray:
        """Return images, all values finite, less the mean."""
        array = images("x", x, self.lattice.image_shape)
        finite("x", array, "a field has no missing pixels: condition it on the observed ones, or fill the gaps first")
        return array - self._mean if self._mean.any() else array

    def _missing(self, x: ArrayLike, mask: ArrayLike | Literal["nan"]) -> BoolArray:
        """Return where unknowns are missing in all of some images."""
        shape = self.lattice.image_shape
        if isinstance(mask, str):
            one_of("mask", mask, ("nan",))
            array = np.isnan(images("x", x, shape)).reshape(-1, *shape)
            if (array != array[:1]).any():
                raise ArgumentError("mask must be given where images miss different pixels; whiten them one by one.")
            missing: BoolArray = array[0]
        else:
            given = whole_array("mask", mask)
            missing = boolean_mask("mask", given, self.shape if given.ndim == 2 else shape)
            missing = np.array(np.broadcast_to(missing if missing.shape == shape else missing[..., np.newaxis], shape))
        if missing.all():
            raise ArgumentError(f"mask must leave a pixel observed, but all {missing.size} are missing.")
        return missing

    def _with_margin(self, margin: int) -> tuple[Factor, tuple[slice, slice]]:
        """Return the factor on an image larger by `margin`, and where this image lies on it."""
        A = self.whitening
        if A is None or not A.is_homogeneous:
            kind = "a precision" if A is None else "weights that differ between pixels"
            raise ArgumentError(
                f"burn_in must be 0 for a field given by {kind}, got {margin}: nothing says how it goes on "
                "beyond the image."
            )
        top, left = (margin * int(reaches) for reaches in np.any(A.offsets < 0, axis=0).tolist())
        bottom, right = (margin * int(reaches) for reaches in np.any(A.offsets > 0, axis=0).tolist())
        height, width = A.shape
        larger = TriangularStencil(
            A.offsets,
            A.diagonal,
            [A.weight(k) for k in range(len(A.offsets))],
            (top + height + bottom, left + width + right),
            channels=A.channels,
        )
        return TriangularFactor(larger), (slice(top, top + height), slice(left, left + width))


def checked_mean(mean: ArrayLike, lattice: Lattice) -> FloatArray:
    """Return a read-only copy of a number, an image, or one number per channel."""
    array = np.array(finite("mean", real_array("mean", mean), "a field has a mean at every pixel"))
    per_channel = [(lattice.channels,)] if lattice.channels > 1 else []
    if array.shape not in [(), lattice.image_shape, *per_channel]:
        raise ArgumentError(
            f"mean must be a number or an image of shape {lattice.image_shape}, got shape {array.shape}; transpose or "
            "crop it to the field."
        )
    array.flags.writeable = False
    return array
