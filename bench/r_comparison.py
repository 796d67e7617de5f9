"""Estimates of R's packages beside ours, on the same data: spatialreg, mgcv, nlme, gstat and TMB.

``python -m bench.r_comparison`` takes some minutes and needs R with these packages and a C++ compiler (``r-base-core``,
``r-cran-spatialreg``, ``r-cran-mgcv``, ``r-cran-nlme``, ``r-cran-gstat``, ``r-cran-tmb`` and ``g++`` of Debian);
``python -m bench.r_comparison sar mrf`` makes some of the comparisons only. Exits with 1 if a number differs by more
than is accepted. Counts of a BYM field are in ``bench.tmb_counts``.

A trial of 20 x 25 plots with two treatments is fitted by

- ``car``, ``sar``: ``spautolm`` and ``errorsarlm`` of spatialreg with binary weights. Their ``lambda`` is our ``rho``,
  their ``s2`` is ``1 / tau``.
- ``mrf``: ``gam(y ~ treatment + s(plot, bs = "mrf"), method = "REML")`` of mgcv with as many coefficients as plots: an
  `Intrinsic` field with noise. Every plot is measured twice, as `gam` refuses fewer numbers than coefficients. Its
  criterion is ours less a constant: the difference at the best point is taken off at two others.
- ``ar1``: ``gls`` of nlme with ``corAR1`` along each row: `AR1xAR1` with ``rho_row = 0``, by ML and by REML. By ML,
  too, its standard errors are by a variance divided by ``n - p``, which is undone here; its restricted likelihood has
  no ``log det(X^T X) / 2``, which is added.
- ``ar1xar1``: ``SEPARABLE(AR1(), AR1())`` of TMB, with noise and missing plots, by REML: coefficients are integrated
  out with the field, which leaves out ``log det(X^T X) / 2``. No package that Debian has fits it by itself.
- ``block``: block kriging of gstat, a mean of pixels of a transect with gaps and noise, with unknown slope: the
  `functional` of an `AR1xAR1` field on one row, whose covariance is the exponential one.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from sparsegmrf import CAR, SAR, fit
from sparsegmrf.inference import FitResult, factor
from sparsegmrf.models import AR1xAR1, Intrinsic, Model

SHAPE = (20, 25)
PLACES = np.indices(SHAPE)
ESTIMATE, CRITERION = 2e-5, 1e-10
"""Relative differences that are accepted: two searches end at slightly different points, where likelihoods agree."""
HEAD = """
number <- function(x) paste0("[", paste(formatC(as.numeric(x), digits = 17, format = "g"), collapse = ", "), "]")
say <- function(...) {
  said <- list(...)
  cat("JSON{", paste0('"', names(said), '": ', sapply(said, number), collapse = ", "), "}\\n", sep = "")
}
given <- read.csv("data.csv", stringsAsFactors = TRUE)
read_matrix <- function(name) as.matrix(read.csv(name, header = FALSE))
"""


class Row(NamedTuple):
    """A number of ours and of theirs, and the relative difference that is accepted."""

    name: str
    ours: float
    theirs: float
    accepted: float

    @property
    def difference(self) -> float:
        """Difference over the larger of the two."""
        return abs(self.ours - self.theirs) / max(abs(self.ours), abs(self.theirs), 1e-300)


def main(chosen: list[str]) -> int:
    """Print numbers of both, and return 1 if they differ by more than is accepted."""
    if shutil.which("Rscript") is None:
        sys.exit("Rscript was not found; the head of bench/r_comparison.py says what to install.")
    wrong = 0
    for name in chosen or COMPARISONS:
        print(f"\n{name + ', ' + BESIDE[name]:<40}{'sparsegmrf':>20}{'R':>20}{'rel. difference':>18}{'accepted':>11}")
        for row in COMPARISONS[name]():
            wrong += row.difference > row.accepted
            print(f"{row.name:>40}{row.ours:20.10g}{row.theirs:20.10g}{row.difference:18.1e}{row.accepted:11.0e}")
    return int(wrong > 0)


def autoregression(family: str) -> list[Row]:
    """A CAR or SAR of four neighbours, complete and without noise, by maximum likelihood."""
    model: Model = CAR() if family == "CAR" else SAR()
    truth = CAR(0.23, tau=0.5) if family == "CAR" else SAR(0.2, tau=0.5)
    treatment, y = trial(truth)
    theirs = by_r(AUTOREGRESSION.replace("FAMILY", family), {"data.csv": table(treatment, y), "W.csv": matrix(rook())})
    found = fit(model, y, covariates=[factor("treatment", treatment)], noise_variance=None, tolerance=1e-9)
    beta, errors = found.coefficients, standard_errors(found)
    rows = [
        Row("rho", found.parameters["rho"], theirs["lambda"][0], ESTIMATE),
        Row("1 / tau", 1.0 / found.parameters["tau"], theirs["s2"][0], ESTIMATE),
        Row("constant", beta["constant"], theirs["beta"][0], ESTIMATE),
        Row("treatment B", beta["treatment[B]"], theirs["beta"][1], ESTIMATE),
        Row("std. error of the constant", errors["constant"], theirs["errors"][0], ESTIMATE),
        Row("std. error of treatment B", errors["treatment[B]"], theirs["errors"][1], ESTIMATE),
        Row("std. error of rho", errors["rho"], theirs["lambda_error"][0], ESTIMATE),
        Row("log-likelihood", found.loglik, theirs["loglik"][0], CRITERION),
    ]
    if family == "SAR":
        rows += [
            Row("rho, errorsarlm", found.parameters["rho"], theirs["lambda"][1], ESTIMATE),
            Row("treatment B, errorsarlm", beta["treatment[B]"], theirs["beta"][3], ESTIMATE),
            Row("std. error of B, errorsarlm", errors["treatment[B]"], theirs["errors"][3], ESTIMATE),
            Row("log-likelihood, errorsarlm", found.loglik, theirs["loglik"][1], CRITERION),
        ]
    return rows


AUTOREGRESSION = """
suppressMessages({library(spatialreg); library(spdep)})
weights <- suppressWarnings(mat2listw(read_matrix("W.csv"), style = "B"))
all <- list(spautolm(y ~ treatment, given, weights, family = "FAMILY", method = "eigen", tol.solve = 1e-14,
  control = list(tol.opt = 1e-12)))
