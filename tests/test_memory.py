"""What would not fit is refused before it is made, and a container's limit counts as the machine's does."""

import pytest

from sparsegmrf import _memory
from sparsegmrf.errors import TooLargeError
from sparsegmrf.factors import cholesky_covariances
from tests.cholesky_factors import random_factors


def system(tmp_path, available, **files):
    """Write the files of a Linux system with `available` bytes free."""
    written = {"proc/meminfo": f"MemTotal: 64000000 kB\nMemAvailable: {available // 1024} kB\n", **files}
    for name, text in written.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def container(tmp_path, group):
    """Write the files of a process in a container of its own, whose control group has these."""
    files = {f"sys/fs/cgroup/{name}": text for name, text in group.items()}
    return system(tmp_path, 2**30, **{"proc/self/cgroup": "0::/\n"}, **files)


def test_available_memory_is_a_plausible_number():
    assert 2**26 < _memory.available_bytes() < 2**50


def test_without_control_groups_the_free_memory_of_the_machine_counts(tmp_path):
    assert _memory.available_bytes(system(tmp_path, 2**30)) == 2**30


def test_limit_of_a_container_counts_less_what_its_processes_hold(tmp_path):
    group = {"memory.max": "1000000\n", "memory.current": "300000\n"}
    root = container(tmp_path, group)
    assert _memory.available_bytes(root) == 700_000


def test_files_read_long_ago_are_no_memory_in_use(tmp_path):
    group = {"memory.max": "1000000\n", "memory.current": "900000\n", "memory.stat": "anon 1\ninactive_file 800000\n"}
    root = container(tmp_path, group)
    assert _memory.available_bytes(root) == 900_000


def test_the_tightest_of_nested_groups_counts(tmp_path):
    root = system(
        tmp_path,
        2**30,
        **{
            "proc/self/cgroup": "1:cpu:/\n0::/outer/inner\n",
            "sys/fs/cgroup/outer/memory.max": "500000\n",
            "sys/fs/cgroup/outer/memory.current": "100000\n",
            "sys/fs/cgroup/outer/inner/memory.max": "max\n",
            "sys/fs/cgroup/outer/inner/memory.current": "100000\n",
        },
    )
    assert _memory.available_bytes(root) == 400_000


def test_limit_in_the_older_hierarchy_counts(tmp_path):
    root = system(
        tmp_path,
        2**30,
        **{
            "proc/self/cgroup": "5:cpu,cpuacct:/box\n4:memory:/box\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "5\n",
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "600000\n",
            "sys/fs/cgroup/memory/box/memory.usage_in_bytes": "200000\n",
            "sys/fs/cgroup/memory/box/memory.stat": "inactive_file 1\ntotal_inactive_file 50000\n",
        },
    )
    assert _memory.available_bytes(root) == 450_000


def test_a_group_over_its_limit_has_nothing_left(tmp_path):
    group = {"memory.max": "1000\n", "memory.current": "3000\n"}
    root = container(tmp_path, group)
    assert _memory.available_bytes(root) == 0


def test_refusal_tells_need_presence_and_remedy(monkeypatch):
    monkeypatch.setattr(_memory, "available_bytes", lambda: 10**9)
    _memory.refuse_if_too_large(10**9, "the answer", "ask for less")
    with pytest.raises(
        TooLargeError, match=r"^the answer would need about 2\.5 GB, and 1 GB are available; ask for less\.$"
    ):
        _memory.refuse_if_too_large(5 * 10**9 // 2, "the answer", "ask for less")


def test_gradients_of_variances_that_do_not_fit_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr(_memory, "available_bytes", lambda: 10**4)
    diagonal, weights, cross = random_factors(1, 1, 1, (20, 25))
    with pytest.raises(TooLargeError, match=r"^the covariances of .* unknowns within reach would need .*rsample"):
        cholesky_covariances.marginal_variances_backward(diagonal, weights, cross, diagonal)
