"""``fill`` of images of several dates is ``fill-stack``: which command the arguments of ``fill`` are for."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from typer.core import TyperGroup

from sparsegmrf.stacks._labels import time_of

_SERIES = (".nc", ".nc4")
_ONE = ("--select", "--channel", "--channels", "--channel-axis")
"""Options by which ``fill`` takes one image of a file, or its channels as they are."""


class Commands(TyperGroup):
    """Commands of which ``fill`` hands several files, or one file with a dimension of dates, to ``fill-stack``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name, the command and its arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        if name == "fill" and command is not None and is_series(rest, [command, self.commands["fill-stack"]]):
            return "fill-stack", self.commands["fill-stack"], rest
        return name, command, rest


def is_series(arguments: Sequence[str], commands: Sequence[Any]) -> bool:
    """Return whether arguments name several files, or one with dates of which none is chosen."""
    flags = {name for each in commands for option in each.params if _is_flag(option) for name in option.opts}
    files, options, value_of = [], {}, ""
    for text in arguments:
        if value_of:
            options[value_of], value_of = text, ""
        elif text.startswith("-"):
            name, sign, value = text.partition("=")
            options[name] = value
            value_of = "" if sign or name in flags or name == "--help" else name
        else:
            files.append(text)
    if "--help" in options or len(files) != 1:
        return len(files) > 1 and "--help" not in options
    return not any(name in options for name in _ONE) and _has_dates(Path(files[0]), options.get("--variable"))


def _is_flag(option: Any) -> bool:
    return bool(getattr(option, "is_flag", False))


def _has_dates(path: Path, variable: str | None) -> bool:
    """Return whether a variable of a file has three dimensions, of which one has several dates."""
    if path.suffix.lower() not in _SERIES or not path.is_file() or find_spec("xarray") is None:
        return False
    import xarray

    try:
        dataset = xarray.open_dataset(path)
    except (OSError, ValueError):  # what is wrong with the file is told where it is read
        return False
    with dataset:
        images = {name: each for name, each in dataset.data_vars.items() if each.ndim >= 2}
        if variable is None and len(images) != 1:
            return False
        array = images.get(variable) if variable is not None else next(iter(images.values()))
        return array is not None and array.ndim == 3 and _several_dates(array)


def _several_dates(array: Any) -> bool:
    time = time_of(array)
    return time is not None and bool(array.sizes[time] > 1)
