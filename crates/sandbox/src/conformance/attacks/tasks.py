# How many processes, threads, descriptors and other countable things one sandbox gets.
import resource
import threading
import time
most = int(os.environ["PROCESSES"])
def processes():
    children = []
    try:
        while len(children) < most * 4:
            child = os.fork()
            if child == 0:
                signal.pause()
                os._exit(0)
            children.append(child)
        return len(children), None
    except OSError as error:
        return len(children), error
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
made, error = processes()
check("processes", error is not None and error.errno == errno.EAGAIN and made <= most, f"{made} of {most}: {error}")
leave = threading.Event()
threads = []
try:
    while len(threads) < most * 4:
        thread = threading.Thread(target=leave.wait, daemon=True)
        thread.start()
        threads.append(thread)
    error = None
except RuntimeError as failure:
    error = failure
check("threads", error is not None and len(threads) <= most, f"{len(threads)} of {most}: {error}")
leave.set()
for thread in threads:
    thread.join()
open_files = int(os.environ["OPEN_FILES"])
check("limit of descriptors", resource.getrlimit(resource.RLIMIT_NOFILE) == (open_files, open_files),
      resource.getrlimit(resource.RLIMIT_NOFILE))
fds = []
try:
    while len(fds) < open_files * 2:
        fds.append(os.open("/dev/null", os.O_RDONLY))
    error = None
except OSError as failure:
    error = failure
for fd in fds:
    os.close(fd)
check("descriptors", error is not None and error.errno == errno.EMFILE and len(fds) <= open_files, f"{len(fds)}: {error}")
def raised(kind):
    soft, hard = resource.getrlimit(kind)
    if hard == resource.RLIM_INFINITY:
        return "there is no limit"
    try:
        resource.setrlimit(kind, (soft, hard + 1))
    except ValueError as error:
        raise Blocked(error)
    return "raised"
for name in ("NOFILE", "FSIZE", "CORE"):
    attack(f"raise {name}", lambda: raised(getattr(resource, f"RLIMIT_{name}")))
check("core limit", resource.getrlimit(resource.RLIMIT_CORE) == (0, 0), resource.getrlimit(resource.RLIMIT_CORE))
def crash():
    os.chdir("/workspace")
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(5)
    _, status = os.waitpid(child, 0)
    if os.WCOREDUMP(status) or [name for name in os.listdir(".") if "core" in name]:
        return "dumped"
    raise Blocked("no dump")
attack("core dump", crash)
