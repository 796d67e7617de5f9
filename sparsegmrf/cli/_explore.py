"""The command ``explore``: the explorer as a page on this machine."""

from typing import Annotated

import typer

from sparsegmrf._explorer import optional


def explore(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")] = 8866,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
) -> None:
    """Play with fields on a page served on this machine.

    Experiment, models, and holes drawn with the mouse, until interrupted.
    """

    def tell(address: str) -> None:
        print(f"the explorer is at {address}; Ctrl+C ends it", flush=True)

    optional("_serve").serve(port, browser=browser, tell=tell)
