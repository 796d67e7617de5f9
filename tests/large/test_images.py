"""Images in files: what is written is read, and pages are given back."""

from pathlib import Path

import numpy as np
import pytest

from sparsegmrf.large._images import MappedImage, allocator

STATUS = Path("/proc/self/status")


def resident():
    """Bytes of files that are in the process's memory."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("RssFile"))
    return 1024 * int(line.split()[1])


def test_windows_are_read_as_they_were_written(tmp_path):
    image = allocator(tmp_path)((3, 40, 50))
    expected = np.random.default_rng(0).standard_normal((3, 40, 50))
    image[:] = 0.0
    for row in range(0, 40, 7):
        image[:, row : row + 7, 10:] = expected[:, row : row + 7, 10:]
    assert type(image[1]) is np.ndarray
    np.testing.assert_array_equal(image[..., 10:], expected[..., 10:])
    assert not image[..., :10].any()
    assert not list(tmp_path.iterdir())  # the file has no name


@pytest.mark.skipif(not STATUS.exists(), reason="Linux tells what is resident")
def test_pages_of_windows_do_not_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("sparsegmrf.large._images._MAPPED", 2**22)
    image = allocator(tmp_path)((64, 1024, 128))  # 64 MB
    assert isinstance(image, MappedImage)
    before = resident()
    for k in range(64):
        image[k] = k
    total = sum(float(image[k].sum()) for k in range(64))
    assert total == 1024 * 128 * 63 * 32
    assert resident() - before < 16 * 2**20
