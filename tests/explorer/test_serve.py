"""What the page is served by, and what is said where the extra is missing."""

import json
import os
import socket
import sys

import pytest

import sparsegmrf
from sparsegmrf.cli import main
from sparsegmrf.errors import ArgumentError
from tests.conftest import require


@pytest.fixture
def serve():
    for module in ("ipykernel", "nbformat", "voila"):
        require(module)
    from sparsegmrf._explorer import _serve

    return _serve


def test_notebook_shows_the_explorer_by_the_kernel_of_this_python(serve, tmp_path):
    notebook = json.loads(serve.write_notebook(tmp_path).read_text("utf-8"))
    (cell,) = notebook["cells"]
    assert "".join(cell["source"]).splitlines()[-1] == "sparsegmrf.explore()"
    name = notebook["metadata"]["kernelspec"]["name"]
    kernel = json.loads((tmp_path / "kernels" / name / "kernel.json").read_text("utf-8"))
    assert kernel["argv"][0] == sys.executable


def test_port_that_is_taken_is_refused(serve):
    with socket.socket() as taken:
        taken.bind((serve.ADDRESS, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ArgumentError, match=f"port must be free, got {port}: .* give another one, or 0"):
            serve.free_port(port)
    assert serve.free_port(port) == port
    assert serve.free_port(0) > 0


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a port is free at once, or a stranger's")
def test_port_of_a_page_that_was_just_ended_is_free_again(serve):
    with socket.create_server((serve.ADDRESS, 0)) as ended:
        port = ended.getsockname()[1]
        with socket.create_connection((serve.ADDRESS, port)):
            served, _ = ended.accept()
            served.close()  # first, as a server does that is interrupted: its end of the connection lingers
    with socket.socket() as asking, pytest.raises(OSError, match="in use"):
        asking.bind((serve.ADDRESS, port))
    assert serve.free_port(port) == port


def test_command_tells_the_address_and_serves_there(serve, monkeypatch, capsys):
    launched = []
    monkeypatch.setattr(serve.Voila, "launch_instance", lambda argv, **settings: launched.append((argv, settings)))
    monkeypatch.setenv("JUPYTER_PATH", "elsewhere")
    assert main(["explore", "--port", "0", "--no-browser"]) == 0
    ((notebook,), settings) = launched[0]
    assert notebook.endswith(".ipynb")
    assert settings["ip"] == "127.0.0.1"
    assert not settings["open_browser"]
    assert f"http://127.0.0.1:{settings['port']}/" in capsys.readouterr().out


@pytest.mark.parametrize("library", ["ipywidgets", "ipympl"])
def test_notebook_without_the_extra_is_told_how_to_install_it(library, monkeypatch):
    for module in [name for name in sys.modules if name.startswith("sparsegmrf._explorer._")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setitem(sys.modules, f"{library}.backend_nbagg", None)
    if library == "ipympl":
        require("ipywidgets")
    with pytest.raises(ModuleNotFoundError, match=rf'{library}; install it with: pip install "sparsegmrf\[explore\]"'):
        sparsegmrf.explore()


def test_command_without_the_extra_is_told_on_one_line(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "sparsegmrf._explorer._serve", raising=False)
    for module in ("voila", "voila.app", "nbformat", "ipykernel.kernelspec", "ipykernel"):
        monkeypatch.setitem(sys.modules, module, None)
    assert main(["explore", "--no-browser"]) == 2
    assert 'pip install "sparsegmrf[explore]"' in capsys.readouterr().err
