"""The CPUs that a process is given, and what they can multiply, read from real-looking files of the kernel."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from emotions_cli.runtime import cpu
from emotions_cli.runtime.cpu import has_int8_flag, multiplies_int8, usable_cpus

CASCADE_LAKE = """\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8272CL CPU @ 2.60GHz
flags\t\t: fpu vme sse sse2 ht avx avx2 fma avx512f avx512bw avx512vl avx512_vnni
vmx flags\t: vnmi preemption_timer
bugs\t\t: taa itlb_multihit
"""
ALDER_LAKE = "processor\t: 0\nflags\t\t: fpu sse sse2 avx avx2 fma avx_vnni serialize\n"
HASWELL = """\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) CPU E5-2673 v3 @ 2.40GHz, not avx512_vnni
flags\t\t: fpu vme sse sse2 ht avx avx2 fma
processor\t: 1
flags\t\t: fpu avx512_vnni
"""
NEOVERSE = """\
processor\t: 0
BogoMIPS\t: 50.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp ssbs
CPU implementer\t: 0x41
"""
RASPBERRY = "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\n"

on_linux = pytest.mark.skipif(platform.system() != "Linux", reason="/proc/cpuinfo is read on Linux")


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (CASCADE_LAKE, True),
        (ALDER_LAKE, True),
        (HASWELL, False),
        (NEOVERSE, True),
        (RASPBERRY, False),
        ("", False),
        ("processor\t: 0\nvmx flags\t: avx512_vnni\n", False),
        ("flags\t\t: avx512_vnni_like xavx_vnni\n", False),
    ],
)
def test_the_flags_of_the_first_cpu_decide(cpuinfo: str, expected: bool) -> None:
    assert has_int8_flag(cpuinfo.splitlines()) is expected


@on_linux
@pytest.mark.parametrize(("cpuinfo", "expected"), [(CASCADE_LAKE, True), (HASWELL, False), (NEOVERSE, True)])
def test_the_kernel_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cpuinfo: str, expected: bool) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(cpuinfo, encoding="utf-8")
    monkeypatch.setattr(cpu, "_CPUINFO", file)
    assert multiplies_int8() is expected


@on_linux
def test_without_the_kernel_numpy_is_asked_and_agrees(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import numpy as np

    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    with_kernel = multiplies_int8()
    monkeypatch.setattr(cpu, "_CPUINFO", tmp_path / "missing")
    assert multiplies_int8() is bool(cpu.INT8_SETS & set(found))
    # numpy's sets are bundles: it may miss what the kernel lists, but never invent it
    assert with_kernel or not multiplies_int8()


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of files in the place of the control group's, none there yet."""
    monkeypatch.setattr(cpu, "_QUOTA_V2", tmp_path / "cpu.max")
    monkeypatch.setattr(cpu, "_QUOTA_V1", tmp_path / "cpu.cfs_quota_us")
    monkeypatch.setattr(cpu, "_PERIOD_V1", tmp_path / "cpu.cfs_period_us")
    monkeypatch.setattr(cpu.os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("max 100000\n", 16),
        ("400000 100000\n", 4),
        ("150000 100000\n", 2),
        ("10000 100000\n", 1),
        ("9900000 100000\n", 16),
        ("0 100000\n", 16),
        ("400000 0\n", 16),
        ("400000\n", 16),
        ("", 16),
        ("nonsense 1\n", 16),
    ],
)
def test_a_quota_of_a_container(limits: Path, content: str, expected: int) -> None:
    (limits / "cpu.max").write_text(content, encoding="ascii")
    assert usable_cpus() == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 16), ("200000", 2), ("50000", 1)])
def test_a_quota_of_an_older_container(limits: Path, quota: str, expected: int) -> None:
    (limits / "cpu.cfs_quota_us").write_text(f"{quota}\n", encoding="ascii")
    (limits / "cpu.cfs_period_us").write_text("100000\n", encoding="ascii")
    assert usable_cpus() == expected


def test_half_of_the_older_files_say_nothing(limits: Path) -> None:
    (limits / "cpu.cfs_quota_us").write_text("200000\n", encoding="ascii")
    assert usable_cpus() == 16


def test_the_newer_quota_counts_first(limits: Path) -> None:
    (limits / "cpu.max").write_text("300000 100000\n", encoding="ascii")
    (limits / "cpu.cfs_quota_us").write_text("200000\n", encoding="ascii")
    (limits / "cpu.cfs_period_us").write_text("100000\n", encoding="ascii")
    assert usable_cpus() == 3


def test_systems_without_affinity_count_all_cpus(limits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cpu.os, "sched_getaffinity")
    monkeypatch.setattr(cpu.os, "cpu_count", lambda: 6)
    assert usable_cpus() == 6
    monkeypatch.setattr(cpu.os, "cpu_count", lambda: None)
    assert usable_cpus() == 1


def test_there_is_always_a_cpu() -> None:
    assert usable_cpus() >= 1
