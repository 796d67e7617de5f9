"""The fields that ``fit`` and ``fill`` know by name, and their parameters as text."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from inspect import isabstract
from typing import Any, Literal

from sparsegmrf import models
from sparsegmrf._validate import one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.io import read_model
from sparsegmrf.models import Intrinsic, Matern, Model, TensionSpline


def _by_class() -> dict[str, Model]:
    """Return every model that needs no argument by the name of its class.

    ``tension-spline`` is a `TensionSpline`, ``ar1xar1`` an `AR1xAR1`.
    """
    found: dict[str, Model] = {}
    for each in (getattr(models, name) for name in models.__all__):
        if isinstance(each, type) and issubclass(each, Model) and not isabstract(each) and _needs_nothing(each):
            found[re.sub(r"(?<=[a-z]{2})(?=[A-Z])", "-", each.__name__).lower()] = each()
    return found


def _needs_nothing(model: type[Any]) -> bool:
    given = [each for each in fields(model) if each.init]
    return all(each.default is not MISSING or each.default_factory is not MISSING for each in given)


_FROM_ELSEWHERE = {
    "tension-spline": TensionSpline(kappa=0.5),
    "matern2": Matern(nu=2.0),
    "thin-plate": Intrinsic(order=2),
}
"""Models at other values than their defaults."""

MODELS: Mapping[str, Model] = dict(sorted({**_by_class(), **_FROM_ELSEWHERE}.items()))
"""What ``--model`` may say, each at the parameters where a search starts."""

BEST: Literal["best"] = "best"
"""What ``--model`` may say besides: the best of several fields."""

_OTHER = ("barrier", "mask", "nu_is_free")
"""Fields of models that no line of text holds, or another one sets."""

_WORDS: Mapping[str, tuple[str, ...]] = {"nu": ("estimate",)}
"""Words that stand for a number."""


def names() -> str:
    """Return what ``--model`` may say, for help."""
    return ", ".join((*MODELS, BEST))


def chosen_model(name: str, settings: Sequence[str]) -> Model | Literal["best"]:
    """Return a model of the table, or of a file, with some fields set by texts ``NAME=VALUE``, or ``"best"``."""
    is_file = name.lower().endswith(".json")
    if not is_file and one_of("model", name, (*MODELS, BEST)) == BEST:
        if settings:
            raise ArgumentError(f"set must be left out with model {BEST}, got {', '.join(settings)}.")
        return BEST
    model = model_of(name) if is_file else MODELS[name]
    changes: dict[str, object] = {}
    for text in settings:
        key, sign, value = (part.strip() for part in text.partition("="))
        known = settable(model)
        if not sign or key not in known or key in changes:
            raise ArgumentError(
                f"set must be NAME=VALUE, each name once and one of {', '.join(known)} with model {name}, got {text}."
            )
        changes[key] = _boundary(value) if key == "boundary" else _value(key, value, known[key])
    return model.replace(**changes)


def model_of(name: str) -> Model:
    """Return the model of a file, or of a fit in one."""
    found = read_model(name)
    if not isinstance(found, Model):
        raise ArgumentError(f"model must hold a field such as Matern, got {name} with a {type(found).__name__}.")
    return found


def settable(model: Model) -> dict[str, object]:
    """Return fields and parameters of a model that a text can set, with the values that they have."""
    names = [each.name for each in fields(model) if each.init and each.name not in _OTHER]  # type: ignore[arg-type]
    return {**{name: getattr(model, name) for name in names}, **model.parameters}


def _boundary(text: str) -> str | tuple[str, ...]:
    """Return a rule, or with a comma the rules of rows and columns, as a model takes them."""
    rules = tuple(part.strip() for part in text.split(","))
    return rules[0] if len(rules) == 1 else rules


def _value(name: str, text: str, present: object) -> object:
    """Return a text as a truth value, a word, a number or several numbers, whichever a field holds."""
    if isinstance(present, bool):
        return one_of(name, text, ("true", "false")) == "true"
    if isinstance(present, str) or text in _WORDS.get(name, ()):
        return text
    try:
        numbers = [_number(part) for part in text.split(",")]
    except ValueError:
        raise ArgumentError(f"{name} must be a number, or several with commas between them, got {text!r}.") from None
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)
