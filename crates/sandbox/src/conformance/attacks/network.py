import time

names = [name for _, name in socket.if_nameindex()]
check("no interface but lo", names == ["lo"] or not names, names)
routes = open("/proc/net/route").read().splitlines()[1:] if os.path.exists("/proc/net/route") else []
check("no route", not routes, routes)
seen = sorted(os.listdir("/sys/class/net")) if os.path.isdir("/sys/class/net") else []
check("no interface in /sys", set(seen) <= {"lo"}, seen)
servers = [line for line in open("/etc/resolv.conf")] if os.path.exists("/etc/resolv.conf") else []
check("no name server", not [line for line in servers if line.startswith("nameserver")], servers)

# Prompt errors, too: a program that waits for a timeout of minutes is no better than one that hangs.
NOWHERE = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EHOSTUNREACH, errno.EAFNOSUPPORT)
def prompt(action):
    begun = time.monotonic()
    try:
        return action()
    except OSError:
        if time.monotonic() - begun > 2:
            return f"refused only after {time.monotonic() - begun:.1f} s"
        raise
def connect(family, kind, address):
    with socket.socket(family, kind) as connection:
        connection.settimeout(5)
        try:
            connection.connect(address)
            if kind == socket.SOCK_DGRAM:
                connection.send(b"x")
        except TimeoutError:
            return "packets leave and nobody answers"
        return "connected"
V4, V6, TCP, UDP = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM, socket.SOCK_DGRAM
for family, kind, address in (
    (V4, TCP, ("169.254.169.254", 80)), (V4, TCP, ("1.1.1.1", 443)), (V4, UDP, ("1.1.1.1", 53)),
    (V4, TCP, ("10.0.0.1", 80)), (V4, TCP, ("172.17.0.1", 80)), (V4, TCP, ("192.168.0.1", 80)),
    (V4, UDP, ("224.0.0.251", 5353)), (V6, TCP, ("2606:4700:4700::1111", 443)), (V6, TCP, ("fd00:ec2::254", 80)),
):
    attack(f"connect to {address}", lambda: prompt(lambda: connect(family, kind, address)), NOWHERE)
def broadcast():
    with socket.socket(V4, UDP) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        return sender.sendto(b"x", ("255.255.255.255", 9))
attack("broadcast", broadcast, NOWHERE)
def resolve(name):
    begun = time.monotonic()
    try:
        found = socket.getaddrinfo(name, 80)
    except socket.gaierror as error:
        took = time.monotonic() - begun
        if took < 2:
            raise Blocked(f"{error} after {took:.1f} s")
        return f"no answer, but only after {took:.1f} s"
    return found
attack("names", lambda: resolve("example.com"))
attack("metadata by name", lambda: resolve("metadata.google.internal"))

# What really listens on the host, which the test has started.
port = int(os.environ["HOST_PORT"])
REFUSED = (errno.ECONNREFUSED, errno.ENOENT) + NOWHERE
attack("service on the host's loopback", lambda: connect(V4, TCP, ("127.0.0.1", port)), REFUSED)
attack("service on the host's loopback, by IPv6", lambda: connect(V6, TCP, ("::1", port)), REFUSED)
attack("service on the host's loopback, mapped", lambda: connect(V6, TCP, ("::ffff:127.0.0.1", port)), REFUSED)
attack("service on 0.0.0.0", lambda: connect(V4, TCP, ("0.0.0.0", port)), REFUSED)
abstract = "\0" + os.environ["HOST_ABSTRACT"]
attack("abstract socket of the host", lambda: connect(socket.AF_UNIX, TCP, abstract), REFUSED)
attack("socket file of the host", lambda: connect(socket.AF_UNIX, TCP, os.environ["HOST_SOCKET"]), REFUSED)

import fcntl
def interface_up():
    # Asks for the flags that lo has already, so that nothing changes where this is allowed.
    with socket.socket(V4, UDP) as control:
        request = fcntl.ioctl(control, 0x8913, struct.pack("16sH14x", b"lo", 0))
        fcntl.ioctl(control, 0x8914, request)
        return "flags set"
attack("flags of an interface", interface_up, (errno.ENODEV, errno.ENOTTY))
def netlink(kind, flags, body):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.settimeout(5)
        link.send(struct.pack("IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        answer = link.recv(4096)
    length, kind, _, _, _ = struct.unpack_from("IHHII", answer)
    code = struct.unpack_from("i", answer, 16)[0] if kind == 2 else 0
    if code < 0:
        raise OSError(-code, os.strerror(-code))
    return "done"
# RTM_NEWROUTE of a route for nothing (TEST-NET-1 through lo); RTM_NEWLINK of a dummy.
attack("netlink route", lambda: netlink(24, 0x405, struct.pack("BBBBBBBBI", 2, 24, 0, 0, 254, 4, 253, 1, 0)
       + struct.pack("HHBBBB", 8, 1, 192, 0, 2, 0) + struct.pack("HHI", 8, 4, 1)))
