"""Facts of this machine and its Python from a few small files: cheap enough for every job."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from functools import cache
from pathlib import Path

FREQUENCY = "/sys/devices/system/cpu/cpu0/cpufreq"
DRIVER = "/proc/driver/nvidia/version"


def host() -> dict:
    """Return CPU, cores, memory, clock and governor, system, container, GPUs, without those that cannot be read.

    `cpu_kind`: family, model and stepping, since processors of several generations may have one name. `clock_mhz`: the
    current clock of the first core.
    """
    facts = {
        "cpu": cpu_name(),
        "cpu_kind": cpu_kind(),
        "cores": os.cpu_count(),
        "memory_gb": memory_gb(),
        "clock_mhz": clock_mhz(),
        "governor": governor(),
        "system": f"{platform.system()} {platform.release()}",
        "container": container(),
        "gpu": gpu_names() or None,
    }
    return {key: value for key, value in facts.items() if value is not None}


def environment() -> dict:
    """Return the versions of Python, torch and the GPU's driver, and the installed packages as a count and one hash."""
    versions = packages()
    facts = {
        "python": platform.python_version(),
        "executable": Path(sys.executable).name,
        "torch": versions.get("torch"),
        "driver": driver(),
        "packages": len(versions),
        "packages_sha256": fingerprint(versions),
    }
    return {key: value for key, value in facts.items() if value is not None}


@cache
def packages() -> dict[str, str]:
    """Return the versions of installed distributions by normalised name, sorted.

    Read from the names of their folders: opening each one's metadata would take longer than the start of most jobs.
    """
    versions: dict[str, str] = {}
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            if name.endswith(".dist-info"):
                package, _, version = name.removesuffix(".dist-info").rpartition("-")
                versions.setdefault(re.sub(r"[-_.]+", "-", package).lower(), version)
    return dict(sorted(versions.items()))


def fingerprint(versions: dict[str, str]) -> str:
    """Return the SHA-256 over one `name==version` per line, sorted by name."""
    return hashlib.sha256(
        "".join(f"{name}=={versions[name]}\n" for name in sorted(versions)).encode()
    ).hexdigest()


def cpu_name() -> str:
    """Return the processor's model name, else what `platform` knows."""
    for line in (read("/proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_kind() -> str | None:
    """Return family, model and stepping of the processor; None where the system does not list them."""
    text = read("/proc/cpuinfo") or ""
    facts = (re.search(rf"^{name}\s*:\s*(\d+)", text, re.M) for name in ("cpu family", "model", "stepping"))
    known = [fact[1] for fact in facts if fact]
    return "/".join(known) if len(known) == 3 else None


def memory_gb() -> float | None:
    """Return the machine's memory in GB (1e9 bytes); None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    except (ValueError, OSError, AttributeError):
        return None


def clock_mhz() -> float | None:
    """Return the current clock of the first core in MHz; None where the system does not say."""
    current = read(f"{FREQUENCY}/scaling_cur_freq")
    if current and current.isdecimal():
        return int(current) / 1000
    stated = re.search(r"^cpu MHz\s*:\s*([\d.]+)", read("/proc/cpuinfo") or "", re.M)
    return float(stated[1]) if stated else None


def governor() -> str | None:
    """Return the CPU frequency governor; None without one."""
    return read(f"{FREQUENCY}/scaling_governor")


def container() -> str | None:
    """Return "apptainer" or "docker" inside such a container, else None."""
    if os.environ.get("APPTAINER_CONTAINER"):
        return "apptainer"
    return "docker" if Path("/.dockerenv").exists() else None


def driver() -> str | None:
    """Return the version of the NVIDIA driver; None without one."""
    stated = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)", read(DRIVER) or "")
    return stated[1] if stated else None


def gpu_names() -> list[str]:
    """Return the models of the NVIDIA GPUs that the driver lists."""
    models = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        stated = re.search(r"^Model:\s*(.+)$", read(str(path)) or "", re.M)
        models += [stated[1].strip()] if stated else []
    return models


def may_have_gpu() -> bool:
    """Return whether the machine may have a GPU, without loading torch: of NVIDIA (also in a container or under
    Windows), or Apple's."""
    devices = ("/dev/nvidiactl", "/dev/dxg", DRIVER)
    return sys.platform == "darwin" or any(os.path.exists(path) for path in devices)


def read(path: str) -> str | None:
    """Return a file's text without surrounding white space; None if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
