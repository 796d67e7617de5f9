"""Choice of a model of a stack by what moved clouds hide."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError, TooLargeError
from sparsegmrf.inference._progress import expect, stage
from sparsegmrf.inference._scores import crps, log_score
from sparsegmrf.models import Independent
from sparsegmrf.stacks._clouds import MovedClouds
from sparsegmrf.stacks._comparison import StackCandidate, StackComparison
from sparsegmrf.stacks._cross_validation import StackCrossValidation, clouds_of, score
from sparsegmrf.stacks._filled import plan_of
from sparsegmrf.stacks._options import FillOptions
from sparsegmrf.stacks._plan import work_of
from sparsegmrf.stacks._read import Stack
from sparsegmrf.stacks._scores import mean_by_date
from sparsegmrf.stacks._series import MODES, images_seen, is_long
from sparsegmrf.typing import FloatArray

_IMAGES = 12
"""Images with a share of their pixels seen with which modes are compared."""
_LIKELIHOODS = 30.0
"""Of a search, about."""
_WORTH = 5e12
"""Operations that a candidate other than the default may take: some minutes."""
_LEVEL, _SEASON = "level", "season"


def compare(stack: Stack, options: FillOptions, stream: np.random.Generator) -> tuple[StackComparison, FillOptions]:
    """Score the candidates on the same moved clouds, and return the table and the options of the one to be chosen."""
    clouds = clouds_of(stack, None, None, stream)
    left_out: dict[str, str] = {}
    scored: dict[str, tuple[FillOptions, StackCrossValidation]] = {}
    worth: dict[str, FillOptions] = {}
    for name, own in _candidates(stack, options, left_out):
        reason = _too_much(stack, own, clouds) if worth else ""  # the first one is the default
        if reason:
            left_out[name] = reason
        else:
            worth[name] = own
    expect(len(worth))
    for name, own in worth.items():
        try:
            with stage(name):
                scored[name] = own, score(stack, own, clouds, False)
        except (ArgumentError, NotPositiveDefiniteError, TooLargeError) as error:
            if not scored:
                raise
            left_out[name] = str(error)
    default = next(iter(scored.values()))[1]
    candidates = tuple(_candidate(name, found, default, stack) for name, (_, found) in scored.items())
    better = [each for each in candidates if each.is_better]
    chosen = min(better, key=lambda each: each.scores.crps, default=candidates[0])
    pixels = int(np.count_nonzero(clouds.held_out))
    return StackComparison(candidates, left_out, chosen, clouds.count, pixels), scored[chosen.name][0]


def _candidates(stack: Stack, options: FillOptions, left_out: dict[str, str]) -> Iterator[tuple[str, FillOptions]]:
    """Yield names and options, those of the default first; and say why modes are none."""
    field = replace(options, model=None)
    modes, refused = replace(options, model=MODES), _no_modes(stack, field)
    if not refused and is_long(stack):
        yield MODES, modes
    harmonics = field.problem(stack, np.zeros(stack.values.shape, dtype=bool))[0].seasons.harmonics
    kinds: list[int | None] = [harmonics, *(each for each in (None, 0) if each != harmonics)]
    for kind in kinds:
        what = "no maps" if kind is None else f"{_SEASON if kind else _LEVEL} maps"
        yield f"field, {what}", replace(field, harmonics=kind)
        if kind is not None and kind == max(harmonics or 0, 0):
            own = replace(field, harmonics=kind, mean_model=Independent())
            yield f"field, {_SEASON if kind else _LEVEL} of each pixel by itself", own
    if refused:
        left_out[MODES] = refused
    elif not is_long(stack):
        yield MODES, modes


def _no_modes(stack: Stack, field: FillOptions) -> str:
    """Return why modes cannot be compared; empty if they can."""
    if field.said:
        return f"{', '.join(field.said)} belong to the model of a field"
    count = images_seen(stack)
    if count < _IMAGES:
        return f"{_IMAGES} images of which a fifth is seen are needed to learn them, got {count}"
    return ""


def _too_much(stack: Stack, options: FillOptions, clouds: MovedClouds) -> str:
    """Return why a candidate cannot be compared or takes too long to be; empty if it does not."""
    if options.series_model() is not None:
        return ""
    try:
        problem = options.problem(stack, clouds.held_out)[0]
        fit, filled = work_of(*plan_of(stack, problem, options, np.zeros(0), 0))
    except (ArgumentError, NotPositiveDefiniteError, TooLargeError) as error:
        return str(error)
    operations = _LIKELIHOODS * fit + clouds.n_folds * (fit + filled)
    if operations <= _WORTH:
        return ""
    return f"would take some {operations:.2g} operations, and {_WORTH:.2g} are worth a comparison; fill by it alone"


def _candidate(name: str, found: StackCrossValidation, default: StackCrossValidation, stack: Stack) -> StackCandidate:
    held = found.clouds.held_out
    days = np.broadcast_to(stack.days[:, np.newaxis, np.newaxis], held.shape)[held]

    def gained(by: str) -> tuple[float, float]:
        own, others = (_scores(each, by) for each in (found, default))
        return mean_by_date(others - own, days)

    return StackCandidate(name, found.scores, *gained("crps"), *gained("log_score"), found.fits[0].parameters)


def _scores(found: StackCrossValidation, by: str) -> FloatArray:
    held, said = found.clouds.held_out, found.predictions
    rule = crps if by == "crps" else log_score
    return rule(said.observed[held], said.mean[held], said.std[held])
