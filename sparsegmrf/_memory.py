"""The memory a process may still take, and the one refusal of what would take more."""

import os
import sys
from pathlib import Path

from sparsegmrf.errors import TooLargeError

_FILES = ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")
"""Limit and use of a control group, in the unified hierarchy and in the older one."""


def refuse_if_too_large(needed: int, request: str, remedy: str) -> None:
    """Raise `TooLargeError` if `needed` bytes exceed what is available now; `request` says what would need them."""
    free = available_bytes()
    if needed > free:
        raise TooLargeError(
            f"{request} would need about {needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB are available; {remedy}."
        )


def available_bytes(root: Path = Path("/")) -> int:
    """Return the memory this process may still take: free memory of the machine, or of a control group if less."""
    return max(0, min([_free_on_machine(root), *_free_in_groups(root)]))


def _free_on_machine(root: Path) -> int:
    meminfo = root / "proc/meminfo"
    if meminfo.exists():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return sys.maxsize  # the system does not tell


def _free_in_groups(root: Path) -> list[int]:
    """Return what each limited control group above this process, and its own, has left."""
    free = []
    for group in _groups(root):
        for most, used in ((group / most, group / used) for most, used in _FILES):
            if most.exists() and used.exists() and most.read_text().strip().isdecimal():
                free.append(int(most.read_text()) - int(used.read_text()) + _reclaimable(group))
    return free


def _groups(root: Path) -> list[Path]:
    """Return the folders of the control groups that hold this process; within a container the outer ones are hidden."""
    membership = root / "proc/self/cgroup"
    mounts = {"": root / "sys/fs/cgroup", "memory": root / "sys/fs/cgroup/memory"}
    folders = []
    for line in membership.read_text().splitlines() if membership.exists() else ():
        _, controllers, path = line.split(":", 2)
        for mount in (mounts[name] for name in controllers.split(",") if name in mounts):
            own = mount / path.lstrip("/")
            folders += [own, *(parent for parent in own.parents if parent.is_relative_to(mount))]
    return folders


def _reclaimable(group: Path) -> int:
    """Return the bytes of files read long ago, which count as used and yield to whoever asks for memory."""
    statistics = group / "memory.stat"
    lines = statistics.read_text().splitlines() if statistics.exists() else []
    fields = dict(line.split(" ", 1) for line in lines)
    return int(fields.get("total_inactive_file", fields.get("inactive_file", 0)))
