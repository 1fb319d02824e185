import tempfile

KINDS = {"user": 0x10000000, "mount": 0x20000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x8000000,
         "uts": 0x4000000, "cgroup": 0x2000000, "time": 0x80}
for name, flag in KINDS.items():
    attack(f"unshare {name}", lambda: call("unshare", flag))
    if name != "time":
        def clone():
            child = call("clone", flag | signal.SIGCHLD, 0, 0, 0, 0)
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
            return "a child in a new namespace"
        attack(f"clone {name}", clone)
attack("unshare user and mount", lambda: call("unshare", KINDS["user"] | KINDS["mount"]))

class Clone3(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in
                ("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls",
                 "set_tid", "set_tid_size", "cgroup")]
def clone3():
    arguments = Clone3(flags=KINDS["user"], exit_signal=signal.SIGCHLD)
    child = call("clone3", ctypes.byref(arguments), ctypes.sizeof(arguments))
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "a child in a new namespace"
attack("clone3 user", clone3)
for name in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup"):
    attack(f"setns {name} of PID 1", lambda: call("setns", os.open(f"/proc/1/ns/{name}", os.O_RDONLY), 0),
           (errno.ENOENT,))
    attack(f"setns own {name}", lambda: call("setns", os.open(f"/proc/self/ns/{name}", os.O_RDONLY), 0))

place = tempfile.mkdtemp(dir="/tmp")
PLACE = place.encode()
def mounted(kind, source=b"none", flags=0):
    call("mount", source, PLACE, kind, flags, 0)
    call("umount2", PLACE, 2)
    return "mounted"
for kind in (b"tmpfs", b"proc", b"sysfs", b"devpts", b"overlay", b"mqueue", b"cgroup2", b"fuse"):
    attack(f"mount {kind.decode()}", lambda: mounted(kind))
attack("bind mount", lambda: mounted(b"none", b"/usr", 4096))
def remount():
    # Asks for what is there already where it is allowed, so that nothing changes outside of a sandbox.
    call("mount", b"none", PLACE, b"tmpfs", 0, 0)
    call("mount", b"none", PLACE, 0, 32, 0)
    call("umount2", PLACE, 2)
    return "remounted"
attack("remount", remount)
attack("umount", lambda: call("umount2", PLACE, 8), ())
attack("fsopen", lambda: call("fsopen", b"tmpfs", 0))
attack("fspick", lambda: call("fspick", -100, b"/tmp", 0))
attack("open_tree", lambda: call("open_tree", -100, b"/tmp", 1))
attack("move_mount", lambda: call("move_mount", -100, b"/nowhere", -100, PLACE, 0))
attack("mount_setattr", lambda: call("mount_setattr", -100, PLACE, 0, (ctypes.c_uint64 * 4)(), 32))
attack("pivot_root", lambda: call("pivot_root", PLACE, PLACE))
def leave_by_chroot():
    os.chroot(place)
    return "changed the root"
attack("chroot", leave_by_chroot)

for name, kind, device in (("null", stat.S_IFCHR, os.makedev(1, 3)), ("mem", stat.S_IFCHR, os.makedev(1, 1)),
                           ("disk", stat.S_IFBLK, os.makedev(8, 0))):
    def node():
        os.mknod(f"{place}/{name}", kind | 0o600, device)
        os.unlink(f"{place}/{name}")
        return "made"
    attack(f"mknod {name}", node)

hostname = socket.gethostname().encode()
domain = open("/proc/sys/kernel/domainname", "rb").read().strip()
attack("sethostname", lambda: call("sethostname", hostname, len(hostname)))
attack("setdomainname", lambda: call("setdomainname", domain, len(domain)))
attack("reboot", lambda: call("reboot", 0, 0, 0, 0))
attack("swapon", lambda: call("swapon", b"/nowhere", 0))
attack("swapoff", lambda: call("swapoff", b"/nowhere"))
attack("init_module", lambda: call("init_module", b"x", 0, b""))
attack("finit_module", lambda: call("finit_module", -1, b"", 0))
attack("delete_module", lambda: call("delete_module", b"nothing", 0))
attack("kexec_load", lambda: call("kexec_load", 0, 0, 0, 1 << 40))
attack("settimeofday", lambda: call("settimeofday", 0, 0))
attack("clock_settime", lambda: call("clock_settime", 0, 0))
attack("syslog", lambda: call("syslog", 10, 0, 0))
attack("acct", lambda: call("acct", b"/nowhere"))
attack("quotactl", lambda: call("quotactl", 0x80000700, 0, 0, 0))
attack("fanotify", lambda: call("fanotify_init", 0, 0))
if X86:
    attack("iopl", lambda: call(172, 3))
    attack("ioperm", lambda: call(173, 0x80, 1, 1))
os.rmdir(place)