lambda <- all[[1]]$lambda; s2 <- all[[1]]$fit$s2; loglik <- as.numeric(logLik(all[[1]]))
beta <- coef(all[[1]])[1:2]; errors <- summary(all[[1]])$Coef[, 2]; lambda_error <- all[[1]]$lambda.se
if ("FAMILY" == "SAR") {
  other <- errorsarlm(y ~ treatment, given, weights, method = "eigen", tol.solve = 1e-14,
    control = list(tol.opt = 1e-12))
  lambda <- c(lambda, other$lambda); loglik <- c(loglik, as.numeric(logLik(other)))
  beta <- c(beta, other$coefficients); errors <- c(errors, other$rest.se); s2 <- c(s2, other$s2)
}
say(lambda = lambda, s2 = s2, beta = beta, errors = errors, lambda_error = lambda_error, loglik = loglik)
"""


def markov_field() -> list[Row]:
    """An intrinsic field with noise, by restricted maximum likelihood; gam wants more numbers than coefficients."""
    treatment, field = trial(AR1xAR1(0.8, 0.8))
    y = field + 0.5 * np.random.default_rng(5).standard_normal((2, *SHAPE))
    mean, half = y.mean(axis=0), (y[0] - y[1]) / 2.0
    covariates, points = [factor("treatment", treatment)], ((0.5, 0.4), (2.0, 0.2))

    def fitted(noise: float, **given: object) -> tuple[float, FitResult]:
        """Return the restricted log-likelihood of both, of their means and of their differences."""
        model = Intrinsic(tau=float(given.pop("tau", 1.0)))
        of_mean = fit(model, mean, covariates=covariates, method="reml", noise_variance=noise / 2.0, **given)
        return of_mean.loglik - 0.5 * half.size * np.log(noise) - float((half**2).sum()) / noise, of_mean

    files = {
        "data.csv": "\n".join([table(treatment, y[0]), table(treatment, y[1]).split("\n", 1)[1]]),
        "R.csv": matrix(Intrinsic().stencil(SHAPE).tocsr().toarray()),
        "points.csv": "\n".join(["tau,noise", *(f"{tau},{noise}" for tau, noise in points)]),
    }
    theirs = by_r(MARKOV_FIELD, files)
    best = minimize_scalar(
        lambda log: -fitted(float(np.exp(log)), tolerance=1e-8)[0], bracket=(-2.0, -1.0), options={"xtol": 1e-9}
    )
    noise = float(np.exp(best.x))
    loglik, found = fitted(noise, tolerance=1e-9)
    there = found.predict()
    off = float(abs(there.mean.ravel() - theirs["fitted"][: there.mean.size]).max())
    rows = [
        Row("tau", found.parameters["tau"], theirs["tau"][0], ESTIMATE),
        Row("noise variance", noise, theirs["noise"][0], ESTIMATE),
        Row("treatment B", found.coefficients["treatment[B]"], theirs["beta"][0], ESTIMATE),
        Row("its std. error", standard_errors(found)["treatment[B]"], theirs["errors"][0], ESTIMATE),
        Row("effective degrees of freedom", float(2.0 * there.variance.sum() / noise), theirs["edf"][0], ESTIMATE),
        Row("1 + largest difference of fitted values", 1.0 + off, 1.0, ESTIMATE),
    ]
    constant = loglik - theirs["criterion"][0]
    for (tau, variance), other in zip(points, theirs["criterion"][1:], strict=True):
        own = fitted(variance, tau=tau, fixed="tau")[0]
        rows.append(Row(f"criterion, tau {tau}, noise {variance}", own, other + constant, CRITERION))
    return rows


MARKOV_FIELD = """
suppressMessages(library(mgcv))
R <- read_matrix("R.csv"); given$plot <- factor(rep(seq_len(nrow(R)), 2))
dimnames(R) <- list(levels(given$plot), levels(given$plot))
fitted_by <- function(...) gam(y ~ treatment + s(plot, bs = "mrf", k = nrow(R), xt = list(penalty = R)), data = given,
  method = "REML", control = gam.control(scalePenalty = FALSE, epsilon = 1e-12, newton = list(conv.tol = 1e-10)), ...)
