ALLOWED = ("/workspace", "/output", "/tmp", "/dev/shm")
def inside(path, roots=ALLOWED):
    return any(path == root or path.startswith(root + "/") for root in roots)

def create(directory):
    path = os.path.join(directory, ".probe-of-the-walls")
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    os.close(fd)
    os.unlink(path)
    return path
GONE = (errno.ENOENT, errno.ENOTDIR)
for directory in ("/", "/etc", "/usr", "/usr/bin", "/usr/lib", "/usr/local", "/bin", "/lib", "/sbin", "/dev", "/proc",
                  "/sys", "/skills", "/layers", "/home", "/root", "/opt", "/var", "/var/tmp", "/run", "/mnt", "/srv",
                  "/media", "/boot", "/proc/self", "/sys/fs/cgroup", "/dev/mqueue", "/dev/pts", "/run/lock"):
    attack(f"file in {directory}", lambda: create(directory), GONE)

def everywhere():
    """Every directory, three levels deep and across all mounts, that is writable where it must not be."""
    found = []
    for top, directories, _ in os.walk("/"):
        depth = top.count("/") if top != "/" else 0
        if depth >= 3:
            directories.clear()
        directories[:] = [name for name in directories
                          if not inside(os.path.join(top, name)) and os.path.join(top, name) not in ("/proc", "/sys")]
        try:
            create(top)
            found.append(top)
        except OSError:
            pass
    if found:
        return found
    raise Blocked("nowhere")
attack("file anywhere", everywhere)

# Of several mounts on one place only the last can be reached.
mounts = {line.split()[4]: line.split() for line in open("/proc/self/mountinfo")}
kind_of = {point: fields[fields.index("-") + 1] for point, fields in mounts.items()}
# Whether the driver makes all mounts itself. If not, a mount that nobody can write to may lack nosuid and nodev.
OWN_MOUNTS = globals().get("OWN_MOUNTS", True)
for fields in mounts.values():
    point, options = fields[4], fields[5].split(",")
    try:
        device = stat.S_ISCHR(os.stat(point).st_mode)
    except PermissionError:
        # No path leads there. It is tried in every way that a path can be walked, and counts as a wall of its own.
        attack(f"list of the mount {point}", lambda: os.listdir(point))
        attack(f"file in the mount {point}", lambda: create(point))
        attack(f"entering the mount {point}", lambda: os.chdir(point) or "entered")
        attack(f"opening the way to {point}", lambda: os.chmod(os.path.dirname(point), 0o777) or "opened")
        attack(f"mount {point} by PID 1", lambda: os.listdir(f"/proc/1/root{point}"), GONE)
        continue
    except FileNotFoundError:
        # Another mount lies over the way to it, so that nothing of it can be named.
        check(f"mount {point} is out of reach", not os.path.lexists(point), " ".join(fields))
        continue
    # Processes write below their own directory of /proc; what is the machine's there is another case.
    # Terminals are devices, and nothing else can be made where they are: see `file in /dev/pts`.
    terminals = kind_of[point] == "devpts"
    if not inside(point) and not device and not terminals and point != "/proc":
        check(f"mount {point} is read-only", "ro" in options, " ".join(fields))
    if OWN_MOUNTS or "rw" in options and not device and not terminals:
        check(f"mount {point} is nosuid", "nosuid" in options, " ".join(fields))
        check(f"mount {point} is nodev", "nodev" in options or device or terminals, " ".join(fields))

# By what they are and not only by name: null, zero, full, random, urandom; and what opens a terminal of one's own.
HARMLESS = {os.makedev(1, minor) for minor in (3, 5, 7, 8, 9)} | {os.makedev(5, 2)}
nodes = []
for top, directories, files in os.walk("/dev"):
    for name in files:
        path = os.path.join(top, name)
        found = os.lstat(path)
        if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
            nodes.append((path, found))
extra = [path for path, found in nodes if stat.S_ISBLK(found.st_mode) or found.st_rdev not in HARMLESS]
check("no devices but the harmless", not extra, [path for path, _ in nodes])

attack("change of /etc", lambda: open("/etc/passwd", "a").write("") or "opened", (errno.ENOENT,))
attack("mode of /", lambda: os.chmod("/", stat.S_IMODE(os.stat("/").st_mode)) or "changed")
attack("owner of /tmp", lambda: os.chown("/tmp", os.stat("/tmp").st_uid, os.stat("/tmp").st_gid + 1) if not ROOT else "root may",
       (errno.EINVAL,))
def hard_link():
    os.link("/usr/bin/env", "/workspace/env")
    os.unlink("/workspace/env")
    return "linked"
attack("hard link to a system file", hard_link, (errno.EXDEV,))
attack("rename over a mount point", lambda: os.rename("/output", "/output2"), (errno.EBUSY, errno.EXDEV))
attack("removal of a mount point", lambda: os.rmdir("/output"), (errno.EBUSY,))
import fcntl
def immutable():
    fd = os.open("/tmp/immutable", os.O_CREAT | os.O_RDWR)
    fcntl.ioctl(fd, 0x40086602, struct.pack("l", 0x10))
    fcntl.ioctl(fd, 0x40086602, struct.pack("l", 0))
    os.unlink("/tmp/immutable")
    return "set"
attack("immutable flag", immutable, (errno.ENOTTY, errno.EOPNOTSUPP))
