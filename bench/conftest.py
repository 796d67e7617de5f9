"""What all benches record (versions, threads, processor) and how a member of a group is timed."""

import platform
from importlib import metadata

import pytest

import sparsegmrf

LIBRARIES = (
    "sparsegmrf",
    "numpy",
    "scipy",
    "numba",
    "scikit-sparse",
    "pypardiso",
    "sparsax",
    "spectral",
    "torch",
    "torchsparsegradutils",
)


def pytest_benchmark_update_machine_info(config, machine_info):
    """Add versions and threads to the JSON, and leave out the name of the host."""
    machine_info.pop("node", None)
    machine_info["versions"] = {name: version for name in LIBRARIES if (version := installed(name))}
    machine_info["threads"] = sparsegmrf.get_num_threads()
    machine_info["platform"] = platform.platform()


def pytest_benchmark_update_commit_info(config, commit_info):
    """Leave out what only this copy of the repository knows."""
    for name in ("branch", "project"):
        commit_info.pop(name, None)


def installed(name):
    """Return the version of a library, or None where it is missing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@pytest.fixture
def timed(benchmark):
    """Time a call as member `name` of a group, after one untimed call; `answer` is checked by `check` before that.

    `before` is called before each round, untimed.
    """

    def run(group, name, call, *, check=None, rounds=5, before=None, **extra):
        answer = call()
        if check is not None:
            check(answer)
        del answer
        benchmark.group = group
        benchmark.name = name
        benchmark.extra_info |= {"threads": sparsegmrf.get_num_threads(), **extra}
        benchmark.pedantic(call, setup=before, rounds=rounds, iterations=1)

    return run