best <- fitted_by(); at <- read.csv("points.csv")
criterion <- sapply(seq_len(nrow(at)), function(k)
  fitted_by(sp = at$tau[k] * at$noise[k], scale = at$noise[k])$gcv.ubre)
say(tau = best$sp / best$sig2, noise = best$sig2, beta = coef(best)[2], errors = sqrt(diag(vcov(best)))[2],
  edf = sum(best$edf), fitted = fitted(best), criterion = -c(best$gcv.ubre, criterion))
"""


def along_rows() -> list[Row]:
    """Autoregressions along independent rows."""
    treatment, y = trial(AR1xAR1(0.0, 0.6))
    theirs, rows = by_r(ALONG_ROWS, {"data.csv": table(treatment, y)}), []
    constant, degrees = half_log_det(treatment, y), np.sqrt((y.size - 2) / y.size)
    for k, method in enumerate(("ml", "reml")):
        divisor, more = (degrees, 0.0) if method == "ml" else (1.0, constant)
        found = fit(
            AR1xAR1(0.0, 0.5), y, covariates=[factor("treatment", treatment)], fixed="rho_row", noise_variance=None,
            method=method, tolerance=1e-9,
        )  # fmt: skip
        rows += [
            Row(f"rho_column, {method}", found.parameters["rho_column"], theirs["rho"][k], ESTIMATE),
            Row(f"sigma, {method}", found.parameters["sigma"], theirs["sigma"][k], ESTIMATE),
            Row(f"treatment B, {method}", found.coefficients["treatment[B]"], theirs["beta"][k], ESTIMATE),
            Row(
                f"its std. error, {method}",
                standard_errors(found)["treatment[B]"],
                divisor * theirs["errors"][k],
                ESTIMATE,
            ),
            Row(f"log-likelihood, {method}", found.loglik, theirs["loglik"][k] + more, CRITERION),
        ]
    return rows


ALONG_ROWS = """
suppressMessages(library(nlme))
both <- lapply(c("ML", "REML"), function(method) gls(y ~ treatment, given, method = method,
  correlation = corAR1(form = ~ column | row), control = glsControl(tolerance = 1e-12, msTol = 1e-12)))
say(rho = sapply(both, function(g) coef(g$modelStruct$corStruct, unconstrained = FALSE)), sigma = sapply(both, sigma),
  beta = sapply(both, function(g) coef(g)[2]), errors = sapply(both, function(g) sqrt(vcov(g)[2, 2])),
  loglik = sapply(both, function(g) as.numeric(logLik(g))))
