"""Counts of a BYM field beside TMB: the Laplace likelihood, its maximum and errors, and relative risks.

``python -m bench.tmb_counts`` needs R with its package TMB and a C++ compiler (``r-cran-tmb`` and ``g++`` of Debian);
``python -m bench.tmb_counts 60 80`` takes a lattice of that height and width. Seconds are of processor time.
TMB has the Laplace approximation of any density written in C++ (K. Kristensen, A. Nielsen, C. Berg, H. Skaug, B. Bell
(2016), TMB: automatic differentiation and Laplace approximation, Journal of Statistical Software 70).
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.io import mmwrite

from sparsegmrf import fit
from sparsegmrf.inference import Risk
from sparsegmrf.likelihoods import Poisson
from sparsegmrf.models import BYM, Intrinsic

POINTS = ((0.4, 0.3), (0.7, 0.6), (1.2, 0.95))
"""Values of sigma and phi at which likelihoods are compared."""

TEMPLATE = """
#include <TMB.hpp>
template<class Type> Type objective_function<Type>::operator() () {
  DATA_VECTOR(y); DATA_VECTOR(exposure); DATA_SPARSE_MATRIX(R); DATA_SCALAR(logdet);
  PARAMETER(log_sigma); PARAMETER(logit_phi); PARAMETER_VECTOR(u); PARAMETER_VECTOR(v);
  Type phi = invlogit(logit_phi), variance = exp(2.0 * log_sigma), tau = 1.0 / (variance * phi);
  int n = y.size();
  vector<Type> Ru = R * u;
  Type nll = 0.5 * tau * (u * Ru).sum() - 0.5 * (Type(n - 1) * (log(tau) - log(2.0 * M_PI)) + logdet);
  nll -= dnorm(v, Type(0.0), sqrt(variance * (1.0 - phi)), true).sum();
  for (int i = 0; i < n; i++)
    if (!R_IsNA(asDouble(y(i)))) nll -= dpois(y(i), exposure(i) * exp(u(i) + v(i)), true);
  return nll;
}
"""

SCRIPT = """
suppressMessages({library(TMB); library(Matrix)})
compile("bym.cpp"); dyn.load(dynlib("bym"))
given <- read.csv("data.csv"); R <- as(as(readMM("R.mtx"), "generalMatrix"), "CsparseMatrix")
n <- nrow(given)
made <- function() MakeADFun(
  list(y = given$y, exposure = given$exposure, R = R, logdet = scan("logdet.txt", quiet = TRUE)),
  list(log_sigma = 0, logit_phi = 0, u = rep(0, n), v = rep(0, n)), random = c("u", "v"), DLL = "bym", silent = TRUE)
at <- as.matrix(read.csv("points.csv"))
objective <- made()
values <- apply(at, 1, function(p) -objective$fn(c(log(p[1]), qlogis(p[2]))))
# eta = u + v given the last of the points: mode, and deviation |L^-1 P a| with a^T = (1, 1) at a pixel, L L^T = P H P^T
mode <- objective$env$last.par[objective$env$random]
L <- Cholesky(objective$env$spHess(objective$env$last.par, random = TRUE), perm = TRUE, LDL = FALSE)
variance <- numeric(n)
for (part in split(seq_len(n), (seq_len(n) - 1) %/% 256)) {
  k <- seq_along(part); a <- matrix(0, 2 * n, length(part)); a[cbind(part, k)] <- 1; a[cbind(n + part, k)] <- 1
  variance[part] <- colSums(as.matrix(solve(L, solve(L, a, system = "P"), system = "L"))^2)
}
risks <- list(mode = mode[seq_len(n)] + mode[n + seq_len(n)], sd = sqrt(variance))
for (again in 1:2) clock <- system.time({  # the second one is timed
  objective <- made(); best <- nlminb(objective$par, objective$fn, objective$gr)
  errors <- sqrt(diag(sdreport(objective)$cov.fixed))})
seconds <- sum(clock[c("user.self", "sys.self")])
number <- function(x) paste(formatC(x, digits = 17, format = "g"), collapse = ", ")
cat("JSON{\\"values\\": [", number(values), "], \\"best\\": [", number(best$par), "], \\"loglik\\": ",
  number(-best$objective), ", \\"errors\\": [", number(errors), "], \\"seconds\\": ", number(seconds),
  ", \\"mode\\": [", number(risks$mode), "], \\"sd\\": [", number(risks$sd), "]}\\n", sep = "")
