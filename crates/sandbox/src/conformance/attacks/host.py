GONE = (errno.ENOENT, errno.ENOTDIR)
# Where the root directory comes from an image, this is the image's own.
OF_IMAGE = ("/etc/machine-id", "/var/log", "/home", "/mnt", "/media", "/srv", "/opt", "/boot")
OF_IMAGE = OF_IMAGE if globals().get("FROM_IMAGE") else ()
def without_image(*paths):
    return [path for path in paths if path not in OF_IMAGE]
for path in without_image("/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_rsa_key",
             "/etc/machine-id", "/root/.ssh", "/root/.bash_history", "/root/.docker/config.json", "/root/.aws",
             "/var/lib/docker", "/var/log", "/var/run/secrets", "/boot", "/.dockerenv", "/etc/kubernetes"):
    def look():
        if os.path.isdir(path):
            found = os.listdir(path)
        else:
            found = open(path, "rb").read(16)
        if not found:
            raise Blocked("empty")
        return found
    attack(f"secret {path}", look, GONE)
for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/crio/crio.sock",
             "/run/podman/podman.sock", "/run/user/0/bus", "/run/dbus/system_bus_socket", "/run/systemd/private"):
    def connect():
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(path)
        return "connected"
    # Outside of a sandbox the socket may not exist either; then its directory is what would be seen.
    attack(f"socket {path}", connect, GONE + (errno.ECONNREFUSED,))
for path in without_image("/root", "/home", "/run", "/var/run", "/mnt", "/media", "/srv", "/opt", "/boot", "/host", "/lost+found"):
    def empty():
        found = os.listdir(path)
        if not found:
            raise Blocked("empty")
        return found[:5]
    attack(f"content of {path}", empty, GONE)
# Files that the test has made on the host, and directories that it works in.
for path in os.environ["HOST_PATHS"].split(":"):
    attack(f"path of the host {path}", lambda: os.stat(path) and "there", GONE)
    attack(f"path of the host by PID 1 {path}", lambda: os.stat(f"/proc/1/root{path}") and "there", GONE)
    attack(f"path of the host by cwd {path}", lambda: os.stat("../" * 40 + path[1:]) and "there", GONE)
# Nothing that is mounted says where on the host it comes from, but for the system directories.
for line in open("/proc/self/mountinfo"):
    check("mount source", os.environ["HOST_MARK"] not in line, line.strip())
def by_descriptor():
    # A directory descriptor from before the root was changed would lead out.
    found = []
    for fd in range(3, 200):
        try:
            found.append((fd, os.readlink(f"/proc/self/fd/{fd}")))
            os.fchdir(fd)
            return os.listdir(".")
        except OSError:
            pass
    raise Blocked(f"none of {len(found)}")
attack("directory descriptor", by_descriptor)
