"""One line on standard error."""

from rich.console import Console


def tell(message: str) -> None:
    """Print a message on one line of standard error, under the name of the command."""
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(
        "sparsegmrf: " + " ".join(message.split())
    )
