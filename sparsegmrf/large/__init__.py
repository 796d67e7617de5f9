"""Rasters beyond memory: fields given observations tile by tile, with bounds on what the tiles do not see."""
