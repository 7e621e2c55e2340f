"""A Slurm of one's own on this machine: one CPU node, one node with two (pretended) GPUs, in a folder that goes away.

Debian's packages slurmctld, slurmd, slurm-client and munge; root, since munge and slurmd want it. The configuration
must be in /etc/slurm, since the executor plugin takes `SLURM_CONF` from its jobs: a link stands there meanwhile, and
where a configuration stands already, this machine is left alone. Munge has a key and a socket of its own.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import socket
import stat
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo")
CONFIGURED = Path("/etc/slurm/slurm.conf")
CONF = """\
ClusterName=pardec
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
MpiDefault=none
GresTypes=gpu
ReturnToService=2
MinJobAge=3600
KillWait=2
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
MailProg=/bin/true
NodeName=cpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=128000
NodeName=gpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 RealMemory=128000 Gres=gpu:2
PartitionName=cpu Nodes=cpu1 Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=gpu1 MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """What is missing for a Slurm of one's own; None where nothing is."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=search_path()) is None]
    if missing:
        return f"no {', '.join(missing)}: apt-get install munge slurmctld slurmd slurm-client"
    if CONFIGURED.exists() or CONFIGURED.is_symlink():
        return f"{CONFIGURED} exists: this machine has a Slurm of its own"
    if os.getuid():
        return "slurmd and munged want root"
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "no executor plugin: pip install -r envs/slurm.txt"
    return None


def search_path() -> str:
    return os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Slurm:
    """Started by `start`, ended by `stop`; `env` is what commands and snakemake need."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.env = {**os.environ, "PATH": search_path(), "SLURM_CONF": str(folder / "slurm.conf")}

    def start(self) -> None:
        host = socket.gethostname().partition(".")[0]
        (self.folder / "state").mkdir()
        self.folder.chmod(0o755)
        conf = CONF.format(host=host, folder=self.folder, ports=free_ports(3))
        (self.folder / "slurm.conf").write_text(conf)
        CONFIGURED.parent.mkdir(exist_ok=True)
        CONFIGURED.symlink_to(self.folder / "slurm.conf")
        for number in range(2):
            os.mknod(self.folder / f"gpu{number}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        gres = f"NodeName=gpu1 Name=gpu File={self.folder}/gpu[0-1]\n"
        (self.folder / "gres.conf").write_text(gres)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        places = {
            "key-file": key,
            "socket": self.folder / "munge.socket",
            "pid-file": self.folder / "munged.pid",
        }
        places |= {"log-file": self.folder / "munged.log", "seed-file": self.folder / "munged.seed"}
        self.run("munged", "--force", *(f"--{name}={path}" for name, path in places.items()))
        self.run("slurmctld")
        self.run("slurmd", "-N", "cpu1")
        self.run("slurmd", "-N", "gpu1")
        self.wait(
            lambda: self.run("sinfo", "-h", "-N", "-o", "%N %t").count("idle") == 2, 60, "nodes are idle"
        )

    def stop(self) -> None:
        subprocess.run(["scancel", "--user=root"], env=self.env, capture_output=True)
        time.sleep(1)
        for name in ("slurmd-cpu1", "slurmd-gpu1", "slurmctld", "munged"):
            path = self.folder / f"{name}.pid"
            if path.exists():
                subprocess.run(["kill", path.read_text().strip()], capture_output=True)
        if CONFIGURED.is_symlink() and CONFIGURED.readlink() == self.folder / "slurm.conf":
            CONFIGURED.unlink()

    def run(self, *words: str) -> str:
        """A command of Slurm's; what it says. Fails with its message."""
        done = subprocess.run(words, env=self.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}{done.stdout}"
        return done.stdout

    def jobs(self) -> list[dict[str, str]]:
        """Every job since the start, by the fields of `scontrol show job`."""
        output = self.run("scontrol", "-o", "show", "job")
        result = []
        for line in output.splitlines():
            if line.startswith("JobId="):
                words = (word.partition("=") for word in line.split(" "))
                result.append({key: value for key, equals, value in words if equals} | {"line": line})
        return result

    def wait(self, ready, seconds: float, what: str):
        """What `ready` says once it is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            result = ready()
            if result:
                return result
            time.sleep(0.5)
        raise AssertionError(f"not within {seconds:g} s: {what}\n{self.logs()}")

    def logs(self) -> str:
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-2000:]}"
            for path in self.folder.glob("*.log")
        )
