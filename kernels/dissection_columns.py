"""Columns of the table of nodes that is a program for congruent tiles: one row of integers per node.

Places in the factor and in the slots count vectors of eight numbers. The second half's columns stand `NODE_PER_HALF`
behind the first's. No kernel stands here.
"""

NODE_ELIMINATED = 0  # S, unknowns eliminated
NODE_UPDATED = 1  # B, unknowns updated
NODE_FACTOR = 2  # place of L in the tile's factor
NODE_UPDATE = 3  # place of U in the slots
NODE_HALF_UPDATE = 4  # place of the half's U in the slots, or -1
NODE_HALF_UPDATED = 5  # B of the half
NODE_HALF_MAP = 6  # first entry of the half's map
NODE_PER_HALF = 3
NODE_ASSEMBLY = 10  # first row of the assembly table
NODE_ASSEMBLY_END = 11  # past the last row of the assembly table
NODE_PIXEL = 12  # flat index of the node's first pixel in the tile
NODE_POSITIONS = 13  # first entry of the front's tile positions
NODE_COLUMNS = 14
