"""Options that several commands share: a dataclass has them, its fields become options of each command."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

from sparsegmrf._files import PathLike, check_outputs, refuse_overwriting


@dataclass(frozen=True)
class Writing:
    """Whether what is written may take the place of files that are there."""

    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist already.")] = False

    def check(self, outputs: Iterable[PathLike | None], inputs: Iterable[PathLike | None]) -> None:
        """Refuse files that cannot be written or must not, before a long computation."""
        check_outputs(outputs, inputs, overwrite=self.overwrite)

    def check_in_directory(self, outputs: Iterable[PathLike | None], inputs: Iterable[PathLike | None]) -> None:
        """Refuse those that must not, of a directory that may still have to be made."""
        refuse_overwriting(outputs, inputs, overwrite=self.overwrite)


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with an option for every field of its dataclass arguments, from which these are made."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        if name not in groups:
            parameters[name] = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
            continue
        annotations = get_type_hints(groups[name], include_extras=True)
        for each in fields(groups[name]):
            parameters[each.name] = inspect.Parameter(
                each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=annotations[each.name]
            )

    def call(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{each.name: given.pop(each.name) for each in fields(kind)})
        command(**given)

    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    call.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    return call
