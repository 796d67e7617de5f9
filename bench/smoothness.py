"""What fractional smoothness is worth: errors of covariance, an exponential field, estimates of nu, a raster with gaps.

``python -m bench.smoothness errors | exponential OUT.png | estimates [COUNT] | raster FILE.npz [LARGEST]``
"""

import sys
import time

import numpy as np

from sparsegmrf import fit
from sparsegmrf.models import Matern, TensionSpline
from sparsegmrf.scores import coverage, crps, gap_copies

SMOOTHNESS = (0.25, 0.5, 0.75, 1.25, 1.5, 2.5)
RANGES = (5.0, 10.0, 20.0, 40.0, 100.0)
SIDE = 40
RANGE = 10.0
DRAWS = 2000


def errors():
    """Print the largest error of a covariance over the variance, for 2, 3 and 4 terms."""
    print(f"{'nu':>6}{'terms':>7}" + "".join(f"{reach:>12g}" for reach in RANGES))
    for nu in SMOOTHNESS:
        for terms in (2, 3, 4):
            found = [Matern(reach, nu=nu, terms=terms).covariance_error() for reach in RANGES]
            print(f"{nu:>6g}{terms:>7}" + "".join(f"{each:>12.1e}" for each in found))


def exponential(out):
    """Draw fields from an exponential covariance by a dense factor and by the package; spectra and variograms."""
    from matplotlib.figure import Figure

    at = np.indices((SIDE, SIDE)).reshape(2, -1).T
    lag = np.hypot(*(at[:, np.newaxis] - at).transpose(2, 0, 1))
    L = np.linalg.cholesky(np.exp(-2.0 * lag / RANGE))
    rng = np.random.default_rng(0)
    dense = (rng.standard_normal((DRAWS, len(L))) @ L.T).reshape(DRAWS, SIDE, SIDE)
    margin = int(3 * RANGE)  # the image lies in the middle of a larger one, where the border is not felt
    field = Matern(RANGE, nu=0.5).gmrf((SIDE + 2 * margin,) * 2)
    ours = field.sample(DRAWS, rng=1)[:, margin:-margin, margin:-margin]
    h = np.arange(1, SIDE // 2)
    gamma = {"dense factor": variogram(dense, h), "package": variogram(ours, h)}
    truth = 1.0 - np.exp(-2.0 * h / RANGE)
    print(f"{'lag':>5}{'exact':>10}" + "".join(f"{name:>16}" for name in gamma))
    for k in (0, 1, 2, 4, 9, 14):
        print(f"{h[k]:>5}{truth[k]:>10.4f}" + "".join(f"{each[k]:>16.4f}" for each in gamma.values()))
    figure = Figure(figsize=(11.0, 7.5), layout="constrained")
    axes = figure.subplots(2, 2)
    for ax, image, name in zip(axes[0], (dense[0], ours[0]), gamma, strict=True):
        ax.imshow(image, cmap="viridis", vmin=-3.0, vmax=3.0)
        ax.set_title(f"one field, {name}")
        ax.set_xticks([])
        ax.set_yticks([])
    left, right = axes[1]
    left.plot(h, truth, color="black", linewidth=1.0, label="1 - exp(-2 h / 10)")
    for (name, each), mark in zip(gamma.items(), ("o", "x"), strict=True):
        left.plot(h, each, mark, markersize=5, label=f"{name}, {DRAWS} draws", fillstyle="none")
    left.set(xlabel="lag h along rows and columns, pixels", ylabel="semivariance", title="variogram")
    left.legend()
    for (name, images), mark in zip({"dense factor": dense, "package": ours}.items(), ("o", "x"), strict=True):
        k, power = spectrum(images)
        right.loglog(k, power, mark, markersize=5, label=name, fillstyle="none")
    right.loglog(k, power[len(k) // 3] * (k / k[len(k) // 3]) ** -3.0, "k--", linewidth=1.0, label="slope -3")
    right.set(xlabel="frequency, cycles per pixel", ylabel="power", title="spectrum, averaged over directions")
    right.set_xticks([0.05, 0.1, 0.2, 0.4], ["0.05", "0.1", "0.2", "0.4"])
    right.minorticks_off()
    right.legend()
    figure.savefig(out, dpi=110)


def variogram(images, lags):
    """Return half the mean squared difference at lags along both axes, over all images."""
    both = [images, images.swapaxes(1, 2)]
    return np.array([np.mean([0.5 * np.mean((each[:, h:] - each[:, :-h]) ** 2) for each in both]) for h in lags])


def spectrum(images):
    """Return frequencies and mean powers of images under a Hann window, in rings."""
    window = np.hanning(images.shape[1] + 2)[1:-1]
    tapered = (images - images.mean()) * window[:, np.newaxis] * window
    power = np.mean(np.abs(np.fft.fft2(tapered)) ** 2, axis=0)
    f = np.fft.fftfreq(len(power))
    radius = np.hypot(f[:, np.newaxis], f)
    edges = np.arange(1.5, len(power) / 2 + 0.5) / len(power)
    ring = np.digitize(radius.ravel(), edges)
    keep = (ring > 0) & (ring < len(edges))
    count = np.bincount(ring[keep])[1:]
    means = [np.bincount(ring[keep], each.ravel()[keep])[1:] / count for each in (radius, power)]
    return means[0], means[1]


def estimates(count=200):
    """Print bias and coverage of the estimates of nu over simulated images of 48 x 48 with little noise."""
    for truth in (Matern(8.0, 1.0, 0.5), Matern(8.0, 1.0, 1.4)):
        found, start = [], time.perf_counter()
        for seed in range(count):
            rng = np.random.default_rng(seed)
            image = truth.gmrf((48, 48)).sample(rng=rng) + 0.1 * rng.standard_normal((48, 48))
            result = fit(Matern(nu="estimate"), image, noise_variance=0.01)
            low, high = result.confidence_intervals()["nu"]
            found.append((result.parameters["nu"], low <= truth.nu <= high, result.converged, result.evaluations))
        nu, inside, converged, evaluations = np.array(found).T
        error = nu.std(ddof=1) / np.sqrt(count)
        print(
            f"nu {truth.nu:g}: mean {nu.mean():.4f} +- {error:.4f}, spread {nu.std(ddof=1):.4f}, 95% intervals hold it "
            f"in {int(inside.sum())} of {count}, converged {int(converged.sum())}, "
            f"likelihoods {evaluations.mean():.1f}, {time.perf_counter() - start:.0f} s"
        )


def raster(path, largest=None):
    """Fill a raster with three fields, and score them on copies of its gaps that are held out."""
    values = np.load(path)["temperature"].astype(float)[: _number(largest), : _number(largest)]
    held = gap_copies(np.isfinite(values), rng=0, share=0.2).held_out
    models = {
        "Matern(nu=0.5)": Matern(nu=0.5),
        'Matern(nu="estimate")': Matern(nu="estimate"),
        "default": TensionSpline(kappa=0.5),
    }
    print(f"{values.size} pixels, {np.isfinite(values).sum()} observed, {held.sum()} held out")
    hidden = np.where(held, np.nan, values)
    for name, model in models.items():
        start = time.perf_counter()
        result = fit(model, hidden)
        found = result.predict()
        y, mean, std = values[held], found.mean[held], found.predictive_std[held]
        estimated = ", ".join(f"{key} {value:.4g}" for key, value in result.parameters.items())
        print(
            f"{name:<24}RMSE {np.sqrt(np.mean((y - mean) ** 2)):.4f}  CRPS {crps(y, mean, std).mean():.4f}  "
            f"95% intervals hold {coverage(y, mean, std):.3f}  log-likelihood {result.loglik:.1f}  "
            f"{result.evaluations} likelihoods  {time.perf_counter() - start:.0f} s"
        )
        print(f"    {estimated}\n    {result.reason}", flush=True)


def _number(text):
    return None if text is None else int(text)


def main(what, *rest):
    """Run one of the four."""
    if what == "estimates":
        estimates(*map(int, rest))
    else:
        {"errors": errors, "exponential": exponential, "raster": raster}[what](*rest)


if __name__ == "__main__":
    main(*sys.argv[1:])
