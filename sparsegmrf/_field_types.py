"""Values of fields that come from a file, compared with the types that a class says they have."""

from collections.abc import Mapping
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from sparsegmrf.errors import ArgumentError


def check_types(cls: type, given: Mapping[str, Any]) -> None:
    """Refuse a value that is not of the type of its field, by the field's name."""
    for name, hint in get_type_hints(cls).items():
        if name in given and not _is_of(given[name], hint):
            raise ArgumentError(f"{name} of {cls.__name__} must be of type {_named(hint)}, got {given[name]!r}.")


def _is_of(value: object, hint: Any) -> bool:
    """Return whether a value is of the type of a field, as far as types are simple."""
    while hasattr(named := get_origin(hint) or hint, "__value__"):  # a name for a type, as of arrays since numpy 2.5
        hint = named.__value__
    if hint is Any:
        return True
    if hint is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    origin, arguments = get_origin(hint) or hint, get_args(hint)
    if origin is UnionType:
        return any(_is_of(value, each) for each in arguments)
    if not isinstance(origin, type):
        return True
    if not isinstance(value, origin):
        return False
    if origin is dict:
        return all(isinstance(key, str) and _is_of(each, arguments[1]) for key, each in value.items())  # type: ignore[attr-defined]
    if origin is tuple and Ellipsis not in arguments:
        parts: tuple[object, ...] = value  # type: ignore[assignment]
        return len(parts) == len(arguments) and all(map(_is_of, parts, arguments))
    return True


def _named(hint: Any) -> str:
    return (
        " or ".join(map(_named, get_args(hint)))
        if isinstance(hint, UnionType)
        else getattr(get_origin(hint) or hint, "__name__", str(hint))
    )
