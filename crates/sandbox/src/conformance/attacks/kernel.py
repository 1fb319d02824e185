buffer = ctypes.create_string_buffer(4096)
attack("io_uring_setup", lambda: call("io_uring_setup", 1, buffer))
attack("io_uring_enter", lambda: call("io_uring_enter", -1, 0, 0, 0, 0, 0))
attack("io_uring_register", lambda: call("io_uring_register", -1, 0, 0, 0))
attack("bpf map", lambda: call("bpf", 0, struct.pack("IIIII", 2, 4, 4, 1, 0) + bytes(100), 72))
attack("bpf", lambda: call("bpf", 99, buffer, 72))
def perf():
    attributes = struct.pack("IIQ", 1, 112, 0) + bytes(96)
    return call("perf_event_open", attributes, 0, -1, -1, 0)
attack("perf_event_open", perf)
attack("userfaultfd", lambda: call("userfaultfd", 1))
attack("userfaultfd, by the kernel's device", lambda: os.open("/dev/userfaultfd", os.O_RDWR), (errno.ENOENT,))
attack("keyctl", lambda: call("keyctl", 0, -3, 0, 0, 0))
attack("add_key", lambda: call("add_key", b"user", b"probe", b"x", 1, -1))
attack("request_key", lambda: call("request_key", b"user", b"probe", 0, 0))
for name, value in (("32-bit", 0x0008), ("read implies exec", 0x0400000), ("fixed addresses", 0x0040000)):
    attack(f"personality {name}", lambda: call("personality", value))
attack("open_by_handle_at", lambda: call("open_by_handle_at", -100, struct.pack("Ii", 8, 1) + bytes(8), 0))
def real_time(policy):
    os.sched_setscheduler(0, policy, os.sched_param(1))
    return "set"
attack("real-time FIFO", lambda: real_time(os.SCHED_FIFO))
attack("real-time round robin", lambda: real_time(os.SCHED_RR))
attack("deadline scheduling", lambda: call("sched_setattr", 0, struct.pack("IIQiIQQQ", 48, 6, 0, 0, 0, 10**6, 10**7, 10**7), 0))
attack("nice below zero", lambda: os.nice(-5))
attack("move_pages of PID 1", lambda: call("move_pages", 1, 0, 0, 0, 0, 0))
attack("process_madvise of PID 1", lambda: call("process_madvise", call("pidfd_open", 1, 0), 0, 0, 21, 0))
attack("vhangup", lambda: "root may" if ROOT else call("vhangup"))
attack("adjtimex", lambda: call("adjtimex", struct.pack("I", 0x4000) + bytes(300)))

# What nobody here needs and had holes: pages moved between files and pipes, data out of band, protocols on protocols.
reader, writer = os.pipe()
null = os.open("/dev/null", os.O_RDWR)
attack("splice", lambda: call("splice", null, 0, writer, 0, 1, 2))
attack("tee", lambda: call("tee", reader, writer, 1, 2))
attack("vmsplice", lambda: call("vmsplice", writer, 0, 0, 2))
first, second = socket.socketpair()
attack("out-of-band data", lambda: first.send(b"x", socket.MSG_OOB), (errno.EOPNOTSUPP,))
attack("out-of-band data by sendmsg", lambda: first.sendmsg([b"x"], [], socket.MSG_OOB), (errno.EOPNOTSUPP,))
def layered():
    with socket.socket() as tcp:
        tcp.setsockopt(socket.IPPROTO_TCP, 31, b"tls")
    return "a protocol on top"
attack("TLS in the kernel", layered, (errno.ENOPROTOOPT,))
def whiteout():
    open("/tmp/white", "w").close()
    return call("renameat2", -100, b"/tmp/white", -100, b"/tmp/out", 4)
attack("whiteout", whiteout, (errno.EINVAL,))
attack("remap_file_pages", lambda: call("remap_file_pages", 0, 4096, 0, 0, 0))

# Requests to descriptors: each of these answers where it is let through, so the kernel's own ENOTTY proves nothing less.
def request(fd, number, size=64):
    buffer = ctypes.create_string_buffer(size)
    return call("ioctl", fd, number, buffer)
place = os.open("/tmp", os.O_RDONLY)
plain = os.open("/tmp/plain", os.O_CREAT | os.O_RDWR)
talk = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own = {kind: os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in ("mnt", "pid", "user", "net", "uts", "ipc")}
for kind, fd in own.items():
    for number in range(0xB701, 0xB70C):
        attack(f"request {number:#x} to the {kind} namespace", lambda: request(fd, number), (errno.ENOTTY,))
    attack(f"id of the {kind} namespace", lambda: request(fd, 0x8008B705), (errno.ENOTTY,))
attack("block size", lambda: request(plain, 2), (errno.ENOTTY,))
attack("size of a directory", lambda: request(place, 0x5460), (errno.ENOTTY,))
attack("signals for a descriptor", lambda: request(reader, 0x5452), (errno.ENOTTY,))
attack("queue of an interface", lambda: request(talk.fileno(), 0x8942), (errno.ENOTTY,))
attack("owner of a socket", lambda: request(talk.fileno(), 0x8904), (errno.ENOTTY,))

# Calls that the policy has no word for, whether this kernel has them or not, are as on one that does not.
def newer(number):
    code = None
    try:
        call(number, -1, -1, -1, -1, -1, -1)
    except OSError as error:
        code = error.errno
    return code
other = {number: code for number in range(453, 1024) if number not in (467,) and (code := newer(number)) != errno.ENOSYS}
check("newer calls are not there", not other, other)
