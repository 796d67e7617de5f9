"""What fields become when a parameter runs to an end of its interval, in words for messages."""

from sparsegmrf.models._neighbourhood import Neighbourhood

VANISHES = "the field vanishes, and the image is its trend and noise"
CONSTANT = "the field is constant, and the image is its trend and noise"
PLANE = "the field is a plane, and the image is its trend and noise"
UNBOUND = "nothing holds the field any more, and it follows the image exactly"

_LINES = {
    ("stretch", True): "the field is constant along rows",
    ("stretch", False): "the field is constant along columns",
    ("shear", True): "the field is constant along diagonals from upper left to lower right",
    ("shear", False): "the field is constant along diagonals from lower left to upper right",
}


def end_of_scale(high: bool) -> str:
    """Return what becomes of a proper field when its standard deviation runs to an end."""
    return UNBOUND if high else VANISHES


def end_of_anisotropy(name: str, high: bool) -> str:
    """Return what becomes of a field when its stretch or shear runs to an end."""
    return _LINES[name, high]


def end_of_interaction(neighbours: Neighbourhood, name: str, high: bool, by_degree: bool, tied: str, named: str) -> str:
    """Return what becomes of an autoregression when an interaction runs to an end.

    `tied` is the field whose neighbours are all tied, and `named` the model that it is with one number for the four
    nearest.
    """
    if len(neighbours.names) == 1:
        if high:
            return (
                f"neighbours are tied{named}" if neighbours.is_nearest else f"neighbours are tied: the field is {tied}"
            )
        alternate = "neighbours alternate in sign, as on a chessboard"
        return alternate if neighbours.is_nearest else "neighbours differ as much as the neighbourhood allows"
    if by_degree:
        side = {"rho_vertical": "vertical neighbours", "rho_horizontal": "horizontal neighbours"}
        return f"{side.get(name, 'the neighbours that it weighs')} are tied{'' if high else ' with opposite signs'}"
    if high and (neighbours.values >= 0.0).all():
        return f"neighbours are tied: the field is {tied}"
    return "a wave on the lattice varies without bound"
