# On descriptors that are no terminals an unfiltered call fails with ENOTTY, which is not a wall.
TIOCSTI, TIOCLINUX, TIOCSETD = 0x5412, 0x541C, 0x5423
null = os.open("/dev/null", os.O_RDWR)
for fd in (0, 1, null):
    for name, request in (("TIOCSTI", TIOCSTI), ("TIOCLINUX", TIOCLINUX)):
        byte = ctypes.create_string_buffer(b"x")
        attack(f"{name} on {fd}", lambda: call("ioctl", fd, request, byte))
        # The kernel looks at 32 bits of the request, so a filter must do the same.
        attack(f"{name} with a high bit on {fd}", lambda: call("ioctl", fd, request | 1 << 32, byte))
        attack(f"{name} with all high bits on {fd}", lambda: call("ioctl", fd, request | 0xFFFFFFFF << 32, byte))
def terminal(path):
    return os.open(path, os.O_RDWR | os.O_NOCTTY)
attack("console", lambda: terminal("/dev/console"), (errno.ENOENT, errno.ENXIO))
for number in range(3):
    attack(f"/dev/tty{number}", lambda: terminal(f"/dev/tty{number}"), (errno.ENOENT, errno.ENXIO))
    attack(f"/dev/pts/{number}", lambda: terminal(f"/dev/pts/{number}"), (errno.ENOENT, errno.ENXIO))
