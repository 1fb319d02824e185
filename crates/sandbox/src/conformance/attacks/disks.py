# Fills each writable place to its brim, by bytes and by files. The limits come from the test.
LIMITS = dict(pair.split("=") for pair in os.environ["DISKS"].split(","))
INODES = int(os.environ["INODES"])
FULL = (errno.ENOSPC, errno.EDQUOT)
def fill(directory):
    written = 0
    piece = b"x" * 65536
    fds = []
    try:
        while written < 1 << 26:
            fd = os.open(f"{directory}/fill-{len(fds)}", os.O_CREAT | os.O_WRONLY)
            fds.append(fd)
            for _ in range(8):
                written += os.write(fd, piece)
        return written, None
    except OSError as error:
        return written, error
    finally:
        for number, fd in enumerate(fds):
            os.close(fd)
            os.unlink(f"{directory}/fill-{number}")
for directory, limit in LIMITS.items():
    written, error = fill(directory)
    held = error is not None and error.errno in FULL and int(limit) * 0.8 <= written <= int(limit)
    check(f"bytes in {directory}", held, f"{written} of {limit}: {error}")
def count(directory, make):
    made = 0
    try:
        while made < 1 << 15:
            make(f"{directory}/many-{made}")
            made += 1
        return made, None
    except OSError as error:
        return made, error
    finally:
        for number in range(made):
            path = f"{directory}/many-{number}"
            os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
for directory in LIMITS:
    for kind, make in (("files", lambda path: os.close(os.open(path, os.O_CREAT | os.O_WRONLY))), ("directories", os.mkdir),
                       ("links", lambda path: os.symlink("x" * 200, path)), ("FIFOs", os.mkfifo)):
        made, error = count(directory, make)
        held = error is not None and error.errno in FULL and INODES * 0.5 <= made <= INODES
        check(f"{kind} in {directory}", held, f"{made} of {INODES}: {error}")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
most = int(os.environ["FILE"])
def huge():
    fd = os.open("/workspace/huge", os.O_CREAT | os.O_WRONLY)
    try:
        os.ftruncate(fd, most + 1)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise Blocked("EFBIG")
        raise
    finally:
        os.unlink("/workspace/huge")
    return "made"
attack("file over its limit", huge)
