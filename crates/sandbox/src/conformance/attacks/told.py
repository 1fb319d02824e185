# Everything that /proc and /sys tell, by listing what is really there. What is known comes from the test; outside of a
# sandbox nothing is, so that all of it is open.
import json
KNOWN = json.loads(os.environ.get("KNOWN", "{}"))
OWN, MADE_UP, SETTINGS = (set(KNOWN.get(kind, ())) for kind in ("own", "made_up", "settings"))
# Whether the driver makes up what programs read. If not, it is the machine's, and the settings are those that are not covered.
MAKES_UP = KNOWN.get("makes_up", True)
HIDDEN_SETTINGS = KNOWN.get("hidden_settings", ())

def told(path):
    """The first of what a file or a directory tells."""
    if os.path.isdir(path):
        for top, _, files in os.walk(path):
            for name in files:
                text = told(os.path.join(top, name))
                if text:
                    return os.path.join(top, name), text
        return None
    try:
        # Some would wait for news.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return os.read(fd, 64)
    except OSError:
        return None
    finally:
        os.close(fd)

for name in sorted(os.listdir("/proc")):
    if name.isdigit() or name in OWN or name in MADE_UP:
        continue
    text = told(f"/proc/{name}")
    check(f"/proc/{name} tells nothing", not text, text)

unknown, seen = [], 0
for top, _, files in os.walk("/proc/sys"):
    for name in files:
        path = os.path.join(top, name)
        short = os.path.relpath(path, "/proc/sys")
        seen += 1
        is_known = short in SETTINGS if MAKES_UP else not any(
            short == hidden or short.startswith(hidden + "/") for hidden in HIDDEN_SETTINGS)
        if not (is_known and KNOWN) and told(path):
            unknown.append(short)
check("settings are known", not unknown, f"{len(unknown)} of {seen}: {unknown[:20]}")

def boot_id():
    found = open("/proc/sys/kernel/random/boot_id").read().strip()
    if not found:
        raise Blocked("covered")
    if found != os.environ.get("HOST_BOOT_ID", found):
        raise Blocked("another one")
    return found
attack("the machine's boot id", boot_id)

devices = []
for top, _, files in os.walk("/sys"):
    devices += [os.path.join(top, name) for name in files]
beside = [path for path in devices if not path.startswith("/sys/devices/system/cpu/")]
check("/sys tells of nothing but CPUs", not beside, beside[:5])

if MAKES_UP:
    def number(path, name):
        line = next(line for line in open(path) if line.startswith(name))
        return int(line.split()[1])
    memory, cpus = int(os.environ.get("MEMORY_KIB", "0")), int(os.environ.get("CPUS", "0"))
    check("memory is the sandbox's", number("/proc/meminfo", "MemTotal:") == memory, memory)
    check("swap is the sandbox's", number("/proc/meminfo", "SwapTotal:") == 0 and memory)
    listed = sum(line.startswith("processor") for line in open("/proc/cpuinfo"))
    counted = sum(line.startswith("cpu") and line[3].isdigit() for line in open("/proc/stat"))
    check("CPUs are the sandbox's", listed == counted == os.cpu_count() == cpus, (listed, counted, os.cpu_count()))
    check("load is not the machine's", open("/proc/loadavg").read() == "0.00 0.00 0.00 1/1 1\n")
    check("kernel's builder is not told", "@" not in open("/proc/version").read().split("#")[0], open("/proc/version").read())
    for path in ("/proc/meminfo", "/proc/cpuinfo", "/proc/sys/kernel/hostname", "/proc/version", "/sys/devices/system/cpu/online"):
        attack(f"write {path}", lambda: os.close(os.open(path, os.O_WRONLY)) or "opened", (errno.ENOENT,))
        attack(f"mode of {path}", lambda: os.chmod(path, 0o666) or "changed", (errno.ENOENT,))
    first = open("/proc/sys/kernel/random/uuid").read()
    check("uuids are drawn", first != open("/proc/sys/kernel/random/uuid").read() and memory, first)
