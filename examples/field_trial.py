"""Compare the varieties of a field trial, with and without a model of the soil.

Sixteen varieties stand in a simulated trial of 12 x 20 plots, randomized, fifteen plots each; some were lost. The soil
varies along rows and columns as ASReml's ``ar1(row):ar1(column)``, beside an error of each plot (``units``). Fitted by
REML with the varieties as a factor, beside plots that know nothing of each other, for a number of trials of the same
soil. Run with ``python examples/field_trial.py``, ten seconds; the last lines say how far estimated differences are
from the true ones, and how far their standard errors say they are.
"""

import numpy as np

from sparsegmrf import compare_fits, fit
from sparsegmrf.inference import factor
from sparsegmrf.models import AR1xAR1, Independent

SOIL, PLOT = AR1xAR1(rho_row=0.85, rho_column=0.7, sigma=0.6), 0.3  # tonnes per hectare
VARIETIES = np.array([f"v{k:02d}" for k in range(16)])
GAINS = np.linspace(-0.4, 0.5, 16).round(2)  # true yields of the varieties over 6 tonnes


def trial(rng, shape=(12, 20)):
    """Return which variety stands where, and the yields, NaN where a plot was lost."""
    number = rng.permutation(np.arange(shape[0] * shape[1]) % len(VARIETIES)).reshape(shape)
    yields = 6.0 + GAINS[number] + SOIL.gmrf(shape).sample(rng=rng) + PLOT * rng.standard_normal(shape)
    yields[rng.random(shape) < 0.03] = np.nan
    return VARIETIES[number], yields


def analysed(variety, yields):
    """Return the fits with and without a model of the soil."""
    treatments = [factor("variety", variety)]
    soil = fit(AR1xAR1(), yields, covariates=treatments, method="reml")
    plain = fit(Independent(), yields, covariates=treatments, method="reml", noise_variance=None)
    return {"ar1(row):ar1(column)": soil, "independent plots": plain}


def differences(result):
    """Return the differences of all pairs of varieties, their standard errors, and the true ones."""
    pairs = result.marginal_means("variety").pairwise()
    first, second = np.triu_indices(len(GAINS), 1)
    return pairs.estimate, pairs.standard_error, GAINS[first] - GAINS[second]


def main(trials=20, seed=1):
    """Return, per model, the error of a difference of two varieties and the standard error that it is given."""
    rng = np.random.default_rng(seed)
    variety, yields = trial(rng)
    fits = analysed(variety, yields)
    soil = fits["ar1(row):ar1(column)"]
    means = soil.marginal_means("variety")
    print(soil, compare_fits(**fits), means, sep="\n\n")
    print(means.contrast({f"{name} - v00": {f"variety={name}": 1.0, "variety=v00": -1.0} for name in VARIETIES[-3:]}))

    squares = {name: [] for name in fits}
    for _ in range(trials):
        for name, result in analysed(*trial(rng)).items():
            found, error, truth = differences(result)
            squares[name].append(((found - truth) ** 2, error**2))
    print(f"\ndifference of two varieties, {trials} trials    error    standard error")
    scores = {name: np.sqrt(np.mean(each, axis=(0, 2))) for name, each in squares.items()}
    for name, (error, said) in scores.items():
        print(f"{name:>41}{error:9.3f}{said:15.3f}")
    return scores


if __name__ == "__main__":
    main()