"""


def separable() -> list[Row]:
    """A separable autoregression with noise and missing plots, by restricted maximum likelihood."""
    treatment, y = trial(AR1xAR1(0.6, 0.8, sigma=1.5), noise=0.7, missing=0.05)
    theirs = by_r(SEPARABLE, {"data.csv": table(treatment, y), "ar1.cpp": TEMPLATE})
    found = fit(AR1xAR1(), y, covariates=[factor("treatment", treatment)], method="reml", tolerance=1e-9)
    of, errors = found.parameters, found.standard_errors
    names = {"rho_row": of["rho_row"], "rho_column": of["rho_column"], "sigma": of["sigma"]}
    values = {**names, "noise_variance": found.noise_variance}
    rows = []
    for k, (name, value) in enumerate(values.items()):
        rows += [
            Row(name, value, theirs["at"][k], ESTIMATE),
            Row("its std. error", errors[name], theirs["at_errors"][k], ESTIMATE),
        ]
    return [
        *rows,
        Row("treatment B", found.coefficients["treatment[B]"], theirs["beta"][0], ESTIMATE),
        Row("its std. error, parameters known", standard_errors(found)["treatment[B]"], theirs["errors"][0], ESTIMATE),
        Row("restricted log-likelihood", found.loglik, theirs["loglik"][0] + half_log_det(treatment, y), CRITERION),
    ]


TEMPLATE = """
#include <TMB.hpp>
template<class Type> Type objective_function<Type>::operator() () {
  DATA_VECTOR(y); DATA_MATRIX(X); PARAMETER_VECTOR(working); PARAMETER_VECTOR(beta); PARAMETER_ARRAY(u);
  Type row = tanh(working(0)), column = tanh(working(1)), sigma = exp(working(2)), noise = exp(working(3));
  using namespace density;
  Type nll = SCALE(SEPARABLE(AR1(row), AR1(column)), sigma)(u);
  vector<Type> eta = X * beta;
  for (int i = 0; i < y.size(); i++)
    if (!R_IsNA(asDouble(y(i)))) nll -= dnorm(y(i), eta(i) + u(i), sqrt(noise), true);
  vector<Type> at(4); at << row, column, sigma, noise;
  ADREPORT(at);
  return nll;
}
"""
SEPARABLE = """
suppressMessages(library(TMB)); compile("ar1.cpp"); dyn.load(dynlib("ar1"))
X <- model.matrix(~ treatment, given); columns <- max(given$column) + 1; n <- nrow(given)
objective <- MakeADFun(list(y = given$y, X = X), list(working = c(0.5, 0.5, 0, 0), beta = c(0, 0),
  u = array(0, c(columns, n / columns))), random = c("beta", "u"), DLL = "ar1", silent = TRUE)
best <- nlminb(objective$par, objective$fn, objective$gr, control = list(rel.tol = 1e-14))
report <- sdreport(objective); known <- sdreport(objective, ignore.parm.uncertainty = TRUE)
say(at = report$value, at_errors = report$sd, beta = report$par.random[2], errors = sqrt(known$diag.cov.random[2]),
  loglik = -best$objective)
"""


def block_mean() -> list[Row]:
    """Means of parts of a transect, by universal kriging."""
    rng, columns = np.random.default_rng(4), 200
    model = AR1xAR1(0.5, 0.95, sigma=2.0)
    y = model.gmrf((1, columns)).sample(rng=rng) + 0.02 * np.arange(columns) + 0.5 * rng.standard_normal((1, columns))
    y[0, 60:110] = np.nan
    parts = {"in the gap": slice(70, 100), "across its end": slice(90, 140), "all": slice(0, columns)}
    lines = [f"{part.start},{part.stop - 1}" for part in parts.values()]
    seen = [f"{j},{y[0, j]:.17g}" for j in range(columns) if np.isfinite(y[0, j])]
    files = {"data.csv": "\n".join(["column,y", *seen]), "parts.csv": "\n".join(["first,last", *lines])}
    theirs = by_r(BLOCK_MEAN.replace("RANGE", f"{-1.0 / np.log(0.95):.17g}"), files)
    weights = np.zeros((3, 1, columns))
    for k, part in enumerate(parts.values()):
        weights[k, 0, part] = 1.0 / (part.stop - part.start)
    ramp = {"column": np.arange(columns, dtype=float)[np.newaxis]}
    found = fit(model, y, covariates=ramp, fixed=list(model.parameters), noise_variance=0.25).functional(weights)
    return [
        row
        for k, name in enumerate(parts)
        for row in (
            Row(f"mean {name}", found.estimate[k], theirs["mean"][k], ESTIMATE),
            Row("its std. error", found.standard_error[k], theirs["error"][k], ESTIMATE),
        )
    ]


BLOCK_MEAN = """
suppressMessages({library(gstat); library(sp)})
given$row <- 0; parts <- read.csv("parts.csv"); coordinates(given) <- ~ column + row
law <- vgm(0.25, "Err", 0, add.to = vgm(4, "Exp", RANGE))
known <- gstat(NULL, "y", y ~ column, given, model = law)
found <- sapply(seq_len(nrow(parts)), function(k) {
  places <- parts$first[k]:parts$last[k]; centre <- mean(places)
  new <- SpatialPointsDataFrame(cbind(column = centre, row = 0), data.frame(column = centre))
  points <- data.frame(x = places - centre, y = 0)
  estimate <- predict(known, new, block = points, debug.level = 0)
  c(estimate$y.pred, sqrt(estimate$y.var))})
