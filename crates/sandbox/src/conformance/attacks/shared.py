# What the kernel has once for the whole machine, or counts for a user in all sandboxes together. One sandbox that takes or
# looks at it takes it from, or looks at, the others and the host.
import fcntl
import mmap

def by_library(name, *arguments):
    ctypes.set_errno(0)
    result = getattr(LIBC, name)(*arguments)
    if result in (-1, None):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

# Counted for a user.
attack("inotify instance", lambda: by_library("inotify_init1", 0))
attack("inotify watch", lambda: by_library("inotify_add_watch", -1, b"/usr", 0x20))
attack("directory notice", lambda: fcntl.fcntl(os.open("/usr", os.O_RDONLY), 1026, 0x20), (errno.EINVAL,))
def lease():
    fd = os.open("/tmp/leased", os.O_CREAT | os.O_RDWR)
    return fcntl.fcntl(fd, 1024, fcntl.F_WRLCK)
attack("lease", lease, (errno.EINVAL,))
def queued_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN})
    for made in range(100000):
        if LIBC.sigqueue(os.getpid(), signal.SIGRTMIN, 0) != 0:
            if made <= 128:
                raise Blocked(f"{made} signals")
            return f"{made} signals"
    return "as many as one likes"
attack("queued signals", queued_signals)

# Counted for the machine.
context = ctypes.c_ulong(0)
attack("asynchronous I/O", lambda: call("io_setup", 1, ctypes.byref(context)))

# In the memory for filters.
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
ACCEPT = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7FFF0000), 8)
PROGRAM = Filter(1, ctypes.addressof(ACCEPT))
def socket_filter(option):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        if LIBC.setsockopt(end.fileno(), socket.SOL_SOCKET, option, ctypes.byref(PROGRAM), ctypes.sizeof(PROGRAM)) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    return "attached"
attack("filter of a socket", lambda: socket_filter(26), (errno.ENOPROTOOPT,))
attack("filter of a group of sockets", lambda: socket_filter(51), (errno.ENOPROTOOPT,))
LIBC.prctl(38, 1, 0, 0, 0)
attack("filter of system calls", lambda: call("seccomp", 1, 0, ctypes.byref(PROGRAM)))
def filter_by_prctl():
    if LIBC.prctl(22, 2, ctypes.byref(PROGRAM), 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return "loaded"
attack("filter of system calls by prctl", filter_by_prctl, (errno.EINVAL,))

# Beside the memory that is counted.
HUGE = 0x40000
def huge_map():
    area = LIBC.mmap(0, ctypes.c_size_t(2 << 20), 3, 0x22 | HUGE, -1, 0)
    if area == ctypes.c_void_p(-1).value:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return "mapped"
attack("huge pages by mmap", huge_map)
attack("huge pages by memfd", lambda: os.memfd_create("huge", 4))
attack("huge pages by System V", lambda: by_library("shmget", 0, ctypes.c_size_t(2 << 20), 0o1000 | 0o600 | 0x800))
def merge():
    if LIBC.prctl(67, 1, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return "memory is merged with that of others"
attack("merged memory of a process", merge, (errno.EINVAL,))
def mergeable():
    area = mmap.mmap(-1, 4096)
    area.madvise(12)
    return "memory is merged with that of others"
attack("merged memory", mergeable, (errno.EINVAL,))

# What of a shared file is in memory, and in and out with it.
shared = os.open(sys.executable, os.O_RDONLY)
attack("reading what is in memory only", lambda: os.preadv(shared, [bytearray(1)], 0, os.RWF_NOWAIT) and "read", (errno.EOPNOTSUPP,))
attack("cachestat", lambda: call(451, shared, ctypes.create_string_buffer(16), ctypes.create_string_buffer(40), 0))
# Advice and syncing succeed and do nothing: on a descriptor that is none, the kernel itself would say so.
check("advice is not heeded", LIBC.posix_fadvise(-1, 0, 0, 4) == 0, "POSIX_FADV_DONTNEED")
check("readahead is not heeded", LIBC.readahead(-1, 0, 4096) == 0)
for name in ("fsync", "fdatasync", "syncfs"):
    check(f"{name} waits for nothing", getattr(LIBC, name)(-1) == 0)
check("sync_file_range waits for nothing", LIBC.sync_file_range(-1, 0, 0, 7) == 0)
check("msync waits for nothing", LIBC.msync(1, 4096, 4) == 0)
def paged_out():
    area = mmap.mmap(shared, 4096, prot=mmap.PROT_READ)
    area.madvise(21)
    return "paged out"
attack("a shared file out of memory", paged_out, (errno.EINVAL,))
