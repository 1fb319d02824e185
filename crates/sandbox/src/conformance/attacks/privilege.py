import resource
import threading

def status(path):
    with open(path) as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)

def look(where, path):
    fields = status(path)
    for name in ("Uid", "Gid"):
        check(f"{where}: {name} is not 0", "0" not in fields[name].split(), fields[name])
    check(f"{where}: groups", "0" not in fields["Groups"].split(), fields["Groups"])
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        check(f"{where}: {name} is empty", int(fields[name], 16) == 0, fields[name])
    check(f"{where}: NoNewPrivs", fields["NoNewPrivs"] == "1", fields["NoNewPrivs"])
    check(f"{where}: Seccomp", fields["Seccomp"] == "2", fields["Seccomp"])

look("process", "/proc/self/status")
seen = threading.Event()
leave = threading.Event()
tid = []
def in_thread():
    tid.append(threading.get_native_id())
    seen.set()
    leave.wait()
thread = threading.Thread(target=in_thread)
thread.start()
seen.wait()
look("thread", f"/proc/self/task/{tid[0]}/status")
leave.set()
thread.join()

def host_users():
    # Lines of: first id inside, first id in the parent, how many.
    maps = [[int(word) for word in line.split()] for line in open("/proc/self/uid_map")]
    mine = os.getuid()
    return [(mine - inside + outside) for inside, outside, count in maps if inside <= mine < inside + count]
check("own user is not root outside", 0 not in host_users(), open("/proc/self/uid_map").read())

listing = sorted(int(name) for name in os.listdir("/proc/self/fd"))
check("no descriptors but three", [fd for fd in listing if fd <= 2] == listing[:-1] and len(listing) <= 4, listing)
for fd in (0, 1, 2):
    target = os.readlink(f"/proc/self/fd/{fd}")
    check(f"descriptor {fd} is a pipe, null or an anonymous file",
          target.startswith(("pipe:", "/memfd:", "/dev/null")), target)
check("no terminal", not any(os.isatty(fd) for fd in (0, 1, 2)))
def controlling_terminal():
    terminal = os.open("/dev/tty", os.O_RDWR)
    if not os.isatty(terminal):
        raise Blocked("not a terminal")
    return terminal
attack("controlling terminal", controlling_terminal, (errno.ENXIO, errno.ENOENT))
own = {"PATH", "HOME", "LANG", "LC_CTYPE"}
check("environment is what was passed", set(os.environ) <= own, sorted(os.environ))

attack("setuid 0", lambda: os.setuid(0), (errno.EINVAL,))
attack("setresuid 0", lambda: os.setresuid(0, 0, 0), (errno.EINVAL,))
attack("setgid 0", lambda: os.setgid(0), (errno.EINVAL,))
attack("setgroups 0", lambda: os.setgroups([0]), (errno.EINVAL,))

class CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]
def capset():
    data = (ctypes.c_uint32 * 6)(0x1, 0x1, 0x0, 0, 0, 0)
    call("capset", ctypes.byref(CapabilityHeader(0x20080522, 0)), data)
    return "took CAP_CHOWN"
attack("capset", capset)
def raise_ambient():
    if LIBC.prctl(47, 2, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return "raised"
attack("ambient capability", raise_ambient)
def forget_no_new_privs():
    if LIBC.prctl(38, 0, 0, 0, 0) == 0:
        return "NoNewPrivs was taken back"
    raise Blocked("refused")
attack("NoNewPrivs off", forget_no_new_privs)

def setuid_programs():
    found = []
    for directory in ("/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/libexec", "/usr/lib"):
        for name in os.listdir(directory) if os.path.isdir(directory) else ():
            try:
                mode = os.lstat(os.path.join(directory, name))
            except OSError:
                continue
            if stat.S_ISREG(mode.st_mode) and mode.st_mode & (stat.S_ISUID | stat.S_ISGID):
                found.append(os.path.join(directory, name))
    return found
# Whether the driver makes all mounts itself. If not, the root directory may lack nosuid.
OWN_MOUNTS = globals().get("OWN_MOUNTS", True)
def becomes_another(path):
    import subprocess
    # It has been started when this returns. Whatever it does then, also when it has ended, the kernel says as whom.
    program = subprocess.Popen([path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        fields = status(f"/proc/{program.pid}/status")
        users = set(fields["Uid"].split() + fields["Gid"].split())
    finally:
        program.kill()
        program.wait()
    if users <= {str(os.getuid()), str(os.getgid())}:
        raise Blocked("runs as " + " ".join(users))
    return users
for path in setuid_programs():
    if OWN_MOUNTS:
        check(f"{path} is inert", os.statvfs(path).f_flag & os.ST_NOSUID, "nosuid")
    elif not ROOT and os.access(path, os.X_OK):
        attack(f"{path} becomes another", lambda: becomes_another(path))
for path in filter(os.path.exists, ("/", "/usr", "/workspace", "/output", "/tmp", "/dev/shm", "/skills")):
    if OWN_MOUNTS or os.access(path, os.W_OK):
        check(f"{path} is nosuid", os.statvfs(path).f_flag & os.ST_NOSUID, os.statvfs(path).f_flag)
def own_setuid():
    import shutil
    shutil.copy("/usr/bin/id", "/tmp/id")
    try:
        os.chmod("/tmp/id", 0o6755)
    except OSError:
        raise Blocked("cannot be marked")
    ids = os.popen("/tmp/id -u").read().strip()
    if ids == str(os.getuid()):
        raise Blocked("runs as " + ids)
    return ids
attack("setuid program of its own", own_setuid)
check("no core dumps", resource.getrlimit(resource.RLIMIT_CORE) == (0, 0), resource.getrlimit(resource.RLIMIT_CORE))
