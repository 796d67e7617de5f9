"""Map the risk of a disease from counts in small areas, and say where it is raised.

Cases are simulated in 30 x 40 districts of unequal population: the logarithm of their risk is the sum of what
neighbours have in common and of what is a district's own (BYM, R-INLA's ``bym2``) and grows with deprivation, a
covariate. Some districts do not report. Run with ``python examples/disease_map.py``, five seconds; it prints how near
estimated risks are to the true ones, how often their intervals hold them, and how many districts that are called raised
are so, and writes disease_map.png.
"""

import numpy as np
from matplotlib.figure import Figure

from sparsegmrf import Matern, fill
from sparsegmrf.likelihoods import Poisson
from sparsegmrf.models import BYM
from sparsegmrf.plot import write_figure

EFFECT, RAISED, SURE = 0.3, 1.25, 0.9


def registry(seed=0, shape=(30, 40)):
    """Return cases (NaN where none are reported), expected cases, deprivation and the true risks."""
    rng = np.random.default_rng(seed)
    deprivation = Matern(range=10.0).gmrf(shape).sample(rng=rng)
    truth = BYM(sigma=0.35, phi=0.7)
    risk = np.exp(EFFECT * deprivation + truth.observe(truth.gmrf(shape).sample(rng=rng)))
    expected = np.exp(rng.normal(1.5, 1.0, shape))
    cases = rng.poisson(expected * risk).astype(float)
    cases[rng.random(shape) < 0.05] = np.nan
    cases[20:24, 5:11] = np.nan
    return cases, expected, deprivation, risk


def main(path="disease_map.png"):
    """Return errors of the logarithmic risk (ours, raw), coverage of its intervals, and the share of true alarms."""
    cases, expected, deprivation, risk = registry()
    result = fill(cases, model=BYM(), covariates={"deprivation": deprivation}, likelihood=Poisson(exposure=expected))
    found, alarm = result.fit.relative_risk(level=0.95), result.exceedance(RAISED)
    print(result.fit.summary())

    raw = cases / expected
    some, called, right = cases > 0, alarm > SURE, risk > RAISED
    error, of_raw = (np.sqrt(np.mean(np.log((each / risk)[some]) ** 2)) for each in (found.median, raw))
    inside = ((found.lower < risk) & (risk < found.upper)).mean()
    print(
        f"\nerror of the logarithm of the risk where there are cases: {error:.3f}; of cases over expected: {of_raw:.3f}"
    )
    print(f"95% intervals hold {inside:.1%} of all risks, of which {right.sum()} are above {RAISED}")
    share = f"{right[called].mean():.1%} of these are, {alarm[called].mean():.1%} expected"
    print(f"{called.sum()} are called so with {SURE:.0%}: {share}")

    figure = Figure(figsize=(10.0, 7.2), layout="constrained")
    maps = {"cases / expected": raw, "relative risk": found.median, "true risk": risk}
    for axis, title in zip(
        figure.subplots(2, 2).ravel(), [*maps, f"probability of a risk above {RAISED}"], strict=True
    ):
        axis.set(title=title, facecolor="grey", xticks=[], yticks=[])  # grey where nothing is reported
        if title in maps:
            shown = axis.imshow(np.log2(np.maximum(maps[title], 0.1)), cmap="RdBu_r", vmin=-2.0, vmax=2.0)
            figure.colorbar(shown, ax=axis, extend="both", label="powers of two")
        else:
            figure.colorbar(axis.imshow(alarm, cmap="magma", vmin=0.0, vmax=1.0), ax=axis)
    write_figure(path, figure)
    return (error, of_raw), inside, right[called].mean()


if __name__ == "__main__":
    main()
