"""The command line ``sparsegmrf``."""

import sys
import warnings
from collections.abc import Sequence

_EXTRA = ("typer", "rich", "matplotlib", "imageio", "tifffile")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, or 2 after one line on standard error."""
    try:
        from sparsegmrf.cli._tell import tell

        with warnings.catch_warnings():  # that kernels cannot be kept is told when they are imported
            warnings.showwarning = lambda message, *_, **__: tell(f"warning: {message}")
            from sparsegmrf.cli._commands import run
    except OSError as error:  # of kernels that have no place at all
        print(f"sparsegmrf: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        print(
            f"sparsegmrf: the command line needs {error.name}; install it with: pip install 'sparsegmrf[cli]'",
            file=sys.stderr,
        )
        return 2
    return run(arguments)
