"""The explorer as a page on this machine: voila runs a notebook of one cell."""

import logging
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from ipykernel.kernelspec import write_kernel_spec
from voila.app import Voila

from sparsegmrf.errors import ArgumentError

ADDRESS = "127.0.0.1"
"""Only programs on this machine reach the page."""
_KERNEL = "sparsegmrf"
_POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' data: ws://{}:{}"
"""The page asks this server for everything, and nobody else for anything."""
_PING = 30_000
"""Milliseconds after which the page is asked whether it is still there, and within which it is to answer."""


def serve(port: int, *, browser: bool, tell: Callable[[str], None]) -> None:
    """Serve the page until interrupted.

    Parameters
    ----------
    port : int
        Port on this machine; 0 takes any that is free.
    browser : bool
        Whether to open the page in a browser.
    tell : callable
        Given the address before it is served.

    Raises
    ------
    ArgumentError
        If the port is taken.
    """
    number = free_port(port)
    with tempfile.TemporaryDirectory() as folder:
        notebook = write_notebook(Path(folder))
        os.environ["JUPYTER_PATH"] = os.pathsep.join([folder, os.environ.get("JUPYTER_PATH", "")]).rstrip(os.pathsep)
        headers = {"Content-Security-Policy": _POLICY.format(ADDRESS, number)}
        settings = {
            "ip": ADDRESS,
            "port": number,
            "port_retries": 0,
            "open_browser": browser,
            "log_level": logging.ERROR,
            "tornado_settings": {"headers": headers, "ws_ping_timeout": _PING},
        }
        tell(f"http://{ADDRESS}:{number}/")
        Voila.launch_instance([str(notebook)], **settings)


def free_port(port: int) -> int:
    """Return a port, after checking that nothing listens there; of 0 one that is free.

    Raises
    ------
    ArgumentError
        If it is taken.
    """
    with socket.socket() as probe:
        if os.name == "posix":  # as the server asks: connections of a server that has ended hold no port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise ArgumentError(
                f"port must be free, got {port}: {error.strerror}; give another one, or 0 for any that is free."
            ) from None
        return int(probe.getsockname()[1])


def write_notebook(folder: Path) -> Path:
    """Write the notebook, and beside it the kernel that runs it, that of this very Python; return its path."""
    write_kernel_spec(str(folder / "kernels" / _KERNEL), extra_arguments=["--log-level=ERROR"])
    format_4: Any = nbformat.v4  # without types
    cell = format_4.new_code_cell("import sparsegmrf\n\nsparsegmrf.explore()")
    metadata = {"kernelspec": {"name": _KERNEL, "display_name": _KERNEL, "language": "python"}}
    notebook = folder / "explore.ipynb"
    notebook.write_text(format_4.writes(format_4.new_notebook(cells=[cell], metadata=metadata)), encoding="utf-8")
    return notebook
