"""``fill`` of images of several dates is ``fill-stack``: which command the arguments of ``fill`` are for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from typer.core import TyperGroup

from sparsegmrf.errors import ArgumentError
from sparsegmrf.stacks._labels import time_of

_SERIES = (".nc", ".nc4")
_ONE = ("--select", "--channel", "--channels", "--channel-axis")
"""Options by which ``fill`` takes one image of a file, or its channels as they are."""


class Commands(TyperGroup):
    """Commands of which ``fill`` hands several files, or one file with a dimension of dates, to ``fill-stack``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name, the command and its arguments.

        Raises
        ------
        ArgumentError
            If images of several dates are to be filled with an option that only ``fill`` has.
        """
        name, command, rest = super().resolve_command(ctx, args)
        if command is None or name not in ("fill", "fill-stack"):
            return name, command, rest
        fill, stack = self.commands["fill"], self.commands["fill-stack"]
        given = Given.of(rest, [fill, stack])
        if name == "fill" and not given.is_series:
            return name, command, rest
        of_stack = _options_of(stack)
        for option in given.options:
            if option in _options_of(fill) - of_stack:
                raise ArgumentError(given.refusal(option))
        return "fill-stack", stack, rest


@dataclass(frozen=True)
class Given:
    """Files and options with their values among the arguments of ``fill`` or ``fill-stack``."""

    files: tuple[str, ...]
    options: Mapping[str, str]

    @classmethod
    def of(cls, arguments: Sequence[str], commands: Sequence[Any]) -> "Given":
        """Return what arguments say, by the flags of commands."""
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
        return cls(tuple(files), options)

    @property
    def is_series(self) -> bool:
        """Whether there are several files, or one with dates of which none is chosen."""
        if "--help" in self.options or len(self.files) != 1:
            return len(self.files) > 1 and "--help" not in self.options
        chosen = any(name in self.options for name in _ONE)
        return not chosen and _has_dates(Path(self.files[0]), self.options.get("--variable"))

    def refusal(self, option: str) -> str:
        """Return why an option of ``fill`` is refused, and what to do."""
        if len(self.files) > 1:
            what = f"{len(self.files)} files, which are filled as a stack of several dates (fill-stack)"
            remedy = "fill them one by one, or leave it out; --channel takes one band of each"
        else:
            what = f"{', '.join(self.files) or 'none'}, which is filled as a stack of several dates (fill-stack)"
            remedy = "leave it out, or take one date by fill with --select time=DATE, or all with --channels all"
        return f"{option} is for one image, got {what}; {remedy}."


def _options_of(command: Any) -> set[str]:
    return {name for option in command.params for name in option.opts if name.startswith("-")}


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
