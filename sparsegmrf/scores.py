"""Held-out pixels: which to hold out, what is predicted of them, and how well."""

from sparsegmrf.inference._holdout import Blocks, gap_copies, rectangles
from sparsegmrf.inference._leave_out import hold_out, leave_block_out
from sparsegmrf.inference._scores import (
    PITHistogram,
    Predictions,
    coverage,
    crps,
    interval_score,
    leave_one_out,
    log_score,
    pit,
    pit_histogram,
)

__all__ = [
    "Blocks",
    "PITHistogram",
    "Predictions",
    "coverage",
    "crps",
    "gap_copies",
    "hold_out",
    "interval_score",
    "leave_block_out",
    "leave_one_out",
    "log_score",
    "pit",
    "pit_histogram",
    "rectangles",
]
