"""Clouds over Landsat images: how well a long series fills them, in the design of the STFIT study.

``python -m bench.landsat PATH [masks] [together]``

`PATH` is an npz file: ``values`` (images, pixels) int16 with -32768 where missing, ``year``, ``doy``, ``targets``
(positions of complete ones among the images since 2000) and their ``season``, ``masks`` (M, pixels), True if hidden.
In each target each mask is hidden in turn, everything else of the series is kept; the error is the root mean square on
the hidden pixels, averaged over the cases (Zhu et al., STFIT: 78.1; spring 69.6, summer 62.8, fall 74.5, winter 112.4).

The modes are learnt once per target without its image, which is then conditioned on what each mask leaves of it: less
than the design allows, but the hidden pixels are seen by nothing. ``together`` learns once, without any of the targets:
less still, and twenty times as fast. `masks` is the number of masks per target.
"""

import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sparsegmrf.scores import crps
from sparsegmrf.stacks._modes import fill_modes, learn_modes
from sparsegmrf.stacks._modes_date import fill_date, scores_at
from sparsegmrf.stacks._modes_scores import Scores

_MISSING = -32768
_SEASONS = ("spring", "summer", "fall", "winter")


class Study(NamedTuple):
    values: np.ndarray
    days: np.ndarray
    targets: np.ndarray
    seasons: np.ndarray
    masks: np.ndarray


class Case(NamedTuple):
    season: str
    rmse: float
    crps: float
    covered: float


def read(path: Path) -> Study:
    """Return images ``(T, H, W)`` since 2000 and the design of the study."""
    data = np.load(path)
    since = data["year"] >= 2000
    values = data["values"][since].astype(float)
    values[values == _MISSING] = np.nan
    side = round(values.shape[1] ** 0.5)
    days = (data["year"][since] - 2000.0) * 365.25 + data["doy"][since]
    masks = data["masks"].reshape(-1, side, side)
    return Study(values.reshape(-1, side, side), days, data["targets"], data["season"], masks)


def cases_of(study: Study, rows: np.ndarray, masks: np.ndarray) -> list[Case]:
    """Return the scores of some targets under every mask, by modes that are learnt without these."""
    targets = study.targets[rows]
    stack = study.values.copy()
    stack[targets] = np.nan
    learnt = learn_modes(stack, study.days)
    days = study.days[targets]
    scores = scores_at(learnt, days)
    cases = []
    for row, target in enumerate(targets):
        prior = Scores(scores.mean[row : row + 1], scores.covariance[row : row + 1], scores.kernel)
        season = str(study.seasons[rows[row]])
        truth = study.values[target]
        cases += [_case(learnt, float(days[row]), prior, truth, hidden, season) for hidden in masks]
    return cases


def _case(learnt, day, prior, truth, mask, season) -> Case:
    hidden = mask & np.isfinite(truth)
    filled = fill_date(learnt.model, day, prior, np.where(mask, np.nan, truth))
    error = (truth - filled.mean)[hidden]
    deviation = np.sqrt((filled.variance + filled.noise_variance)[hidden])
    score = crps(truth[hidden], filled.mean[hidden], deviation)
    covered = np.abs(error) < 1.6449 * deviation
    return Case(season, float(np.sqrt((error**2).mean())), float(np.mean(score)), float(covered.mean()))


def table(cases: list[Case]) -> str:
    """Return scores by season as a markdown table."""
    lines = ["| season | cases | RMSE | median RMSE | CRPS | 90% intervals cover |", "|---|---|---|---|---|---|"]
    for name in (*_SEASONS, "all"):
        rows = np.array([case[1:] for case in cases if name in ("all", case.season)])
        if len(rows):
            rmse, score, covered = rows.mean(axis=0)
            median = np.median(rows[:, 0])
            lines.append(f"| {name} | {len(rows)} | {rmse:.1f} | {median:.1f} | {score:.1f} | {covered:.3f} |")
    return "\n".join(lines)


def main(path: str, count: str = "15", *options: str) -> None:
    study = read(Path(path))
    masks = study.masks[: int(count)]
    rows = np.arange(len(study.targets))
    cases: list[Case] = []
    begin = time.process_time()
    for some in [rows] if "together" in options else rows[:, None]:
        cases += cases_of(study, some, masks)
    print(table(cases), flush=True)
    print(f"{(time.process_time() - begin) / len(cases):.2f} s of processor time per case")
    wall, processor = time.perf_counter(), time.process_time()
    fill_modes(study.values, study.days)
    print(f"all {len(study.days)} images: {time.perf_counter() - wall:.1f} s", end=", ")
    print(f"{time.process_time() - processor:.1f} s of processor time")


if __name__ == "__main__":
    main(*sys.argv[1:])
