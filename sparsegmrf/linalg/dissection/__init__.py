"""Exact Cholesky factor of any stencil precision by nested dissection of the image."""
