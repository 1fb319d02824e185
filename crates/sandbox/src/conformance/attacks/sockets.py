# Families: only unix, IPv4, IPv6 and routing netlink may be opened at all. Others reach parts of the kernel that no
# namespace divides (vsock) or that nobody needs here.
UNKNOWN = (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT)
def opened(family, kind, protocol=0):
    socket.socket(family, kind, protocol).close()
    return "a socket"
STREAM, DATAGRAM, RAW, SEQ = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET
ALLOWED = {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}
for family in range(1, 46):
    if family in ALLOWED:
        continue
    def any_kind():
        worst = None
        for kind in (STREAM, DATAGRAM, RAW, SEQ):
            try:
                return opened(family, kind)
            except OSError as error:
                # A family that says what it would rather have is there.
                if worst is None or error.errno not in WALL | set(UNKNOWN[:1]):
                    worst = error
        raise worst
    attack(f"family {family}", any_kind, UNKNOWN[:1])
def pair():
    first, second = socket.socketpair(38, STREAM)
    return "a pair"
attack("vsock", lambda: opened(40, STREAM), UNKNOWN[:1])
attack("algorithm sockets", lambda: opened(38, SEQ), UNKNOWN[:1])
attack("packet", lambda: opened(17, RAW, 0x300), UNKNOWN[:1])
attack("raw IPv4", lambda: opened(socket.AF_INET, RAW, 1))
attack("raw IPv4, all", lambda: opened(socket.AF_INET, RAW, 255))
attack("raw IPv6", lambda: opened(socket.AF_INET6, RAW, 58))
attack("SCTP", lambda: opened(socket.AF_INET, SEQ, 132), UNKNOWN)
for protocol in range(1, 23):
    attack(f"netlink {protocol}", lambda: opened(socket.AF_NETLINK, RAW, protocol), UNKNOWN)
attack("socketpair of another family", pair, UNKNOWN[:1])
