"""Which products fronts are factorized with: our own, or those of BLAS."""

from sparsegmrf._blas_threads import blas_is_wide
from sparsegmrf.kernels import dense_products


def own_products() -> bool:
    """Return whether our own products are the faster ones.

    They are where the machine has registers of eight numbers and BLAS has no kernels for these. Where it has, its
    packing is a little better than ours; not so in the selected inverse, whose symmetric products are ours wherever the
    registers are there.
    """
    return dense_products.WIDE and not blas_is_wide()
