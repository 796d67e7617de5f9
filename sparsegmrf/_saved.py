"""Values as JSON and back: every digit kept, nothing run; what is no kind of the package is refused by name."""

import base64
import binascii
import inspect
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Self

import numpy as np

from sparsegmrf.errors import ArgumentError

FORMAT, VERSION = "sparsegmrf", 1
_ENVELOPE = ("format", "version", "kind", "about")
_MARKS = {"kind", "dtype", "float", "entries"}
"""Keys by which an object of JSON is something else than a mapping."""
_DTYPES = ("float64", "float32", "int64", "int32", "uint8", "bool")
_AS_LISTS = 64
"""Most numbers of an array that are written as lists; more are the base64 of its bytes, little-endian."""


class Saved:
    """What has a text in JSON: a class is known by its name, one from outside the package by its full name."""

    def to_json(self) -> str:
        """Return the text in JSON of which `from_json` makes the same again: every number to the last digit.

        ``"kind"`` is the class, the other entries are its fields. Numbers are as Python writes them, those that are not
        finite ``{"float": "nan"}``, arrays ``{"dtype", "shape", "values"}`` or, above 64 numbers, ``"base64"`` of their
        bytes in row-major order, little-endian.

        Raises
        ------
        ArgumentError
            If a field of a class of one's own is nothing that JSON holds.
        """
        return saved(self)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what `to_json` has written, of this class or one that derives from it.

        Nothing in the text is run, and only classes that are already there are made. ``"about"`` is not read.

        Parameters
        ----------
        text : str
            An object with ``"format": "sparsegmrf"``, ``"version": 1``, ``"kind"`` and the fields of that class.

        Raises
        ------
        ArgumentError
            If the text is no such object, its kind or version is not known here, or a field has a value that it cannot
            have.
        """
        found = loaded(text, cls)
        if not isinstance(found, cls):
            raise ArgumentError(f"text must hold a {cls.__name__}, got kind {found._saved_kind()!r}.")
        return found

    def _saved_kind(self) -> str:
        """Return the name under which it is written."""
        return kind_of(type(self))

    def _saved_fields(self) -> Mapping[str, object]:
        """Return the fields that are written, by name: those that the constructor takes."""
        if not is_dataclass(self):
            raise ArgumentError(f"{type(self).__name__} must be a dataclass to be saved.")
        return {each.name: getattr(self, each.name) for each in fields(self) if each.init}

    @classmethod
    def _from_saved(cls, given: Mapping[str, Any]) -> "Saved":
        """Return what fields that were written make."""
        taken = {each.name: each for each in fields(cls) if each.init}  # type: ignore[arg-type]
        needed = [n for n, each in taken.items() if each.default is MISSING and each.default_factory is MISSING]
        check_names(cls, given, taken, needed)
        try:
            return cls(**given)
        except TypeError as error:  # of a value that a constructor cannot use at all
            raise ArgumentError(f"{cls.__name__} must have fields of their own types: {error}.") from error


def saved(value: Saved, about: Mapping[str, object] | None = None) -> str:
    """Return a value as text, with what else is to be said of it for other readers."""
    record = _record(value)
    taken = sorted(set(record) & (set(_ENVELOPE) - {"kind"}))
    if taken:
        raise ArgumentError(f"fields of {type(value).__name__} must have other names than {', '.join(taken)}.")
    whole = {"format": FORMAT, "version": VERSION, **record}
    if about is not None:
        whole["about"] = _plain("about", about)
    return json.dumps(whole, indent=1, allow_nan=False) + "\n"


def loaded(text: object, preferred: type[Saved] = Saved) -> Saved:
    """Return the value of a text; of two classes of one kind the preferred one."""
    if not isinstance(text, str):
        raise ArgumentError(f"text must be a str of JSON, got {type(text).__name__}.")
    try:
        whole = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"text must be JSON, as to_json writes it: {error}.") from error
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        raise ArgumentError(f'text must be an object of JSON with "format": "{FORMAT}", got one without it.')
    if type(whole.get("version")) is not int or whole["version"] != VERSION:
        raise ArgumentError(
            f"version must be {VERSION}, got {whole.get('version')!r}; a later release of the package may have written "
            "it."
        )
    record = {name: value for name, value in whole.items() if name == "kind" or name not in _ENVELOPE}
    if not isinstance(record.get("kind"), str):
        raise ArgumentError(f"kind must name what the text holds, got {record.get('kind')!r}.")
    try:
        return _made(record, preferred)
    except RecursionError as error:
        raise ArgumentError("text must hold values that are not nested hundreds of times.") from error


def kind_of(cls: type) -> str:
    """Return the name by which a class is known."""
    inside = cls.__module__.split(".")[0] == FORMAT
    return cls.__name__ if inside else f"{cls.__module__}.{cls.__qualname__}"


def check_names(
    cls: type, given: Mapping[str, object], known: Mapping[str, object], needed: list[str] | tuple[str, ...]
) -> None:
    """Refuse fields that a class does not have, and those that it lacks."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ArgumentError(f"{cls.__name__} must have the fields {', '.join(known)}, got {', '.join(unknown)}.")
    missing = sorted(set(needed) - set(given))
    if missing:
        raise ArgumentError(f"{cls.__name__} must have the fields {', '.join(needed)}, but lacks {', '.join(missing)}.")


