GONE = (errno.ENOENT, errno.ENOTDIR)
def content(path):
    with open(path, "rb") as file:
        found = file.read(64)
    if not found.strip(b"0-: "):
        raise Blocked("empty")
    # Where the kernel hides addresses, it writes zeros.
    if path in ("/proc/kallsyms", "/proc/iomem", "/proc/ioports") and not found.split()[0].strip(b"0-"):
        raise Blocked("zeros")
    return found[:20]
for path in ("/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/latency_stats", "/proc/timer_list",
             "/proc/sched_debug", "/proc/kmsg", "/proc/kallsyms", "/proc/kpagecount", "/proc/kpageflags",
             "/proc/slabinfo", "/proc/vmallocinfo", "/proc/iomem", "/proc/ioports",
             "/sys/kernel/notes", "/sys/kernel/vmcoreinfo"):
    attack(f"read {path}", lambda: content(path), GONE)
def entries(path):
    found = os.listdir(path)
    if not found:
        raise Blocked("empty")
    return found[:5]
for path in ("/proc/acpi", "/proc/scsi", "/proc/driver", "/proc/asound", "/sys/firmware", "/sys/kernel/debug",
             "/sys/kernel/tracing", "/sys/kernel/security", "/sys/fs/bpf", "/sys/fs/pstore", "/sys/devices/virtual/powercap",
             "/sys/class/block", "/sys/block"):
    attack(f"list {path}", lambda: entries(path), GONE)
def opened(path):
    os.close(os.open(path, os.O_WRONLY))
    return "opened for writing"
for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname",
             "/proc/sys/kernel/modprobe", "/proc/sys/kernel/randomize_va_space", "/proc/sys/kernel/shmmax",
             "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/ip_unprivileged_port_start",
             "/proc/sys/vm/overcommit_memory", "/proc/sys/fs/mqueue/queues_max", "/proc/sys/user/max_user_namespaces",
             "/proc/irq/default_smp_affinity", "/proc/mtrr", "/proc/bus/pci/00/00.0", "/sys/power/state", "/sys/kernel/uevent_helper",
             "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
             "/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/memory/release_agent"):
    attack(f"write {path}", lambda: opened(path), GONE)
def map_users():
    with open("/proc/self/uid_map", "w") as file:
        file.write("0 0 1")
    return "written"
attack("own user map", map_users)
cgroups = []
for top, _, files in os.walk("/sys/fs/cgroup") if os.path.isdir("/sys/fs/cgroup") else ():
    for name in files:
        try:
            cgroups.append(opened(os.path.join(top, name)) and os.path.join(top, name))
        except OSError:
            pass
check("no cgroup file is writable", not cgroups, cgroups[:10])
