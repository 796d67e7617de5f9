"""Files that are written whole or not at all, and never over what was read."""

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sparsegmrf.errors import ArgumentError, FileError, SparseGMRFError

PathLike = str | os.PathLike[str]
_NO_SPACE = 1 << 16
"""Bytes too few for a file of any format."""
_PAUSE = 0.05
"""Seconds between looks at a directory that was removed."""
_QUIET = 4
"""Looks at which it is gone, one after another, before it is taken to be so for good."""
_CHECKS = 200
"""Looks at most."""


@contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path that takes the place of `path` once the block has ended well, and is removed otherwise."""
    target = _target(path)
    temporary = target.with_name(f".{secrets.token_hex(6)}-{target.name}")
    try:
        yield temporary
        temporary.replace(target)
    except SparseGMRFError:
        raise
    except (OSError, RuntimeError) as error:  # the library of NetCDF raises the latter
        raise FileError(f"{os.fspath(path)} cannot be written: {_reason(error, target.parent)}") from error
    finally:
        _remove(temporary)


@contextmanager
def replacing_in(directory: PathLike) -> Iterator[Path]:
    """Yield a staging directory whose files all move to `directory` once the block has ended well, or none of them.

    The directory is made if only its last part is missing.
    """
    target = directory_of_outputs(directory)
    # On the same file system as the target, so that a move is a change of name.
    with TemporaryDirectory(prefix=".sparsegmrf-", dir=target if target.exists() else target.parent) as staging:
        try:
            yield Path(staging)
        except FileError as error:
            raise FileError(str(error).replace(staging, os.fspath(directory))) from error
        target.mkdir(exist_ok=True)
        for file in sorted(Path(staging).iterdir()):
            file.replace(target / file.name)


def directory_of_outputs(directory: PathLike) -> Path:
    """Return the resolved path of a directory that exists or can be made; a long computation asks before it begins."""
    target = Path(directory).resolve()
    if target.exists() and not target.is_dir():
        raise FileError(f"out must be a directory, got {os.fspath(directory)}, which is a file; choose another name.")
    if not target.parent.is_dir():
        raise FileError(
            f"out must lie in an existing directory, got {os.fspath(directory)}; create {target.parent} first."
        )
    _refuse_unwritable("out", directory, target if target.exists() else target.parent)
    return target


def _remove(path: Path) -> None:
    """Remove a file or a directory, if there is one.

    When one thread of the library of Zarr has failed, others go on writing, and may make the directory again.
    """
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    quiet = 0
    for _ in range(_CHECKS):
        quiet = 0 if path.exists() else quiet + 1
        if quiet == _QUIET:
            return
        shutil.rmtree(path, ignore_errors=True)
        time.sleep(_PAUSE)


def refuse_overwriting(
    outputs: Iterable[PathLike | None], inputs: Iterable[PathLike | None], *, overwrite: bool = True
) -> None:
    """Raise an `ArgumentError` if an output is one of the inputs or two outputs are the same file.

    Without `overwrite`, a `FileError` if an output exists already.
    """
    taken = {Path(path).resolve() for path in inputs if path is not None}
    for path in outputs:
        if path is None:
            continue
        resolved = Path(path).resolve()
        if resolved in taken or any(_same_file(resolved, other) for other in taken):
            raise ArgumentError(f"output {os.fspath(path)} is an input or another output already; choose another name.")
        if not overwrite and os.path.lexists(resolved) and not resolved.is_dir():
            raise FileError(
                f"output {os.fspath(path)} exists already; choose another name, or --overwrite replaces it."
            )
        taken.add(resolved)


def check_outputs(
    outputs: Iterable[PathLike | None], inputs: Iterable[PathLike | None], *, overwrite: bool = True
) -> None:
    """Raise as `refuse_overwriting`, or if an output has no place; a long computation asks before it begins."""
    paths = [path for path in outputs if path is not None]
    refuse_overwriting(paths, inputs, overwrite=overwrite)
    for path in paths:
        _refuse_unwritable("path", path, _target(path).parent)


def _target(path: PathLike) -> Path:
    """Return the resolved path of a file that may be written."""
    target = Path(path).resolve()
    if not target.parent.is_dir():
        raise FileError(f"path must lie in an existing directory, got {os.fspath(path)}; create {target.parent} first.")
    if target.is_dir():
        raise FileError(f"path must be a file, got {os.fspath(path)}, which is a directory; choose another name.")
    return target


def _refuse_unwritable(name: str, path: PathLike, directory: Path) -> None:
    """Raise a `FileError` if no file can be made in a directory."""
    if not os.access(directory, os.W_OK | os.X_OK):
        cause = "read-only file system" if os.statvfs(directory).f_flag & os.ST_RDONLY else "permission denied"
        raise FileError(
            f"{name} must lie where files can be written, got {os.fspath(path)}; {directory} cannot be written: "
            f"{cause}."
        )


def _reason(error: Exception, directory: Path) -> str:
    """Return why a file could not be written: libraries name the first thing that fails for want of space."""
    free = shutil.disk_usage(directory).free
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or free < _NO_SPACE:
        return f"no space left on device, {free} bytes are free."
    reasons = [" ".join(str(each).split()) for each in (error, error.__cause__) if each is not None]
    return ": ".join(reason for reason in dict.fromkeys(reasons) if reason) or type(error).__name__


def _same_file(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)  # another name of the same file: a hard link
