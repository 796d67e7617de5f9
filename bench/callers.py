"""Several Python threads that fill at once, as a Dask worker or a web service does; and few pixels that are unknown.

``python -m bench.callers``: seconds and seconds of processor time, of one caller alone and of four at once, and of
conditioning a field on all but 2% of its pixels without noise.
"""

import threading
import time

import numpy as np

from sparsegmrf import Matern, condition, fill

CALLERS = 4
SHAPE = (160, 200)
SIDE = 1000
REPEATS = 3


def gappy(seed):
    """Return a noisy image with three tenths missing."""
    rng = np.random.default_rng(seed)
    image = Matern(12.0).gmrf(SHAPE).sample(rng=seed) + 0.3 * rng.standard_normal(SHAPE)
    image[rng.random(SHAPE) < 0.3] = np.nan
    return image


def timed(work):
    """Return seconds and seconds of processor time, the medians of several calls."""
    found = []
    for _ in range(REPEATS):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - wall, time.process_time() - processor))
    return np.median(found, axis=0)


def at_once(images):
    """Fill images in a thread each."""
    threads = [threading.Thread(target=fill, args=(image,)) for image in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def few_unknown():
    """Return a field and an image of it with bad columns and scattered pixels."""
    rng = np.random.default_rng(0)
    field = Matern(20.0).gmrf((SIDE, SIDE))
    image = field.sample(rng=1)
    missing = rng.random(image.shape) < 0.0167
    missing[:, [SIDE // 5, SIDE // 2, SIDE // 2 + 1, SIDE // 2 + 2]] = True
    return field, image, missing


def main():
    """Print the table."""
    images = [gappy(seed) for seed in range(CALLERS)]
    fill(images[0])
    field, image, missing = few_unknown()
    condition(field, image, mask=missing, noise_variance=0.0).marginal_variance()
    rows = {
        f"fill {SHAPE[0]} x {SHAPE[1]}, one caller": timed(lambda: fill(images[0])),
        f"the same, {CALLERS} callers": timed(lambda: at_once(images)),
        f"condition, {np.count_nonzero(missing)} of {missing.size} unknown": timed(
            lambda: condition(field, image, mask=missing, noise_variance=0.0)
        ),
        "the same with variances": timed(
            lambda: condition(field, image, mask=missing, noise_variance=0.0).marginal_variance()
        ),
    }
    for name, (wall, processor) in rows.items():
        print(f"{name:45}{wall:8.2f} s{processor:8.2f} s of processor time")


if __name__ == "__main__":
    main()