say(mean = found[1, ], error = found[2, ])
"""


def standard_errors(found: FitResult) -> dict[str, float]:
    """Return the standard errors of parameters and of the trend's coefficients."""
    of_trend = np.sqrt(np.diagonal(found.coefficient_covariance)).tolist()
    return {**found.standard_errors, **dict(zip(found.coefficients, of_trend, strict=True))}


def trial(truth: Model, noise: float = 0.0, missing: float = 0.0, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return which of two treatments each plot has, and its yield, NaN where it is lost."""
    rng = np.random.default_rng(seed)
    treatment = rng.permutation(np.repeat(["A", "B"], SHAPE[0] * SHAPE[1] // 2)).reshape(SHAPE)
    y = 10.0 + 0.5 * (treatment == "B") + truth.gmrf(SHAPE).sample(rng=rng) + noise * rng.standard_normal(SHAPE)
    y[rng.random(SHAPE) < missing] = np.nan
    return treatment, y


def half_log_det(treatment: np.ndarray, y: np.ndarray) -> float:
    """Return ``log det(X^T X) / 2`` of a constant and the treatment at the observed plots."""
    X = np.stack([np.ones(y.shape), treatment == "B"])[:, np.isfinite(y)]
    return float(0.5 * np.linalg.slogdet(X @ X.T)[1])


def rook() -> np.ndarray:
    """Return the matrix of zeros and ones of the four neighbours, ``(n, n)``."""
    i, j = PLACES.reshape(2, -1)
    return (abs(i[:, np.newaxis] - i) + abs(j[:, np.newaxis] - j) == 1).astype(int)


def table(treatment: np.ndarray, y: np.ndarray) -> str:
    """Return the plots as CSV, in raster order."""
    i, j = PLACES.reshape(2, -1).tolist()
    values = ["NA" if np.isnan(value) else f"{value:.17g}" for value in y.ravel()]
    lines = [",".join(map(str, each)) for each in zip(i, j, treatment.ravel(), values, strict=True)]
    return "\n".join(["row,column,treatment,y", *lines])


def matrix(values: np.ndarray) -> str:
    """Return a matrix as CSV."""
    return "\n".join(",".join(f"{value:.17g}" for value in row) for row in values)


def by_r(script: str, files: Mapping[str, str]) -> dict[str, list[float]]:
    """Return what a script says of files beside it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in {**files, "script.R": HEAD + script}.items():
            (folder / file).write_text(text + "\n")
        done = subprocess.run(["Rscript", "script.R"], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode or "JSON" not in done.stdout:
        sys.exit(f"R failed:\n{done.stderr}")
    return json.loads(done.stdout[done.stdout.index("JSON") + 4 :])


COMPARISONS: Mapping[str, Callable[[], list[Row]]] = {
    "car": lambda: autoregression("CAR"),
    "sar": lambda: autoregression("SAR"),
    "mrf": markov_field,
    "ar1": along_rows,
    "ar1xar1": separable,
    "block": block_mean,
}
BESIDE = {
    "car": "spatialreg", "sar": "spatialreg", "mrf": "mgcv", "ar1": "nlme", "ar1xar1": "TMB", "block": "gstat"
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
