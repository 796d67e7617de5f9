"""Figures: fitted and filled images, images of pixels, the limit on a weight; with the extra ``cli``."""

from sparsegmrf.plot._correlation import correlation_figure
from sparsegmrf.plot._densities import densities_figure
from sparsegmrf.plot._diagnosis import diagnosis_figure, stack_diagnosis_figure
from sparsegmrf.plot._fill import channels_figure, fill_figure, posterior_figure, risk_figure, truth_figure
from sparsegmrf.plot._fit import likelihood_figure
from sparsegmrf.plot._pictures import (
    FIGURE_SUFFIXES,
    averaged_periodogram,
    experiment_figure,
    fit_figure,
    show_picture,
    write_figure,
)
from sparsegmrf.plot._pixels import pixel_figure
from sparsegmrf.plot._stack import season_figure, stack_figure
from sparsegmrf.plot._variogram import variogram_figure

__all__ = [
    "FIGURE_SUFFIXES",
    "averaged_periodogram",
    "channels_figure",
    "correlation_figure",
    "densities_figure",
    "diagnosis_figure",
    "experiment_figure",
    "fill_figure",
    "fit_figure",
    "likelihood_figure",
    "pixel_figure",
    "posterior_figure",
    "risk_figure",
    "season_figure",
    "show_picture",
    "stack_diagnosis_figure",
    "stack_figure",
    "truth_figure",
    "variogram_figure",
    "write_figure",
]
