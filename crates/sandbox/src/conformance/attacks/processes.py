# In a sandbox PID 1 is init.
PID = 1

for name in ("environ", "maps", "mem", "auxv", "stack", "syscall", "io", "pagemap", "clear_refs"):
    attack(f"/proc/1/{name}", lambda: open(f"/proc/{PID}/{name}", "rb").read(1) or "readable", (errno.ENOENT, errno.EINVAL, errno.EIO))
for name in ("root", "cwd", "exe"):
    attack(f"/proc/1/{name}", lambda: os.readlink(f"/proc/{PID}/{name}"), (errno.ENOENT,))
for name in ("fd", "fdinfo", "map_files", "root"):
    attack(f"listing of /proc/1/{name}", lambda: os.listdir(f"/proc/{PID}/{name}"), (errno.ENOENT,))
attack("stream of PID 1", lambda: os.open(f"/proc/{PID}/fd/0", os.O_RDWR), (errno.ENOENT,))
attack("mem of PID 1 to write", lambda: os.open(f"/proc/{PID}/mem", os.O_RDWR), (errno.ENOENT,))

PTRACE_SEIZE, PTRACE_ATTACH, PTRACE_TRACEME = 0x4206, 16, 0
attack("ptrace seize PID 1", lambda: call("ptrace", PTRACE_SEIZE, PID, 0, 0))
def trace_child():
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        return call("ptrace", PTRACE_SEIZE, child, 0, 0)
    finally:
        os.kill(child, signal.SIGKILL)
attack("ptrace of an own child", trace_child)
attack("ptrace traceme", lambda: call("ptrace", PTRACE_TRACEME, 0, 0, 0))

class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
def vm(name, pid):
    buffer = ctypes.create_string_buffer(b"mine", 8)
    here = Vector(ctypes.addressof(buffer), 8)
    return call(name, pid, ctypes.byref(here), 1, ctypes.byref(here), 1, 0)
for name in ("process_vm_readv", "process_vm_writev"):
    attack(f"{name} of PID 1", lambda: vm(name, PID))
    attack(f"{name} of itself", lambda: vm(name, os.getpid()))

# Signal 0 only asks; the others must have no effect on PID 1, whether refused or not delivered.
attack("signal 0 to PID 1", lambda: os.kill(PID, 0), (errno.ESRCH,))
if not ROOT:
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGCHLD):
        attack(f"signal {int(number)} to PID 1", lambda: os.kill(PID, number), (errno.ESRCH,))
def pidfd():
    fd = call("pidfd_open", PID, 0)
    return call("pidfd_send_signal", fd, 0, 0, 0)
attack("pidfd signal to PID 1", pidfd)
attack("pidfd_getfd of PID 1", lambda: call("pidfd_getfd", call("pidfd_open", PID, 0), 0, 0))
attack("kcmp with PID 1", lambda: call("kcmp", os.getpid(), PID, 0, 0, 0))
attack("priority of PID 1", lambda: os.setpriority(os.PRIO_PROCESS, PID, os.getpriority(os.PRIO_PROCESS, PID)) or "changed")
attack("affinity of PID 1", lambda: os.sched_setaffinity(PID, os.sched_getaffinity(PID)) or "changed")
def limits_of_init():
    import resource
    resource.prlimit(PID, resource.RLIMIT_NOFILE, resource.prlimit(PID, resource.RLIMIT_NOFILE))
    return "limits changed"
attack("limits of PID 1", limits_of_init)
def score_of_init():
    before = open(f"/proc/{PID}/oom_score_adj").read()
    with open(f"/proc/{PID}/oom_score_adj", "w") as file:
        file.write(before)
    return "written"
attack("oom score of PID 1", score_of_init, (errno.ENOENT,))
def own_oom_score():
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("-1000")
    return "exempt from the kernel's choice"
attack("own oom score", own_oom_score)

others = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, os.getpid())]
check("no processes of others", not others, others)
