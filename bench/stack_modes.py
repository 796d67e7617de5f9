"""Where intervals of modes are short: parts of the truth are taken as known, in turn, and the rest is estimated.

``python -m bench.stack_modes [stacks]``. Simulated stacks of 64 x 24 x 24, by `bench.stack_growth`, with a field that
lasts 40 days and with one of each date's own. Two fifths of the pixels are under clouds; printed is the share of these
that 90% intervals hold, of modes that are learnt alone (without the rounds of `_modes_refine`), and at last with these.
"""

import sys
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from bench import stack_growth
from sparsegmrf.stacks import _modes_em as em
from sparsegmrf.stacks import _modes_refine
from sparsegmrf.stacks._modes import fill_modes
from sparsegmrf.stacks._modes_local import LocalField
from sparsegmrf.stacks._modes_plan import plan_modes
from sparsegmrf.stacks._modes_posterior import WeightedSeries, posterior
from sparsegmrf.stacks._modes_spread import Spread

DATES, SHAPE = 64, (24, 24)
LEVEL, NOISE, RANGE = 20.0, 0.09, 8.0
"""Of the simulation: its mean, the variance of the noise, and the range of the field, whose variance is one."""
ROWS = {
    "nothing": {},
    "seasons": {"known": ("seasons",)},
    "number of modes": {"rank": 4},
    "modes": {"known": ("modes",)},
    "modes and scores": {"scores": True},
    "variances": {"variances": True},
    "seasons, modes, variances": {"known": ("seasons", "modes"), "variances": True},
}


class Simulated(NamedTuple):
    stack: np.ndarray
    days: np.ndarray
    truth: np.ndarray
    patterns: np.ndarray
    scores: np.ndarray


def main(count="6"):
    """Print shares by what is taken as known, and with modes refined."""
    print("| taken as known | field that lasts 40 days | each date's own |")
    print("|---|---|---|")
    simulated = [[stack_of(seed, lasts) for seed in range(int(count))] for lasts in (True, False)]
    for name, options in ROWS.items():
        line(name, [[held(each, **options) for each in some] for some in simulated])
    line("nothing; modes refined", [[refined(each) for each in some] for some in simulated])


def line(name, shares):
    """Print means and their standard errors."""
    cells = [f"{np.mean(each):.3f} +- {np.std(each) / max(1, len(each) - 1) ** 0.5:.3f}" for each in shares]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def stack_of(seed, lasts):
    """Return a stack under clouds with its truth."""
    found = stack_growth.simulated_parts("modes", DATES, SHAPE, seed, stack_growth.ELL if lasts else 0.0)
    return Simulated(*found)


def refined(simulated):
    """Return the share that intervals of the whole model hold."""
    filled, hidden = fill_modes(simulated.stack, simulated.days), np.isnan(simulated.stack)
    error = np.abs(filled.mean - simulated.truth)[hidden]
    return np.mean(error < 1.6449 * np.sqrt(filled.variance[hidden]))


def held(simulated, known=(), rank=None, scores=False, variances=False):
    """Return the share of the hidden pixels that intervals hold, parts of the truth being known."""
    stack, _, truth, patterns, h = simulated
    if scores:  # what they and the modes make is taken off
        stack, truth, rank = (*(each - np.tensordot(h, patterns, 1) for each in (stack, truth)), 0)
    flat = stack.reshape(len(stack), -1) - LEVEL
    seen = np.isfinite(flat)
    series = em.Series(np.where(seen, flat, 0.0), seen, simulated.days)
    plan = plan_modes(seen, SHAPE, rank=len(patterns) if "modes" in known else rank)
    loadings = 3.0 * patterns.reshape(len(patterns), -1).T
    learned = _learn(series, plan, known, loadings)
    local = _modes_refine.local_field_of(series, learned, SHAPE)
    weights, scales, modes = learned.weights, learned.scales, learned.modes
    if variances:
        weights, scales = seen.astype(float), np.ones(len(stack))
        modes = replace(modes, noise=np.full_like(modes.noise, 1.0 + NOISE))
        local = LocalField(SHAPE, 8.0 / RANGE**2, 1.0 / (1.0 + NOISE), 2)
    found = posterior(modes, local, WeightedSeries(series, weights, scales), 0, np.random.default_rng(0))
    error = np.abs(found.mean + LEVEL - truth.reshape(len(truth), -1))[~seen]
    return np.mean(error < 1.6449 * np.sqrt(found.variance[~seen]))


def _learn(series, plan, known, loadings):
    """Learn modes, coefficients that are known being put in their place after every update."""
    update, rotate = em.update_pixels, em._rotated

    def of_known(series, state):
        new = update(series, state)
        modes = new.modes
        if "seasons" in known:
            modes = _given(modes, slice(0, modes.fixed), np.zeros((len(modes.mean), modes.fixed)))
        if "modes" in known and modes.kernel.rank:
            modes = _given(modes, slice(modes.fixed, None), loadings)
        squares = em.expected_squares(series, modes, state.scores)
        noise, scales = em._noise_of(series.seen, squares, state.modes.noise, state.scales)
        return em.Learned(replace(modes, noise=noise), state.scores, squares, scales)

    if known:
        em.update_pixels = of_known
    if "modes" in known:
        em._rotated = lambda state: state
    try:
        return em.learn(series, plan.rank, plan.harmonics)
    finally:
        em.update_pixels, em._rotated = update, rotate


def _given(modes, which, values):
    """Return coefficients of which some are known: the normal law of the others given these."""
    S = modes.spread.turned(modes.spread.packed)
    on = np.zeros(S.shape[1], dtype=bool)
    on[which] = True
    gain = np.linalg.solve(S[:, on][:, :, on] + 1e-14 * np.eye(on.sum()), S[:, on][:, :, ~on])
    mean, spread = modes.mean.copy(), np.zeros_like(S)
    mean[:, ~on] += np.einsum("nab,na->nb", gain, values - mean[:, on])
    mean[:, on] = values
    rest = S[:, ~on][:, :, ~on] - np.einsum("nab,nac->nbc", gain, S[:, on][:, :, ~on])
    spread[np.ix_(np.arange(len(S)), ~on, ~on)] = rest
    return replace(modes, mean=mean, spread=Spread.of(spread))


if __name__ == "__main__":
    main(*sys.argv[1:])
