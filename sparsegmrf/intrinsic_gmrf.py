"""Intrinsic fields: a precision with a null space, and the density of what it identifies."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf import _frozen
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.factors._factor import Method
from sparsegmrf.factors._null_space import NullSpace
from sparsegmrf.factors._transforms import has_level
from sparsegmrf.factors.intrinsic import IntrinsicForm
from sparsegmrf.factors.intrinsic_spectral import SpectralIntrinsicForm
from sparsegmrf.factors.spectral import SpectralForm
from sparsegmrf.gmrf import GMRF
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import ArrayLike


@dataclass(frozen=True, eq=False, init=False, repr=False)
class IntrinsicGMRF(GMRF):
    """Field with a positive semi-definite precision ``Q`` that says nothing about the directions in its null space.

    With ``r`` null vectors (orthonormal, ``V``) and ``P = I - V V^T``:
    ``log p(x) = [-(n - r) log 2 pi + pdet(Q) - (x - mu)^T Q (x - mu)] / 2``, the density of ``P (x - mu)`` on its own
    space, where ``pdet`` is the sum of the logarithms of the positive eigenvalues. Draws are ``mu`` plus an image
    orthogonal to the null space, with covariance the pseudo-inverse ``Q^+``; variances and covariances are those.
    A lattice that falls apart into connected parts has the given null vectors on each part by itself.

    `whiten` gives ``n - r`` independent white numbers and zeros at ``r`` pinned pixels; ``A^T A = Q`` still holds.

    Parameters
    ----------
    precision : SymmetricStencil or SpectralForm
        ``Q`` in 1/intensity^2. A form that is zero at frequency zero and positive elsewhere has constants as its null
        space; a stencil that has such a form is taken by it.
    null_space : {"constants", "planes"} or array_like, (r, H, W) or (r, H, W, C)
        Images that span the null space: ``"constants"`` (one per channel), ``"planes"`` (also ``i`` and ``j``), or the
        images themselves. Each is taken by itself on every connected part; what depends there on those before it is
        left out.
    mean : float or array_like, (H, W) or (H, W, C)
        ``mu`` in intensity.
    method : str or callable
        How to factorize, as for `factorize`.
    domain : array_like of bool, (H, W) or (H, W, C), optional
        True where a pixel belongs to the field. The precision must not couple the others to it; they are held at the
        mean with variance zero and do not count.

    Raises
    ------
    StencilError
        If `precision` is neither.
    ArgumentError
        If the precision does not send the null space to zero, or `domain` cuts through couplings.
    NotPositiveDefiniteError
        When the factor is built, if the precision has a direction off the null space that is not positive.

    References
    ----------
    H. Rue, L. Held, Gaussian Markov Random Fields (2005), chapter 3. Their density, eq. 3.18, is the same.

    Examples
    --------
    >>> stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], (4, 4), boundary="neumann")
    >>> field = IntrinsicGMRF(stencil)
    >>> field.rank_deficiency, round(field.logdet, 9)
    (1, 14.289028007)
    >>> bool(abs(field.sample(rng=0).sum()) < 1e-12)
    True
    """

    _given: IntrinsicForm | SpectralIntrinsicForm

    def __init__(
        self,
        precision: SymmetricStencil | SpectralForm,
        null_space: "str | ArrayLike" = "constants",
        mean: ArrayLike = 0.0,
        method: Method = "auto",
        *,
        domain: ArrayLike | None = None,
    ) -> None:
        if not isinstance(precision, SymmetricStencil | SpectralForm):
            raise StencilError(
                f"precision must be a SymmetricStencil or SpectralForm, got {type(precision).__name__}; read a "
                "sparse array with SymmetricStencil.from_csr, and give a whitening matrix to GMRF.from_whitening."
            )
        super().__init__(_form(precision, null_space, method, domain), mean, method)

    def geometric_mean_variance(self) -> float:
        """Return the geometric mean of the marginal variances, in intensity^2: the typical variance of the field.

        Multiplying the precision by it makes the geometric mean 1, so that one prior for the precision parameter means
        the same on every lattice. Unknowns that the constraint fixes (variance zero) do not count.

        Raises
        ------
        ArgumentError
            If the constraint fixes every unknown.

        References
        ----------
        S. H. Sorbye, H. Rue (2014), Scaling intrinsic Gaussian Markov random field priors in spatial modelling, Spatial
        Statistics 8, eq. 7.

        Examples
        --------
        >>> path = SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], (1, 2), boundary="neumann")
        >>> field = IntrinsicGMRF(path)
        >>> round(field.geometric_mean_variance(), 12), round(field.scaled().geometric_mean_variance(), 12)
        (0.25, 1.0)
        """
        free = self._given.null.free().reshape(self.lattice.image_shape)
        if not free.any():
            raise ArgumentError(
                "the field has no pixel left free by its null space, so no variance to scale; use more pixels."
            )
        return float(np.exp(np.log(self.marginal_variance()[free]).mean()))

    def scaled(self) -> "IntrinsicGMRF":
        """Return the field with its precision multiplied by `geometric_mean_variance`, which then is 1."""
        return _frozen.make(
            IntrinsicGMRF,
            _lattice=self.lattice,
            _given=self._given.times(self.geometric_mean_variance()),
            _mean=self._mean,
            _method=self._method,
        )

    def __repr__(self) -> str:
        return (
            f"IntrinsicGMRF(shape={self.shape}, channels={self.channels}, rank_deficiency={self.rank_deficiency}, "
            f"method={self._method!r})"
        )


def _form(
    precision: SymmetricStencil | SpectralForm, null_space: "str | ArrayLike", method: Method, domain: ArrayLike | None
) -> IntrinsicForm | SpectralIntrinsicForm:
    """Return the precision as one fast transform takes it if it can and may, else with its null space."""
    may = (
        method in ("auto", "spectral") and domain is None and isinstance(null_space, str) and null_space == "constants"
    )
    if isinstance(precision, SpectralForm):
        if may:
            return SpectralIntrinsicForm(precision)
        precision = precision.stencil
    null = NullSpace.of(precision, null_space, domain)
    spectral = SpectralForm.of_stencil(precision) if may and null.rank == 1 else None
    if spectral is None or not has_level(spectral.basis):
        return IntrinsicForm(precision, null)
    return SpectralIntrinsicForm(spectral)
