"""Standard normals in blocks: reproducible, independent of threads, and normal."""

import numpy as np
import pytest
import scipy.stats

from sparsegmrf.factors import normals
from sparsegmrf.factors.normals import fill_standard_normal

COUNT = 5 * normals.BLOCK + 17


def draw(rng, count=COUNT):
    out = np.full(count, np.nan)
    fill_standard_normal(rng, out)
    return out


def test_draw_is_bitwise_the_same_for_any_number_of_threads(threads):
    draws = []
    for count in (1, 2, 3):
        threads(count)
        draws.append(draw(np.random.default_rng(1)))
    assert np.array_equal(draws[0], draws[1])
    assert np.array_equal(draws[0], draws[2])


def test_same_seed_gives_the_same_draw_and_another_seed_another():
    assert np.array_equal(draw(np.random.default_rng(2)), draw(np.random.default_rng(2)))
    assert not np.array_equal(draw(np.random.default_rng(2)), draw(np.random.default_rng(3)))


def test_restoring_the_generator_reproduces_the_draw():
    rng = np.random.default_rng(4)
    rng.random(3)
    state = rng.bit_generator.state
    first, second = draw(rng), draw(rng)
    assert not np.array_equal(first, second)
    rng.bit_generator.state = state
    assert np.array_equal(draw(rng), first)
    assert np.array_equal(draw(rng), second)


@pytest.mark.parametrize("bit_generator", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_any_bit_generator_will_do(bit_generator):
    rng = np.random.Generator(bit_generator(5))
    assert abs(draw(rng).mean()) < 5.5 / np.sqrt(COUNT)  # false alarm below 1e-7


def test_a_shorter_draw_is_the_beginning_of_a_longer_one():
    long = draw(np.random.default_rng(6))
    for count in (0, 1, 1000, normals.BLOCK, normals.BLOCK + 1):
        assert np.array_equal(draw(np.random.default_rng(6), count), long[:count])


def test_every_block_and_the_whole_are_standard_normal():
    # Kolmogorov-Smirnov at 1e-8 for six samples, fixed seed: false alarm below 1e-7.
    values = draw(np.random.default_rng(7))
    blocks = [values[first : first + normals.BLOCK] for first in range(0, COUNT, normals.BLOCK)]
    for sample in [values, *blocks[:-1]]:
        assert scipy.stats.kstest(sample, "norm").pvalue > 1e-8


def test_blocks_are_uncorrelated():
    # Ten correlations of standard error 1/256, each beyond 6 of them with probability 2e-9.
    values = draw(np.random.default_rng(8))[: 5 * normals.BLOCK].reshape(5, -1)
    correlations = np.corrcoef(values)[np.triu_indices(5, 1)]
    assert np.abs(correlations).max() < 6.0 / np.sqrt(normals.BLOCK)


def test_shape_of_the_array_does_not_matter():
    out = np.empty((2, 3, 5))
    fill_standard_normal(np.random.default_rng(9), out)
    assert np.array_equal(out.ravel(), draw(np.random.default_rng(9), 30))
