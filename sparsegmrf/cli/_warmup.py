"""The command ``warmup``: kernels are compiled before anybody waits for them."""

import logging
from typing import Annotated

import typer

from sparsegmrf import warmup as kernels
from sparsegmrf.cli._report import Progress, show_table
from sparsegmrf.errors import ArgumentError


def warmup(
    parts: Annotated[
        str | None,
        typer.Option(
            help="fields, textures, ensembles, pixels, stacks, tiles, sparse, torch; some of these, with commas."
        ),
    ] = None,
) -> None:
    """Compile kernels beforehand, so that nobody waits for them.

    What the usual calls need is kept, as for the image of a container.
    """
    known = kernels.available_parts()
    chosen = known if parts is None else tuple(part.strip() for part in parts.split(","))
    unknown = [part for part in chosen if part not in known]
    if unknown:
        raise ArgumentError(f"--parts must be among {', '.join(known)}, got {', '.join(unknown)}.")
    place = kernels.kernel_directory()
    logging.getLogger("sparsegmrf.kernels").setLevel(logging.ERROR)  # the bar says it
    counts = {}
    with Progress(len(chosen)) as step:
        for part in chosen:
            step(f"compiling kernels of {part}")
            counts[part] = f"{kernels.compile_kernels([part])} kernels compiled"
    show_table(counts)
    typer.echo(f"kept in {place}")
