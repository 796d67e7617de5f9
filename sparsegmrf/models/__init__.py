"""Models: named parameters that stand for a stencil on a lattice."""
