"""What scikit-learn asks of an estimator, kept without importing it, and what every fit of the package tells."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import numpy as np

from sparsegmrf._axes import is_labelled
from sparsegmrf._saved import Saved, check_names
from sparsegmrf.errors import ArgumentError, ImageLayoutError, NotFittedError
from sparsegmrf.fitted import akaike, schwarz
from sparsegmrf.pixels._layout import numbers
from sparsegmrf.typing import ArrayLike, FloatArray

P = ParamSpec("P")
R = TypeVar("R")


class Estimator(Saved, ABC):
    """Base of densities of pixels whose constructor stores its arguments unchanged under their own names.

    As scikit-learn asks, `fit` returns the estimator itself, which is therefore the fit's result too: it has the
    likelihood and criteria of a `Fitted`, but as its own model no ``model``. A fit leaves ``n_features_in_``,
    ``weight_``, ``_loglik`` (None if it has no likelihood) and ``_not_maximal``, why that is no maximum, or None.
    """

    _loglik: float | None
    _not_maximal: str | None

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """Number of estimated parameters ``k``."""

    @property
    def n_observed(self) -> float:
        """Number of pixels of the fit, or the sum of their weights."""
        return float(self._fitted("weight_"))

    @property
    def loglik(self) -> float:
        """Log-density of the pixels of the fit in nats, as many times as their weights say."""
        value = self._fitted("_loglik")
        if value is None:
            raise ArgumentError(f"loglik is not there: {self._fitted('_not_maximal')}.")
        return float(value)

    @property
    def aic(self) -> float:
        """Akaike's criterion ``2 k - 2 loglik``; smaller is better, on the same pixels."""
        return akaike(self._maximal_loglik("aic"), self.n_parameters)

    @property
    def bic(self) -> float:
        """Schwarz's criterion ``k log n_observed - 2 loglik``; smaller is better, on the same pixels."""
        return schwarz(self._maximal_loglik("bic"), self.n_parameters, self.n_observed)

    def summary(self) -> str:
        """Return the estimates and the fit's figures as text."""
        channels = int(self._fitted("n_features_in_"))
        lines = [f"{type(self).__name__}, {self.n_observed:g} pixels of {channels} channels", "", *self._table(), ""]
        if self._fitted("_not_maximal") is None:
            per_pixel = self.loglik / self.n_observed
            lines.append(f"log-likelihood per pixel {per_pixel:.6f} nats, AIC {self.aic:.2f}, BIC {self.bic:.2f}")
        else:
            lines.append(f"no criteria: {self._fitted('_not_maximal')}")
        return "\n".join(lines)

    @abstractmethod
    def log_density_image(
        self, image: object, *, channel_axis: int | str | None = "same", mask: object = None
    ) -> FloatArray:
        """Return ``log p(x_p)`` of every pixel in nats."""

    def density_image(
        self, image: object, *, channel_axis: int | str | None = "same", mask: object = None
    ) -> FloatArray:
        """Return ``p(x_p)`` of every pixel in 1/intensity^C; parameters and shapes as for `log_density_image`."""
        density: Any = self.log_density_image(image, channel_axis=channel_axis, mask=mask)
        if isinstance(density, np.ndarray):
            return np.asarray(np.exp(density, out=density))
        found = np.exp(density)
        if is_labelled(found):
            found = found.rename("density").assign_attrs({**density.attrs, "long_name": "density"})
        return found  # type: ignore[no-any-return]

    def score_samples(self, X: ArrayLike) -> FloatArray:
        """Return the log-density of every row, in nats.

        Parameters
        ----------
        X : array_like, (n, C)
            Pixels in intensity.

        Returns
        -------
        ndarray, (n,)
        """
        rows = numbers("X", X)
        channels = int(self._fitted("n_features_in_"))
        if rows.ndim != 2:
            raise ImageLayoutError(f"X must have shape (n, {channels}), got {rows.shape}. Reshape your data.")
        if rows.shape[1] != channels:
            raise ImageLayoutError(
                f"X has {rows.shape[1]} features, but {type(self).__name__} is expecting {channels} features as input."
            )
        return self.log_density_image(rows, channel_axis=-1)[:, 0]

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Return the mean log-density of the rows of `X`, in nats; `y` is ignored."""
        return float(self.score_samples(X).mean())

    @abstractmethod
    def _table(self) -> list[str]:
        """Return the lines of a table of the estimates."""

    def _maximal_loglik(self, criterion: str) -> float:
        reason = self._fitted("_not_maximal")
        if reason is not None:
            raise ArgumentError(f"{criterion} compares maxima of the likelihood, but {reason}.")
        return self.loglik

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters; `deep` is there for scikit-learn and changes nothing."""
        return {name: getattr(self, name) for name in _parameters(type(self))}

    def set_params(self, **params: Any) -> Any:
        """Set parameters of the constructor and return the estimator.

        Raises
        ------
        ArgumentError
            If a name is none of them.
        """
        known = _parameters(type(self))
        for name, value in params.items():
            if name not in known:
                raise ArgumentError(f"params must be among {', '.join(known)}, got {name!r}.")
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags  # called by scikit-learn only, which is then there

        return Tags(
            estimator_type="density_estimator",
            target_tags=TargetTags(required=False),
            input_tags=InputTags(two_d_array=True, three_d_array=True, allow_nan=False),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_features_in_")

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = [f"{k}={v!r}" for k, v in self.get_params().items() if repr(v) != repr(defaults[k].default)]
        return f"{type(self).__name__}({', '.join(changed)})"

    def _saved_fields(self) -> dict[str, object]:
        """Return the constructor's parameters, and what the fit has left."""
        settings = self.get_params()
        return {"settings": settings, "fitted": {n: each for n, each in vars(self).items() if n not in settings}}

    @classmethod
    def _from_saved(cls, given: Mapping[str, Any]) -> "Estimator":
        check_names(cls, given, {"settings": None, "fitted": None}, ("settings", "fitted"))
        settings, fitted = given["settings"], given["fitted"]
        for name, each in given.items():
            if not isinstance(each, Mapping):
                raise ArgumentError(f"{name} of {cls.__name__} must be an object of names and values, got {each!r}.")
        made: Estimator = cls().set_params(**settings)
        methods = sorted(name for name in fitted if hasattr(cls, name))
        if methods:
            raise ArgumentError(f"fitted of {cls.__name__} must hold what a fit leaves, got {', '.join(methods)}.")
        # Whatever a list was has come back as a tuple.
        vars(made).update({n: list(each) if n == "objective_" else each for n, each in fitted.items()})
        return made

    def _fitted(self, name: str) -> Any:
        """Return an attribute that a fit leaves behind."""
        if name not in vars(self):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call fit(image) first.")
        return vars(self)[name]


class fit_method(Generic[P, R]):  # noqa: N801 - a decorator
    """Method of an estimator that, called on the class, works on a new one with default parameters."""

    def __init__(self, function: Callable[Concatenate[Any, P], R]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: object, owner: type) -> Callable[P, R]:
        bound: Callable[P, R] = self._function.__get__(owner() if instance is None else instance, owner)
        return bound


def _parameters(cls: type) -> list[str]:
    return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]  # type: ignore[misc]
