"""Sums of independent fields, such as a coarse and a fine one, kept apart at each pixel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar, cast

import numpy as np
import scipy.linalg

from sparsegmrf import _frozen
from sparsegmrf._validate import finite, images, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.coregional import CoregionalForm
from sparsegmrf.factors.independent import IndependentForm, Member, split, stacked
from sparsegmrf.factors.separable import SeparableForm
from sparsegmrf.factors.spectral_density import SpectralDensity, total
from sparsegmrf.factors.total import TotalForm
from sparsegmrf.gmrf import GMRF
from sparsegmrf.models._model import Bounds, JointLimits, Model
from sparsegmrf.models.channels import Channels
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil.rows import Rows
from sparsegmrf.typing import ArrayLike, FloatArray, Shape

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Sum(Model):
    """Independent fields on one lattice, stacked per pixel: ``Q`` has diagonal ``C x C`` blocks, one entry per field.

    What is observed is ``y = sum_c w_c x_c`` with the `observation` weights ``w``. The fields of a draw are in its
    channels, and `observe` adds them up.

    A sum of `Channels` is the linear model of coregionalization, ``cov = sum_r w_r^2 Q_r^-1 (x) S_r``: images of C
    bands whose covariance at short lags is another than at long ones. Its `gmrf` is the field of the bands themselves,
    ``(H, W, C)``; the unknowns of `stencil` are the fields' one after the other, ``R C`` per pixel.

    Parameters
    ----------
    models : sequence of Model
        One per field, with one unknown per pixel; or a sum itself, as a `Matern` of fractional smoothness is, which
        takes a channel for each of its fields. Or all of them `Channels`, proper ones with as many channels each.
    labels : sequence of str, optional
        A name per field; parameters are called ``name_label``. By default 0, 1, ...
    observation : array_like, (C,), optional
        Weights ``w``; by default 1.

    Raises
    ------
    ArgumentError
        If there are no models, or labels or weights do not go with them.

    Examples
    --------
    >>> from sparsegmrf.models import CAR
    >>> model = Sum([CAR(0.249), CAR(0.1, tau=4.0)], labels=["coarse", "fine"])
    >>> sorted(model.parameters)
    ['rho_coarse', 'rho_fine', 'tau_coarse', 'tau_fine']
    >>> model.observe(model.gmrf((32, 48)).sample(rng=0)).shape
    (32, 48)
    >>> from sparsegmrf.models import Channels, Matern
    >>> coarse, fine = Channels(Matern(12.0), [[1.0, 0.9], [0.9, 1.0]]), Channels(Matern(3.0), [[0.2, 0.0], [0.0, 0.4]])
    >>> Sum([coarse, fine]).gmrf((16, 20)).sample(rng=0).shape
    (16, 20, 2)
    """

    models: tuple[Model, ...]
    labels: tuple[str, ...]
    observation: FloatArray

    def __init__(
        self,
        models: Sequence[Model],
        labels: Sequence[str] | None = None,
        observation: ArrayLike | None = None,
    ) -> None:
        members = tuple(models)
        if not members or not all(isinstance(member, Model) for member in members):
            raise ArgumentError(
                f"models must hold at least one Model and nothing else, got {[type(m).__name__ for m in members]}."
            )
        counts = {len(member.covariance) if isinstance(member, Channels) else 0 for member in members}
        if len(counts) > 1:
            raise ArgumentError(
                "models must be fields of one channel, or all Channels with as many of them, got "
                f"{', '.join(_described(member) for member in members)}."
            )
        names = tuple(str(k) for k in range(len(members))) if labels is None else tuple(labels)
        if len(names) != len(members) or len(set(names)) != len(names) or not all(isinstance(n, str) for n in names):
            raise ArgumentError(f"labels must be {len(members)} distinct names, one per model, got {list(names)}.")
        weights = np.ones(len(members)) if observation is None else np.array(real_array("observation", observation))
        if weights.shape != (len(members),):
            raise ArgumentError(f"observation must have one weight per model ({len(members)}), got {weights.shape}.")
        finite("observation", weights).flags.writeable = False
        _frozen.assign(self, models=members, labels=names, observation=weights)

    @property
    def channels(self) -> int:
        """Bands of what is observed: those of its `Channels`, else 1."""
        first = self.models[0]
        return len(first.covariance) if isinstance(first, Channels) else 1

    @property
    def members(self) -> tuple[Channels, ...]:
        """The models, of a sum of `Channels`; else none."""
        return tuple(model for model in self.models if isinstance(model, Channels))

    @property
    def parameters(self) -> dict[str, float]:
        """Those of all models, as ``name_label``."""
        return self._named([model.parameters for model in self.models])

    @property
    def combination(self) -> FloatArray | None:
        """The weights, those of a model that is a sum times those of its fields; None of a single field, or bands."""
        if self.members:
            return None
        weights = [
            weight * (np.ones(1) if model.combination is None else model.combination)
            for model, weight in zip(self.models, self.observation, strict=True)
        ]
        found = np.concatenate(weights)
        return found if len(found) > 1 else None

    def limits(self, shape: Shape) -> dict[str, Bounds]:
        """Return the limits of all parameters."""
        return self._named([model.limits(shape) for model in self.models])

    def joint_limits(self, shape: Shape) -> JointLimits | None:
        """Return the boxes of all models that have one as a single box; None if none has."""
        found = [(label, model.joint_limits(shape)) for model, label in zip(self.models, self.labels, strict=True)]
        boxes = [(label, box) for label, box in found if box is not None]
        if not boxes:
            return None
        return JointLimits(
            tuple(f"{name}_{label}" for label, box in boxes for name in box.names),
            scipy.linalg.block_diag(*[box.forms for _, box in boxes]),
            tuple(interval for _, box in boxes for interval in box.intervals),
        )

    def observe(self, x: ArrayLike) -> FloatArray:
        """Return ``sum_c w_c x_c``, images ``(..., H, W)``, of stacked fields.

        Parameters
        ----------
        x : array_like, (..., H, W, C)
            Fields in intensity; ``(..., H, W)`` if there is a single one. Of `Channels` the unknowns of `stencil`,
            ``(..., H, W, R C)``, and what is returned is ``(..., H, W, C)``.

        Raises
        ------
        ArgumentError
            If `x` does not have a channel per field.
        """
        array, weights = real_array("x", x), self.combination
        if self.members:
            R, C = len(self.models), self.channels
            seen = images("x", array, (*array.shape[-3:-1], R * C))
            return np.asarray(np.einsum("...rc,r->...c", seen.reshape(*seen.shape[:-1], R, C), self.observation))
        if weights is None:
            return np.asarray(array * self.observation[0])
        return np.asarray(images("x", array, (*array.shape[-3:-1], len(weights))) @ weights)

    def describe_end(self, name: str, high: bool) -> str | None:
        """Return what the model becomes at an end of a parameter."""
        owners = self._named([{own: (model, own) for own in model.parameters} for model in self.models])
        model, own = owners[name]
        return model.end_of(own, high)

    def scaled(self, factor: float) -> Self:
        """Return the model of `factor` times the field."""
        return self.replace(models=tuple(model.scaled(factor) for model in self.models))

    def cropped(self, rows: slice, columns: slice) -> Self:
        """Return the model on a window of its lattice."""
        cropped = tuple(model.cropped(rows, columns) for model in self.models)
        same = all(one is other for one, other in zip(cropped, self.models, strict=True))
        return self if same else self.replace(models=cropped)

    def lengths(self) -> dict[str, int]:
        """Return the powers of lengths of all models."""
        return self._named([model.lengths() for model in self.models])

    def spaced(self, spacing: tuple[ArrayLike, ArrayLike]) -> Self:
        """Return the sum of the models on pixels of a size."""
        spaced = tuple(model.spaced(spacing) for model in self.models)
        same = all(one is other for one, other in zip(spaced, self.models, strict=True))
        return self if same else self.replace(models=spaced)

    def build_stencil(self, shape: Shape) -> SymmetricStencil:
        """Return the precision."""
        if self.members:
            return stacked([model.build_stencil(shape) for model in self.models])
        return stacked([each for model in self.models for each in _fields(model, model.build_stencil(shape))])

    def build_rows(self, shape: Shape) -> list[Rows]:
        """Return the rows of all models, in their own channels."""
        found, channel = [], 0
        for model in self.models:
            found += [each.in_channel(channel + each.channel) for each in model.build_rows(shape)]
            channel += 1 if model.combination is None else len(model.combination)
        return found

    def on_lattice(self, shape: Shape) -> Model:
        """Return the sum of the models without scales of the lattice."""
        found = tuple(model.on_lattice(shape) for model in self.models)
        same = all(one is other for one, other in zip(found, self.models, strict=True))
        return self if same else self.replace(models=found)

    def build_derivatives(self, shape: Shape) -> dict[str, SymmetricStencil]:
        """Return the derivatives of the precision."""
        return self._named([self._derivatives_of(c, shape) for c in range(len(self.models))])

    def _derivatives_of(self, field: int, shape: Shape) -> dict[str, SymmetricStencil]:
        """Return the derivatives by the parameters of one model: zero in the blocks of the others."""
        result = {}
        for name, each in self.models[field].build_derivatives(shape).items():
            if self.members:
                blocks = [each if c == field else each * 0.0 for c in range(len(self.models))]
                result[name] = stacked(blocks)
                continue
            zero = SymmetricStencil([(0, 0)], [0.0], shape, boundary=each.boundary)
            moved = []
            for c, model in enumerate(self.models):
                count = 1 if model.combination is None else len(model.combination)
                moved += _fields(model, each) if c == field else [zero] * count
            result[name] = stacked(moved)
        return result

    def build_spectral_density(self, shape: Shape) -> SpectralDensity | None:
        """Return the variances by frequency of the weighted sum with their derivatives, or None."""
        members = {}
        for label, model in zip(self.labels, self.models, strict=True):
            own = model.build_spectral_density(shape)
            if own is None:
                return None
            members[label] = own
        return total(members, self.observation.tolist())

    def build_gmrf(self, shape: Shape, mean: ArrayLike, method: str) -> GMRF:
        """Return the field with the model's own boundary."""
        if self.members:
            return self._of_bands(shape, mean, method)
        members = [each for model in self.models for each in _members(model.build_gmrf(shape, 0.0, method).given)]
        return GMRF(IndependentForm(members), mean, method)

    def _of_bands(self, shape: Shape, mean: ArrayLike, method: str) -> GMRF:
        """Return the field of the bands of a sum of `Channels`."""
        if len(self.models) == 1:
            return self.models[0].scaled(abs(float(self.observation[0]))).build_gmrf(shape, mean, method)
        given = [model.build_gmrf(shape, 0.0, method).given for model in self.members]
        return GMRF(CoregionalForm([cast("SeparableForm", each) for each in given], self.observation), mean, method)

    def fields_of(self, parameters: dict[str, float]) -> dict[str, object]:
        """Return the fields that hold the parameters."""
        models = []
        for model, label in zip(self.models, self.labels, strict=True):
            own = {name: parameters[f"{name}_{label}"] for name in model.parameters}
            models.append(model.replace(**own))
        return {"models": tuple(models)}

    def _named(self, members: Sequence[dict[str, Value]]) -> dict[str, Value]:
        pairs = zip(members, self.labels, strict=True)
        return {f"{name}_{label}": value for own, label in pairs for name, value in own.items()}


def _described(model: Model) -> str:
    return f"Channels of {len(model.covariance)}" if isinstance(model, Channels) else type(model).__name__


def _fields(model: Model, stencil: SymmetricStencil) -> list[SymmetricStencil]:
    """Return the stencils of the fields of a model that is a sum; else its own."""
    return [stencil] if model.combination is None else split(stencil)


def _members(given: object) -> Sequence[Member]:
    """Return the precisions of the fields of a sum; else the one given."""
    if isinstance(given, TotalForm):
        return _members(given.inner)
    return given.members if isinstance(given, IndependentForm) else [cast("Member", given)]