"""


def main(height: int = 24, width: int | None = None) -> None:
    """Print likelihoods, estimates, errors and times of both; without a width the lattice is a square."""
    y, exposure = counts((height, height if width is None else width))
    theirs = by_tmb(y, exposure)
    print(f"{y.shape[0]} x {y.shape[1]} pixels, {int(np.isnan(y).sum())} missing; log-likelihoods in nats")
    print(f"{'sigma':>8}{'phi':>8}{'sparsegmrf':>22}{'TMB':>22}{'difference':>14}")
    for (sigma, phi), other in zip(POINTS, theirs["values"], strict=True):
        own = fit(BYM(sigma, phi), y, likelihood=Poisson(exposure), fixed=["sigma", "phi"])
        print(f"{sigma:8g}{phi:8g}{own.loglik:22.10f}{other:22.10f}{own.loglik - other:14.2e}")
    print_risks(own.relative_risk(0.95), np.reshape(theirs["mode"], y.shape), np.reshape(theirs["sd"], y.shape))
    for _ in range(2):  # the second one is timed
        start = time.process_time()
        found = fit(BYM(), y, likelihood=Poisson(exposure), tolerance=1e-7)
        own_errors = found.standard_errors
        seconds = time.process_time() - start
    log_sigma, logit_phi = theirs["best"]
    sigma, phi = float(np.exp(log_sigma)), 1.0 / (1.0 + float(np.exp(-logit_phi)))
    errors = theirs["errors"][0] * sigma, theirs["errors"][1] * phi * (1.0 - phi)
    print(f"{'':>16}{'sparsegmrf':>22}{'TMB':>22}")
    for name, other, error in zip(("sigma", "phi"), (sigma, phi), errors, strict=True):
        print(f"{name:>16}{found.parameters[name]:22.8f}{other:22.8f}")
        print(f"{'its std. error':>16}{own_errors[name]:22.8f}{error:22.8f}")
    print(f"{'maximum':>16}{found.loglik:22.8f}{theirs['loglik']:22.8f}")
    print(f"{'processor s':>16}{seconds:22.3f}{theirs['seconds']:22.3f}")


def print_risks(own: Risk, mode: np.ndarray, sd: np.ndarray) -> None:
    """Print relative risks with 95% intervals at some pixels, and the largest relative difference at all of them."""
    reach = 1.959963984540054 * sd
    theirs = {"median": np.exp(mode), "lower": np.exp(mode - reach), "upper": np.exp(mode + reach)}
    print("relative risks at the last of these, median and 95% interval")
    for pixel in ((0, 0), (3, 5), (mode.shape[0] // 2, mode.shape[1] // 2)):
        ours = " ".join(f"{getattr(own, name)[pixel]:.10f}" for name in theirs)
        print(f"{pixel!s:>16}  {ours}   {' '.join(f'{each[pixel]:.10f}' for each in theirs.values())}")
    for name, other in theirs.items():
        difference = np.abs(getattr(own, name) / other - 1.0).max()
        print(f"{name:>16}  largest relative difference {difference:.1e}")


def counts(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return simulated counts on a lattice, NaN where missing, and their exposures."""
    rng, truth = np.random.default_rng(0), BYM(0.6, 0.7)
    eta = truth.observe(truth.gmrf(shape).sample(rng=rng))
    exposure = np.exp(rng.normal(1.5, 0.7, eta.shape))
    y = rng.poisson(exposure * np.exp(eta)).astype(float)
    y[rng.random(eta.shape) < 0.1] = np.nan
    return y, exposure


def by_tmb(y: np.ndarray, exposure: np.ndarray) -> dict:
    """Return what TMB makes of them."""
    if shutil.which("Rscript") is None:
        sys.exit("Rscript was not found; install R and its package TMB.")
    walk = Intrinsic(scale=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bym.cpp").write_text(TEMPLATE)
        (folder / "bym.R").write_text(SCRIPT)
        mmwrite(folder / "R.mtx", walk.stencil(y.shape).tocsr().tocoo(), symmetry="general", precision=17)
        (folder / "logdet.txt").write_text(f"{walk.gmrf(y.shape).logdet:.17g}\n")
        rows = zip(y.ravel().tolist(), exposure.ravel().tolist(), strict=True)
        lines = [f"{'NA' if np.isnan(count) else int(count)},{size:.17g}" for count, size in rows]
        (folder / "data.csv").write_text("\n".join(["y,exposure", *lines]) + "\n")
        (folder / "points.csv").write_text("\n".join(["sigma,phi", *(f"{s},{p}" for s, p in POINTS)]) + "\n")
        done = subprocess.run(["Rscript", "bym.R"], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode or "JSON" not in done.stdout:
        sys.exit(f"TMB failed:\n{done.stderr}")
    return json.loads(done.stdout[done.stdout.index("JSON") + 4 :])


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:]))
