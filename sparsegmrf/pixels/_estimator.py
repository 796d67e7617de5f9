"""What scikit-learn asks of an estimator, kept without importing it: parameters by name, tags only when it asks."""

import inspect
from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from sparsegmrf.errors import ArgumentError, NotFittedError

P = ParamSpec("P")
R = TypeVar("R")


class Estimator:
    """Base of estimators whose constructor stores its arguments unchanged under their own names."""

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
