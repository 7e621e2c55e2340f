"""Run the Python program on standard input where it can harm nothing: the inner half of `sandbox`.

Executed as a script, by Linux only, with `python -I`; imports nothing of this project. The first line of standard input
is a token, which is written to standard output once the program has reached its end.

In new namespaces, the process has no network and sees no other process. Every file system is read-only; an empty one in
memory is its folder and covers the places where users keep files. Then it gives up all rights and runs the program.
"""

import ctypes
import os
import resource
import signal
import sys

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
MOUNT_SETATTR = 442
"""Number of the system call on all of Linux's architectures but alpha."""
RDONLY, NOSUID, NODEV = 1, 2, 4
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
NOBODY = 65534
INSIDE = 1000
"""The number of an ordinary user inside: not root's, so that the rights end where the program begins."""
FOLDER = "/tmp"
HIDDEN = ("/home", "/media", "/mnt", "/proc", "/root", "/run", "/srv", "/sys", "/var")
"""Folders that the program sees empty, but for Python itself."""
RUN = """\
import os, sys
def main():
    token, _, source = sys.stdin.buffer.read().decode().partition("\\n")
    exec(compile(source, "program.py", "exec"), {})
    os.write(1, token.encode())
main()
"""
libc = ctypes.CDLL(None, use_errno=True)


class Attributes(ctypes.Structure):
    """`struct mount_attr` of Linux."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns_fd")]


def checked(result: int) -> None:
    """Raise OSError with the system's reason if a call of the C library failed (a result other than 0)."""
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mount(source: bytes, target: str, kind: bytes, flags: int, data: bytes = b"") -> None:
    """Mount `source` at `target`; see mount(2). Raises OSError."""
    checked(libc.mount(source, target.encode(), kind, flags, data))


def set_attributes(path: str, flags: int, **changes: int) -> None:
    """Change the attributes of a mount; see mount_setattr(2). Raises OSError."""
    attributes = Attributes(**changes)
    size = ctypes.sizeof(attributes)
    where = ctypes.c_int(AT_FDCWD)
    checked(libc.syscall(MOUNT_SETATTR, where, path.encode(), flags, ctypes.byref(attributes), size))


def separate() -> None:
    """Enter new namespaces; an ordinary user needs one of users for that, with himself in it under another number."""
    spaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
    if os.getuid() == 0:
        checked(libc.unshare(spaces))
        return
    user, group = os.getuid(), os.getgid()
    checked(libc.unshare(spaces | CLONE_NEWUSER))
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{INSIDE} {user} 1"),
        ("gid_map", f"{INSIDE} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def close_files() -> None:
    """Make every file system read-only, and put empty ones in memory over the program's folder and the hidden ones;
    Python's own folder stays visible."""
    mount(b"none", "/", b"", MS_REC | MS_PRIVATE)
    home = os.path.realpath(sys.base_prefix)
    opened = os.open(home, os.O_PATH)
    for path in (*HIDDEN, FOLDER):
        if not os.path.isdir(path) or path == "/proc":
            continue
        mount(
            b"tmpfs",
            path,
            b"tmpfs",
            MS_NOSUID | MS_NODEV,
            f"size=16m,mode={1777 if path == FOLDER else 755}".encode(),
        )
        if home.startswith(f"{path}/"):
            os.makedirs(home)
            mount(f"/proc/self/fd/{opened}".encode(), home, b"", MS_BIND | MS_REC)
    mount(b"tmpfs", "/proc", b"tmpfs", MS_NOSUID | MS_NODEV, b"size=4k,mode=755")
    os.close(opened)
    set_attributes("/", AT_RECURSIVE, set=RDONLY | NOSUID | NODEV)
    set_attributes(FOLDER, 0, clear=RDONLY)
    os.chdir(FOLDER)


def limit(seconds: int, memory: int, file_bytes: int, processes: int) -> None:
    """Limit CPU seconds, bytes of memory, bytes per file, processes and open files of this process."""
    for what, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def main() -> None:
    """Confine this process as the command line says, then run the program that it reads."""
    limits = list(map(int, sys.argv[2:]))
    # Bubblewrap has done all this.
    if sys.argv[1] == "namespaces":
        separate()
        child = os.fork()  # the first process of the new namespace; with it, all others end
        if child:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 127)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        close_files()
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # a change of user clears it
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    limit(*limits)
    os.execve(sys.executable, [sys.executable, "-I", "-c", RUN], {})


if __name__ == "__main__":
    main()
