"""The CPUs this process may use, and whether they multiply 8-bit integers faster than floats."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# instructions that multiply and add four pairs of 8-bit integers at once: x86's VNNI, Arm's dot product
INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})
# numpy's names of the instruction sets that imply one of them, for systems without /proc/cpuinfo
INT8_SETS = frozenset({"AVX512_CLX", "AVX512_CNL", "AVX512_ICL", "AVX512_SPR", "ASIMDDP"})

_CPUINFO = Path("/proc/cpuinfo")
_QUOTA_V2 = Path("/sys/fs/cgroup/cpu.max")
_QUOTA_V1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_PERIOD_V1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def usable_cpus() -> int:
    """Return the number of CPUs this process may run on: its affinity, and within it a container's quota."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return cpus if quota is None else max(1, min(cpus, round(quota)))


def _quota() -> float | None:
    """Return the CPUs that the control group grants, ``None`` without a limit."""
    for files in ((_QUOTA_V2,), (_QUOTA_V1, _PERIOD_V1)):
        try:
            words = " ".join(file.read_text(encoding="ascii") for file in files).split()
            quota, period = float(words[0]), float(words[1])
        except (OSError, ValueError, IndexError):  # no such file, or "max": no limit
            continue
        if quota > 0 and period > 0:
            return quota / period
    return None


def multiplies_int8() -> bool:
    """Say whether products of 8-bit integers are exact and faster than those of floats on this CPU."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return True  # every Apple processor has the dot product
    try:
        return has_int8_flag(_CPUINFO.read_text(encoding="utf-8").splitlines())
    except OSError:
        import numpy as np

        extensions: Any = np.show_config(mode="dicts")["SIMD Extensions"]
        return bool(INT8_SETS.intersection(extensions.get("found", ())))


def has_int8_flag(cpuinfo: Iterable[str]) -> bool:
    """Look for the instructions in the lines of ``/proc/cpuinfo``; of all CPUs the first one counts."""
    for line in cpuinfo:
        key, _, flags = line.partition(":")
        if key.strip() in {"flags", "Features"}:
            return bool(INT8_FLAGS & set(flags.split()))
    return False
