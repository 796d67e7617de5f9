"""The Landsat study on a simulated series."""

import numpy as np

from bench import landsat


def saved_study(path):
    rng = np.random.default_rng(0)
    count = 40
    pattern = np.add.outer(np.arange(5.0), np.arange(5.0)).ravel()
    values = 500.0 + 10.0 * rng.standard_normal((count, 1)) * pattern + rng.standard_normal((count, 25))
    values[rng.random(values.shape) < 0.3] = -32768
    values[[7, 20]] = 500.0 + pattern
    masks = np.zeros((2, 25), dtype=bool)
    masks[0, :12] = True
    masks[1] = True
    year, doy = 1999 + np.arange(count) // 10, 1 + 36 * (np.arange(count) % 10)
    file = path / "study.npz"
    np.savez(
        file, values=values.astype(np.int16), year=year, doy=doy, targets=[10], season=np.array(["fall"]), masks=masks
    )
    return file


def test_a_case_scores_the_hidden_pixels_of_a_target(tmp_path):
    study = landsat.read(saved_study(tmp_path))
    assert study.values.shape == (30, 5, 5)  # since 2000
    cases = landsat.cases_of(study, np.array([0]), study.masks)
    half, whole = cases
    assert half.rmse < 3.0  # the noise's deviation is 1, that of the scores 10 to 80
    assert whole.rmse > half.rmse
    assert landsat.table(cases).splitlines()[-1].startswith("| all | 2 |")
