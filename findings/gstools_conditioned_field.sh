#!/usr/bin/env bash
# GSTools 1.7.0, CondSRF: after set_condition with new data, conditioned fields still honour the old data.
#
# Surprising: CondSRF keeps the kriged mean of its last positions and takes it again as long as the positions are the
#   same. New data given to its kriging do not invalidate it; nor does a call of the kriging at other positions, after
#   which the field at these positions is built on the mean of the former ones.
# Valid: Krige.set_condition "could also be used to update the kriging setup, when properties were changed" (its
#   docstring), and CondSRF.krige is the public object that it is to be called on.
# Costs: a simulation study that conditions one field on many data sets gets the first data set every time.
# Here: fields and posteriors are immutable; condition() gives a new one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check gstools==1.7.0 numpy==2.4.6 scipy==1.17.1
venv/bin/python - <<'PYTHON'
import gstools
import numpy as np

rng = np.random.default_rng(0)
places, elsewhere = rng.uniform(0, 10, (2, 6)), rng.uniform(0, 10, (2, 6))
old = rng.normal(size=6)
new = old + 5
model = gstools.Exponential(dim=2, var=2.0, len_scale=3.0)


def field(values):
    return gstools.CondSRF(gstools.krige.Ordinary(model, places, values))


fresh = np.abs(field(new)(places, seed=1) - new).max()

updated = field(old)
updated(places, seed=1)
updated.krige.set_condition(places, new)
drawn = updated(places, seed=2)

moved = field(old)
moved(elsewhere, seed=1)
moved.krige(places, return_var=True)
apart = np.abs(moved(places, seed=1) - old).max()

print("GSTools", gstools.__version__)
print("expected: at the places of the data, without a nugget, a conditioned field is the data")
print(f"made with the new data: off by {fresh:.1e}")
print(f"after set_condition: off by {np.abs(drawn - new).max():.3f} from the new, {np.abs(drawn - old).max():.1e} from the old")
print(f"after its kriging was called at these places, and the field at others before: off by {apart:.3f}")
seen = fresh < 1e-6 and np.abs(drawn - old).max() < 1e-6 and np.abs(drawn - new).max() > 1 and apart > 0.1
raise SystemExit(0 if seen else "no longer so")
PYTHON