def _record(value: Saved) -> dict[str, object]:
    own = value._saved_fields()
    if "kind" in own:
        raise ArgumentError(f"{type(value).__name__} must have no field called kind to be saved.")
    name = type(value).__name__
    return {"kind": value._saved_kind(), **{key: _plain(f"{key} of {name}", each) for key, each in own.items()}}


def _plain(name: str, value: object) -> object:
    """Return a value as JSON has it."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.bool_ | np.integer | np.floating):
        value = value.item()
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": str(float(value))}
    if isinstance(value, Saved):
        return _record(value)
    if isinstance(value, np.ndarray) and value.dtype.name in _DTYPES:
        return _array(value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        if _MARKS & set(value):
            return {"entries": [[key, _plain(name, each)] for key, each in value.items()]}
        return {key: _plain(name, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, each) for each in value]
    what = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
    raise ArgumentError(
        f"{name} must be something that JSON holds, got {what}: numbers, text, arrays, models, and lists or dicts "
        "of these can be saved."
    )


def _array(value: np.ndarray[Any, np.dtype[Any]]) -> dict[str, object]:
    record: dict[str, object] = {"dtype": value.dtype.name, "shape": list(value.shape)}
    if value.size <= _AS_LISTS and value.dtype.name != "float32" and bool(np.isfinite(value).all()):
        return {**record, "values": value.tolist()}
    data = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<")).tobytes()
    return {**record, "base64": base64.b64encode(data).decode("ascii")}


def _made(record: dict[str, Any], preferred: type[Saved]) -> Saved:
    kind = record["kind"]
    classes = (*_subclasses(Saved), *_subclasses(preferred), preferred)
    known = {kind_of(each): each for each in classes if not inspect.isabstract(each) and each is not Saved}
    if kind not in known:
        public = sorted(name for name in known if not name.startswith("_"))
        raise ArgumentError(
            f"kind must be one that is known here, got {kind!r}; a class of one's own must be imported first. Known "
            f"are {', '.join(public)}."
        )
    given = {name: _value(each) for name, each in record.items() if name != "kind"}
    return known[kind]._from_saved(given)


def _subclasses(cls: type[Saved]) -> Iterator[type[Saved]]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)


def _value(given: Any) -> object:
    """Return the value of what stands in JSON."""
    if isinstance(given, list):
        return tuple(_value(each) for each in given)
    if not isinstance(given, dict):
        return given
    if isinstance(given.get("kind"), str):
        return _made(given, Saved)
    if "dtype" in given:
        return _array_of(given)
    if set(given) == {"float"}:
        if given["float"] not in ("nan", "inf", "-inf"):
            raise ArgumentError(f'float must be "nan", "inf" or "-inf", got {given["float"]!r}.')
        return float(given["float"])
    if set(given) == {"entries"}:
        entries = given["entries"]
        if not isinstance(entries, list) or not all(
            isinstance(each, list) and len(each) == 2 and isinstance(each[0], str) for each in entries
        ):
            raise ArgumentError("entries must be pairs of a name and a value.")
        return {key: _value(each) for key, each in entries}
    return {key: _value(each) for key, each in given.items()}


def _array_of(given: dict[str, Any]) -> np.ndarray[Any, np.dtype[Any]]:
    dtype, shape = given["dtype"], given.get("shape")
    if dtype not in _DTYPES:
        raise ArgumentError(f"dtype of an array must be one of {', '.join(_DTYPES)}, got {dtype!r}.")
    if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
        raise ArgumentError(f"shape of an array must be a list of whole numbers, got {shape!r}.")
    try:
        if "base64" in given:
            data = base64.b64decode(given["base64"], validate=True)
            array = np.frombuffer(data, dtype=np.dtype(dtype).newbyteorder("<")).astype(dtype).reshape(shape)
        else:
            listed = np.array(given.get("values"))
            if listed.dtype.kind not in "biuf" or (listed.dtype.kind == "f") > (np.dtype(dtype).kind == "f"):
                raise ValueError(f"values of {dtype} are {listed.dtype}")
            array = listed.astype(dtype).reshape(shape)
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise ArgumentError(f"array must have base64 or values of its dtype and shape {shape}: {error}.") from error
    array.flags.writeable = False
    return array


def _refuse_constant(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")
