"""What is finished of a run, on disk, so that it is taken up where it was interrupted."""

import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from sparsegmrf._files import replacing
from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.typing import FloatArray

Made: TypeAlias = tuple[FloatArray, ...]
"""What is made of a tile."""

_RUN = "run.json"


class Journal:
    """A folder of records, each written whole or not at all; without a folder nothing is kept.

    Parameters
    ----------
    folder : Path or None
        Made with the first record.
    run : mapping
        What the records belong to: input, options and versions, of texts and numbers.
    """

    def __init__(self, folder: Path | None = None, run: Mapping[str, Any] | None = None) -> None:
        self.folder, self.run = folder, json.loads(json.dumps(dict(run or {})))

    @property
    def begun(self) -> bool:
        """Whether there is a record."""
        return self.folder is not None and (self.folder / _RUN).exists()

    def open(self, *, resume: bool) -> None:
        """Take up the records that there are, or make sure that there are none.

        Raises
        ------
        ArgumentError
            If there are records and they are not to be taken up, or there are none and they are; if they belong to
            another run, with what differs.
        """
        if self.folder is None:
            return
        path = self.folder / _RUN
        if not resume:
            if path.exists():
                raise ArgumentError(
                    f"an interrupted run is kept in {self.folder}; give --resume to go on with it, or remove it."
                )
            return
        if not path.exists():
            raise ArgumentError(f"resume must be left out, as there is no interrupted run in {self.folder}.")
        before = _told(path)
        if before != self.run:
            raise ArgumentError(
                f"resume must have the input and the options of the interrupted run in {self.folder}, got "
                f"{'; '.join(_differences(before, self.run))}. Give these again, or remove it to start anew."
            )

    def get(self, name: str) -> Made | None:
        """Return a record, None if there is none."""
        path = self._path(f"{name}.npz")
        if path is None or not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as record:
                return tuple(record[f"arr_{k}"] for k in range(len(record.files)))
        except (OSError, ValueError, zipfile.BadZipFile, KeyError) as error:
            raise FileError(f"{path} cannot be read as a record of a run; remove it to have it made again.") from error

    def put(self, name: str, made: Made) -> None:
        """Keep a record."""
        path = self._begun(f"{name}.npz")
        if path is not None:
            with replacing(path) as temporary:
                np.savez(temporary, *made)

    def image(self, name: str) -> FloatArray | None:
        """Return a large array, read from its file as it is used; None if there is none."""
        path = self._path(f"{name}.npy")
        return None if path is None or not path.exists() else np.load(path, mmap_mode="r", allow_pickle=False)

    def put_image(self, name: str, image: FloatArray) -> None:
        """Keep a large array."""
        path = self._begun(f"{name}.npy")
        if path is not None:
            with replacing(path) as temporary:
                np.save(temporary, image)

    def text(self, name: str) -> str | None:
        """Return a text, None if there is none."""
        path = self._path(name)
        return None if path is None or not path.exists() else path.read_text(encoding="utf-8")

    def put_text(self, name: str, text: str) -> None:
        """Keep a text."""
        path = self._begun(name)
        if path is not None:
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")

    def names(self, pattern: str) -> list[str]:
        """Return the names of records that match a pattern."""
        return [] if self.folder is None else sorted(path.stem for path in self.folder.glob(pattern))

    def drop(self, pattern: str) -> None:
        """Remove the records that match a pattern, as nothing needs them any more."""
        for path in [] if self.folder is None else self.folder.glob(pattern):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the journal: the run has come to its end."""
        if self.folder is not None and self.begun:
            shutil.rmtree(self.folder)

    def _path(self, name: str) -> Path | None:
        return None if self.folder is None else self.folder / name

    def _begun(self, name: str) -> Path | None:
        """Return the path of a record, in a folder that says what run it belongs to."""
        if self.folder is None:
            return None
        if not (self.folder / _RUN).exists():
            self.folder.mkdir(exist_ok=True)
            with replacing(self.folder / _RUN) as temporary:
                temporary.write_text(json.dumps(self.run, indent=1), encoding="utf-8")
        return self.folder / name


def _told(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FileError(f"{path} cannot be read as what a run is; remove {path.parent} to start anew.") from error


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    """Return what differs between two runs, by name."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*before, *now])
        parts = [_differences(before.get(key), now.get(key), f"{name} {key}".strip()) for key in keys]
        return [each for part in parts for each in part]
    return [] if before == now else [f"{name} {_short(now)} instead of {_short(before)}"]


def _short(value: Any) -> str:
    return "none" if value is None else str(value)
