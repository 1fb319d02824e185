# What all attacks share. Each attack runs in a child of its own, because some change the process and some end it.
# It reports `name: blocked (how)` or `name: open (what it reached)`. An attack that merely fails to try is reported as
# `broken`, so that a typing error or a missing tool never looks like a wall.
import ctypes
import errno
import os
import platform
import signal
import socket
import stat
import struct
import sys
import traceback

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
LIBC.mmap.restype = ctypes.c_void_p
X86 = platform.machine() == "x86_64"

# Numbers of system calls: x86_64, aarch64.
NUMBERS = {
    "acct": (163, 89), "add_key": (248, 217), "adjtimex": (159, 171), "bpf": (321, 280), "capset": (126, 91),
    "chroot": (161, 51), "clock_settime": (227, 112), "clone": (56, 220), "clone3": (435, 435),
    "delete_module": (176, 106), "fanotify_init": (300, 262), "finit_module": (313, 273), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fsopen": (430, 430), "fspick": (433, 433), "getpid": (39, 172),
    "init_module": (175, 105), "io_setup": (206, 0), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425), "ioctl": (16, 29), "kcmp": (312, 272), "kexec_load": (246, 104),
    "keyctl": (250, 219), "landlock_create_ruleset": (444, 444), "mbind": (237, 235), "mknodat": (259, 33),
    "mount": (165, 40), "mount_setattr": (442, 442), "move_mount": (429, 429), "move_pages": (279, 239),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "open_tree": (428, 428),
    "perf_event_open": (298, 241), "personality": (135, 92), "pidfd_getfd": (438, 438), "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424), "pivot_root": (155, 41), "process_madvise": (440, 440),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "ptrace": (101, 117), "quotactl": (179, 60),
    "readahead": (187, 213), "reboot": (169, 142), "remap_file_pages": (216, 234), "renameat2": (316, 276), "request_key": (249, 218), "sched_setattr": (314, 274), "sched_setscheduler": (144, 119),
    "seccomp": (317, 277), "setdomainname": (171, 162), "sethostname": (170, 161), "setns": (308, 268),
    "settimeofday": (164, 170), "swapoff": (168, 225), "swapon": (167, 224), "splice": (275, 76), "syslog": (103, 116), "tee": (276, 77),
    "umount2": (166, 39), "unshare": (272, 97), "userfaultfd": (323, 282), "vhangup": (153, 58), "vmsplice": (278, 75),
}

# How a wall says no. Anything else (a bad argument, a missing file) means that the attack was let through to where
# that was noticed, unless the attack names it.
WALL = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EROFS}
tried = 0

# Nothing here changes anything where it is let through: tried outside of a sandbox, to see that it says `open`, it must
# do no harm. What cannot be tried harmlessly by root is left out for root.
ROOT = os.getuid() == 0


class Blocked(Exception):
    """What an attack raises where it sees for itself that a wall stands."""


def call(name, *arguments):
    """A raw system call; an OSError where it fails."""
    number = NUMBERS[name][0 if X86 else 1] if isinstance(name, str) else name
    # Whole registers, so that a check of only the low half can be told from a good one.
    wide = [a if isinstance(a, (bytes, ctypes.Array, ctypes.Structure)) or hasattr(a, "_obj") else
            ctypes.c_void_p(a & (1 << 64) - 1) for a in arguments]
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number), *wide)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def attack(name, action, walls=()):
    """Tries one thing. `walls` are errors beside the usual that prove a wall for this attack."""
    global tried
    tried += 1
    reader, writer = os.pipe()
    sys.stdout.flush()
    try:
        child = os.fork()
    except OSError as error:
        print(f"{name}: broken (fork: {error})", flush=True)
        return
    if child == 0:
        os.close(reader)
        try:
            signal.alarm(10)
            verdict = "open (%s)" % (action(),)
        except Blocked as how:
            verdict = f"blocked ({how})"
        except OSError as error:
            if error.errno in WALL or error.errno in walls:
                verdict = f"blocked ({errno.errorcode.get(error.errno, error.errno)})"
            else:
                verdict = f"open (got as far as {error!r})"
        except BaseException:
            verdict = "broken (%s)" % traceback.format_exc().replace("\n", " | ")
        os.write(writer, verdict.encode()[:3000])
        os._exit(0)
    os.close(writer)
    verdict = b""
    while piece := os.read(reader, 4096):
        verdict += piece
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if not verdict:
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGSYS, signal.SIGSEGV):
            verdict = f"blocked (signal {os.WTERMSIG(status)})".encode()
        else:
            verdict = f"broken (status {status})".encode()
    print(f"{name}: {verdict.decode(errors='replace')}", flush=True)


def check(name, holds, seen=""):
    """A fact that must hold."""
    global tried
    tried += 1
    print(f"{name}: {'blocked' if holds else 'open'} ({seen})".replace("\n", " | "), flush=True)


def finish():
    print(f"finished: {tried}", flush=True)
