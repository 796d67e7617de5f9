"""Immutable objects as they are made: what their constructors, and they alone, may set."""

from typing import TypeVar

T = TypeVar("T")


def assign(made: object, **attributes: object) -> None:
    """Set attributes of an object that its own class is making, which may be a frozen dataclass."""
    for name, value in attributes.items():
        object.__setattr__(made, name, value)


def make(cls: type[T], **attributes: object) -> T:
    """Return an object of a class with these attributes, past its constructor: what they are is known to be right."""
    made = cls.__new__(cls)
    assign(made, **attributes)
    return made
