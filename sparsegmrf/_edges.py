"""Boundaries: one rule for all sides of a lattice, or a pair of rules for rows and columns."""

from collections.abc import Sequence

from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import Boundary, Offset

BOUNDARIES = ("dirichlet", "neumann", "torus")


def as_boundary(name: str, value: object, allowed: tuple[str, ...] = BOUNDARIES) -> Boundary:
    """Return a rule, or a (rows, columns) pair of different ones; a pair of one rule is that rule."""
    pair = (value, value) if isinstance(value, str) else value
    if not isinstance(pair, Sequence) or len(pair) != 2 or not all(each in allowed for each in pair):
        raise ArgumentError(
            f"{name} must be one of {', '.join(map(repr, allowed))}, or a (rows, columns) pair of these, got {value!r}."
        )
    return _joined(pair[0], pair[1])


def by_axis(boundary: Boundary) -> tuple[str, str]:
    """Return the rules of rows and of columns."""
    return (boundary, boundary) if isinstance(boundary, str) else boundary


def wraps(boundary: Boundary) -> tuple[bool, bool]:
    """Return whether the last row is next to the first, and the last column to the first."""
    rows, columns = by_axis(boundary)
    return rows == "torus", columns == "torus"


def has(boundary: Boundary, rule: str) -> bool:
    """Return whether rows or columns have a rule."""
    return rule in by_axis(boundary)


def cut_off(boundary: Boundary) -> Boundary:
    """Return the boundary of planes into which no flux is already worked: cut off where they do not wrap."""
    rows, columns = ("torus" if each == "torus" else "dirichlet" for each in by_axis(boundary))
    return _joined(rows, columns)


def along(offset: Offset, boundary: Boundary, *rules: str) -> Offset:
    """Return an offset without its steps along axes that have none of the `rules`."""
    rows, columns = by_axis(boundary)
    return offset[0] if rows in rules else 0, offset[1] if columns in rules else 0


def without_flux(boundary: Boundary) -> Boundary:
    """Return the boundary with no flux wherever it does not wrap."""
    rows, columns = ("torus" if each == "torus" else "neumann" for each in by_axis(boundary))
    return _joined(rows, columns)


def as_argument(boundary: Boundary, default: str) -> str:
    """Return how a boundary is given to a model, nothing if it is the model's default."""
    rows, columns = by_axis(boundary)
    if boundary == default:
        return ""
    return f'boundary="{rows}"' if rows == columns else f'boundary=("{rows}", "{columns}")'


def _joined(rows: str, columns: str) -> Boundary:
    return rows if rows == columns else (rows, columns)
