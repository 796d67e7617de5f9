"""The exact likelihood, means, variances and draws of a raster beyond memory: a Schur tree."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from sparsegmrf import _libraries, _memory, _threads
from sparsegmrf._axes import is_labelled
from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._validate import finite_number, integer_at_least
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.dissection._subtree import plan_subtree
from sparsegmrf.inference._labels import Labels
from sparsegmrf.large._arguments import check_known, check_model, check_scratch
from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._geometry import Window, windows_of
from sparsegmrf.large._lazy import is_lazy
from sparsegmrf.large._noise import Normals
from sparsegmrf.large._posterior import Posterior
from sparsegmrf.large._raster import Raster, Reader
from sparsegmrf.large._tree_plan import TreePlan
from sparsegmrf.large._tree_run import (
    End,
    Here,
    Images,
    TreeResult,
    down,
    known_prior,
    loglik_of,
    needs_tree_of_prior,
    of_prior,
    prior_by_tree,
    result_of,
    up,
)
from sparsegmrf.large._tree_tasks import Setting, Sums
from sparsegmrf.large._trend import Trend
from sparsegmrf.models import Model
from sparsegmrf.typing import ArrayLike, IntArray, Seed

_BLOCK = 1024
"""Side in pixels of the windows in which the raster is read once for the trend, and maps for their pattern."""
_IMAGES = 24
"""Numbers per pixel of a tile besides its factor and coefficients, for images and what is read."""


class SchurTree:
    r"""The precision of a field given a raster of observations, factorized tile by tile without keeping the factor.

    The dissection of the raster is cut where its rectangles have at most ``tile^2`` pixels. A tile is factorized by
    itself and leaves what it adds to the precision of the pixels around it, its Schur complement; pairs are merged up
    to the whole raster. The way back factorizes the tiles again, given covariance and solution around them. Everything
    is exact up to rounding: it is the factorization of `sparsegmrf.factors.DissectionFactor`, in the same order.

    Parameters
    ----------
    model : Model
        One field, or a `Sum`, that does not wrap, parameters as they are.
    y : array_like, (H, W), function or dask array
        Observations, as `image` of `fill`. Of a ``DataArray`` the results of `condition` keep the labels.
    noise_variance : float, array_like (H, W), or function
        Positive, in intensity^2.
    shape, mask
        As for `fill`.
    mean : float
        Of the field, in intensity; of an intrinsic field it does not matter.
    covariates : "linear", "constant" or None
        Trend to be estimated, as for `fill`; None with a dask array.
    tile : int
        Side of a tile in pixels. Results depend on it by rounding only.
    scratch : path, optional
        Folder for what waits: separators' columns of the factor, fronts, and the raster's images, results included.

    Raises
    ------
    ArgumentError
        If an argument is not as above.

    References
    ----------
    A. George, Nested dissection of a regular finite element mesh, SIAM J. Numer. Anal. 10 (1973) 345-363; I. S. Duff
    and J. K. Reid, The multifrontal solution of indefinite sparse symmetric linear equations, ACM TOMS 9 (1983)
    302-325; J. K. Reid and J. A. Scott, An out-of-core sparse Cholesky solver, ACM TOMS 36 (2009) 9.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsegmrf.models import Matern
    >>> model = Matern(range=6.0, sigma=2.0)
    >>> y = model.gmrf((60, 50)).sample(rng=0)
    >>> y[20:30, 20:30] = np.nan
    >>> tree = SchurTree(model, y, noise_variance=0.01, tile=24)
    >>> result = tree.condition(gradient=True)
    >>> result.n_tiles, sorted(result.gradient)
    (8, ['noise_variance', 'range', 'sigma'])
    >>> bool(abs(tree.loglik() - result.loglik) < 1e-6)
    True
    """

    def __init__(
        self,
        model: Model,
        y: ArrayLike | Reader,
        *,
        noise_variance: ArrayLike | Reader,
        shape: tuple[int, int] | None = None,
        mask: ArrayLike | Reader | Literal["nan"] = "nan",
        mean: float = 0.0,
        covariates: Literal["linear", "constant"] | None = None,
        tile: int = 512,
        scratch: str | os.PathLike[str] | None = None,
    ) -> None:
        check_model(model)
        check_known(noise_variance)
        check_scratch(scratch)
        tile, level = integer_at_least("tile", tile, 1), finite_number("mean", mean)
        self._scratch = scratch
        self._data: Any = getattr(y, "data", y) if is_lazy(y) else None
        self._labels = Labels.of(y) if is_labelled(y) else None
        raster = Raster.of(y, shape, mask, noise_variance)
        cuts = Cuts.of(model, raster.shape)
        if self._data is None:
            trend = Trend.of(covariates, cuts.model, raster, list(windows_of(raster.shape, _BLOCK)), level)
        else:
            _check_lazy(mask, raster, covariates)
            raster = Raster(raster.shape, _unread, None, raster.variance)  # tasks are given what they see
            trend = Trend.asked(None, cuts.model, raster.shape, level)
        self._posterior, self._trend = Posterior(cuts, raster), trend
        self.plan = TreePlan.of(raster.shape, _offsets_of(cuts), cuts.channels, tile)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the raster."""
        return self.plan.shape

    @one_blas_thread()
    def loglik(self) -> float:
        """Return the exact log-density of the observations, at the estimated trend if there is one, in nats.

        Without a trend the way back is not needed.

        Raises
        ------
        ArgumentError
            If the field is intrinsic and no transform knows its determinant.
        TooLargeError
            If what has to be in memory at once does not fit.
        NotPositiveDefiniteError
            If the observations do not fix the field.
        """
        self._check_loglik()
        if self._trend.names:
            found = self.condition().loglik
            assert found is not None
            return found
        setting = self._setting(0, None, gradient=False)
        self._refuse_beyond_memory(kept=False)
        here, seen = Here(self._scratch), [None] * len(self.plan.nodes)
        sums, _ = up(self.plan, setting, here, self._blocks(), keep=False)
        prior = known_prior(self._posterior, derivatives=False)
        if prior is None:
            own = of_prior(setting)
            prior = prior_by_tree(own, up(self.plan, own, here, seen, keep=False)[0], [])
        return loglik_of(setting, sums, sum(Sums(*each).explained for each in sums), prior)

    @one_blas_thread()
    def condition(self, *, n_samples: int = 0, rng: Seed = None, gradient: bool = False) -> TreeResult:
        """Return the field given the observations.

        Parameters
        ----------
        n_samples : int
            Number of draws, for which the model must have rows.
        rng : int, Generator or None
            Seed of the draws. Their normals belong to pixels of the raster, as those of `fill`.
        gradient : bool
            Whether the derivatives of the log-likelihood are wanted.

        Returns
        -------
        TreeResult

        Raises
        ------
        ArgumentError, TooLargeError, NotPositiveDefiniteError
            As by `loglik`, the first with ``gradient=True`` alone; and if there are no rows for draws.
        """
        setting = self._setting(integer_at_least("n_samples", n_samples, 0), rng, gradient=gradient)
        self._refuse_beyond_memory(kept=True)
        here = Here(self._scratch, self.plan.panel_bytes // 8)
        images = Images(setting, self._scratch)
        sums, kept = up(self.plan, setting, here, self._blocks(), keep=True)
        down(self.plan, setting, here, self._blocks(), kept, images.take)
        prior = known_prior(self._posterior, derivatives=gradient)
        if prior is None and needs_tree_of_prior(self._posterior):
            prior = self._prior(of_prior(setting), here)
        result = result_of(self.plan, setting, sums, images, prior, self._scratch)
        return result if self._labels is None else _labelled(result, self._labels)

    def delayed(self, *, n_samples: int = 0, rng: Seed = None, gradient: bool = False) -> Any:
        """Return what `condition` does as a graph of named tasks of dask, to be computed by any of its schedulers.

        Every task runs in one thread and only returns what it makes; fronts are handed from task to task, and kept,
        spilled and freed by the scheduler. A raster that is no dask array goes with the tasks, or is read by them.

        Parameters
        ----------
        n_samples, rng, gradient
            As of `condition`.

        Returns
        -------
        dask.delayed.Delayed
            Of a `TreeResult`.
        """
        setting = self._setting(integer_at_least("n_samples", n_samples, 0), rng, gradient=gradient)
        delayed = _libraries.library("dask").delayed
        token = os.urandom(6).hex()

        def call(name: str, number: int, function: Any, *arguments: Any) -> Any:
            key = f"gmrf-{name}-{token}-{number}"
            return delayed(_Alone(function), pure=False)(*arguments, dask_key_name=key)

        shared = delayed(setting, name=f"gmrf-setting-{token}", traverse=False)
        blocks = self._blocks()
        founds: list[Any] = []
        sums, kept = up(self.plan, shared, call, blocks, keep=True)
        down(self.plan, shared, call, blocks, kept, lambda node, found: founds.append(found))
        own: tuple[list[Any], list[Any]] = [], []
        if needs_tree_of_prior(self._posterior):
            of_field = delayed(of_prior(setting), name=f"gmrf-field-{token}", traverse=False)

            def call_prior(name: str, number: int, function: Any, *arguments: Any) -> Any:
                return call(f"field-{name}", number, function, *arguments)

            nothing = [None] * len(self.plan.nodes)
            prior_sums, prior_kept = up(self.plan, of_field, call_prior, nothing, keep=gradient)
            own = prior_sums, []
            if gradient:
                down(self.plan, of_field, call_prior, nothing, prior_kept, lambda node, found: own[1].append(found))
        return call("collect", 0, _collect, self.plan, shared, sums, founds, *own)

    def _prior(self, setting: Setting, here: Here) -> Any:
        nothing = [None] * len(self.plan.nodes)
        sums, kept = up(self.plan, setting, here, nothing, keep=setting.derivatives)
        ends: list[End] = []
        if setting.derivatives:
            down(self.plan, setting, here, nothing, kept, lambda node, found: ends.append(End(*found[2:])))
        return prior_by_tree(setting, sums, ends[::-1])

    def _setting(self, count: int, rng: Seed, *, gradient: bool) -> Setting:
        if count:
            self._posterior.cuts.check_rows()
        if gradient:
            self._check_loglik()
        plan = self.plan
        return Setting(
            self._posterior, plan.offsets, plan.leaf_pixels, self._trend, Normals(rng), count, derivatives=gradient
        )

    def _check_loglik(self) -> None:
        if not self._knows_prior:
            raise ArgumentError(
                f"model must have a determinant, got {type(self._posterior.cuts.model).__name__} here, an intrinsic "
                "field of which no transform knows it; take one without mask, barrier and maps, of order 1, or a "
                "proper one."
            )

    @cached_property
    def _knows_prior(self) -> bool:
        return known_prior(self._posterior, derivatives=False) is not None or needs_tree_of_prior(self._posterior)

    def _blocks(self) -> Sequence[Any]:
        """Return what each node sees of a dask array; None where tasks read the raster themselves."""
        if self._data is None:
            return [None] * len(self.plan.nodes)
        return [self._data[node.window.slices] for node in self.plan.nodes]

    def _refuse_beyond_memory(self, *, kept: bool) -> None:
        """Refuse what does not fit; `kept` says whether separators' columns are."""
        plan, channels = self.plan, self.plan.channels
        largest = max((node.key for node in plan.leaves), key=lambda key: (key[0] * key[1], sum(key[2:])))
        images = (_IMAGES + 2 * len(plan.offsets) * channels) * channels * largest[0] * largest[1]
        of_leaf = plan_subtree(largest, plan.offsets, channels).peak_bytes + 8 * images
        panels = plan.panel_bytes if kept and self._scratch is None else 0
        _memory.refuse_if_too_large(
            plan.front_bytes + panels + of_leaf,
            f"a Schur tree of {self.shape[0]} x {self.shape[1]} pixels in {len(self.plan.leaves)} tiles",
            "give scratch=, a folder for what waits, or smaller tiles",
        )


@dataclass(frozen=True)
class _Alone:
    """A function that is run as a task of the package's own: what it starts runs in its own thread."""

    function: Any

    def __call__(self, *arguments: Any) -> Any:
        found: list[Any] = []
        with one_blas_thread():
            _threads.as_task(lambda: found.append(self.function(*arguments)))
        return found[0]


def _collect(
    plan: TreePlan,
    setting: Setting,
    sums: Sequence[Any],
    founds: Sequence[Any],
    prior_sums: Sequence[Any],
    prior_founds: Sequence[Any],
) -> TreeResult:
    """Return the result of what all nodes have found, from the root down."""
    images = Images(setting, None)
    for node, found in zip(plan.nodes[::-1], founds, strict=True):
        images.take(node, found)
    prior = known_prior(setting.posterior, derivatives=setting.derivatives)
    if prior is None and len(prior_sums):
        prior = prior_by_tree(of_prior(setting), prior_sums, [End(*each[2:]) for each in prior_founds[::-1]])
    return result_of(plan, setting, sums, images, prior)


def _offsets_of(cuts: Cuts) -> IntArray:
    """Return the offsets of the precision on all windows, in raster order."""
    if cuts.is_alike:
        side = [min(length, 64) for length in cuts.shape]
        windows = [Window(0, side[0], 0, side[1])]
    else:
        windows = list(windows_of(cuts.shape, _BLOCK))
    found = {tuple(offset) for window in windows for offset in cuts.dirichlet(window).offsets.tolist()}
    return np.array(sorted(found), dtype=np.int64)


def _labelled(result: TreeResult, labels: Labels) -> TreeResult:
    """Return a result whose images carry the labels of the raster."""
    return replace(
        result,
        mean=labels.values(result.mean),
        std=labels.deviation(result.std, "std", "standard deviation"),
        samples=labels.draws(result.samples),
    )


def _unread(rows: slice, columns: slice) -> Any:
    raise AssertionError("a dask array is read by what a task is given")


def _check_lazy(mask: object, raster: Raster, covariates: object) -> None:
    if not isinstance(mask, str) or callable(raster.variance) or covariates is not None:
        raise ArgumentError(
            "mask, noise_variance and covariates must be NaN in the raster, a number and None with a dask array; mark "
            "pixels and take the trend off before."
        )
