# Leaves marks wherever something could outlive a sandbox or reach another one; MODE says whether to leave or to look.
import ctypes.util
mode = os.environ["MODE"]
mark = os.environ["MARK"]
KEY = int(mark, 36) & 0x7FFFFFFF
IPC_CREAT = 0o1000
def sysv(name, *arguments):
    ctypes.set_errno(0)
    result = getattr(LIBC, name)(*arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result
abstract = "\0" + mark
left = []
if mode == "leave":
    for directory in ("/tmp", "/workspace", "/output", "/dev/shm", "/var/tmp", "/run", "/dev/mqueue"):
        try:
            open(f"{directory}/{mark}", "w").write(mark)
            left.append(directory)
        except OSError:
            pass
    for name, arguments in (("shmget", (KEY, 4096, IPC_CREAT | 0o666)), ("semget", (KEY, 1, IPC_CREAT | 0o666)),
                            ("msgget", (KEY, IPC_CREAT | 0o666))):
        try:
            sysv(name, *arguments)
            left.append(name)
        except OSError:
            pass
    try:
        queue = LIBC.mq_open(f"/{mark}".encode(), os.O_CREAT | os.O_RDWR, 0o666, None)
        left.append("mq_open") if queue >= 0 else None
    except AttributeError:
        pass
    print("left:", " ".join(left), flush=True)
    if os.environ.get("STAY"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(abstract)
        listener.listen()
        local = socket.socket()
        local.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        local.bind(("127.0.0.1", 40000 + KEY % 20000))
        local.listen()
        print("staying", flush=True)
        signal.pause()
    sys.exit()
NONE = (errno.ENOENT, errno.ECONNREFUSED)
for directory in ("/tmp", "/workspace", "/output", "/dev/shm", "/var/tmp", "/run", "/dev/mqueue"):
    attack(f"file in {directory}", lambda: os.stat(f"{directory}/{mark}"), NONE)
attack("shared memory", lambda: sysv("shmget", KEY, 0, 0), NONE)
attack("semaphores", lambda: sysv("semget", KEY, 0, 0), NONE)
attack("message queue", lambda: sysv("msgget", KEY, 0), NONE)
def posix_queue():
    if LIBC.mq_open(f"/{mark}".encode(), os.O_RDWR) < 0:
        raise OSError(ctypes.get_errno(), "mq_open")
    return "opened"
attack("POSIX queue", posix_queue, NONE)
def connected(family, address):
    connection = socket.socket(family)
    connection.settimeout(3)
    connection.connect(address)
    return "connected"
attack("abstract socket", lambda: connected(socket.AF_UNIX, abstract), NONE)
attack("loopback service", lambda: connected(socket.AF_INET, ("127.0.0.1", 40000 + KEY % 20000)), NONE)
