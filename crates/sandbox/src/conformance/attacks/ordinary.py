# What skills do every day. Here `blocked` means that it went well: each line is a fact that must hold.
import asyncio
import concurrent.futures
import contextlib
import csv
import datetime
import hashlib
import io
import json
import mmap
import multiprocessing
import pathlib
import select
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
import zipfile

def works(name):
    def run(action):
        try:
            problem = action()
        except BaseException:
            problem = traceback.format_exc()
        check(name, problem is None, problem or "works")
    return run

def same(seen, wanted):
    return None if seen == wanted else f"{seen!r} instead of {wanted!r}"

def double(number):
    return number * 2

def send_total(queue, numbers):
    queue.put(sum(numbers))

def main():
    @works("subprocess")
    def _():
        done = subprocess.run(["sort", "-r"], input="a\nc\nb\n", capture_output=True, text=True, check=True)
        return same(done.stdout, "c\nb\na\n")

    @works("subprocess with a shell and a timeout")
    def _():
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run("sleep 20", shell=True, timeout=0.2)
            return "no timeout"

    @works("subprocess in a session of its own")
    def _():
        return same(subprocess.run(["echo", "x"], start_new_session=True, capture_output=True).stdout, b"x\n")

    @works("os.system")
    def _():
        return same(os.waitstatus_to_exitcode(os.system("exit 3")), 3)

    @works("a terminal of its own")
    def _():
        main, other = os.openpty()
        os.write(other, b"x\n")
        return same((os.read(main, 10), os.isatty(other)), (b"x\r\n", True))

    @works("names of services and protocols")
    def _():
        return same((socket.getservbyname("https"), socket.getprotobyname("tcp")), (443, 6))

    @works("its own name")
    def _():
        return same(socket.gethostbyname(socket.gethostname()), "127.0.0.1")

    @works("threads")
    def _():
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return same(list(pool.map(double, range(50))), [2 * number for number in range(50)])

    for method in ("fork", "spawn"):
        @works(f"multiprocessing by {method}")
        def _():
            context = multiprocessing.get_context(method)
            queue = context.Queue()
            child = context.Process(target=send_total, args=(queue, [1, 2, 3]))
            child.start()
            total = queue.get(timeout=15)
            child.join()
            return same((total, child.exitcode), (6, 0))

    @works("pool of processes")
    def _():
        with concurrent.futures.ProcessPoolExecutor(2) as pool:
            return same(list(pool.map(double, range(10))), [2 * number for number in range(10)])

    @works("shared memory and semaphores")
    def _():
        from multiprocessing import shared_memory
        lock = multiprocessing.Semaphore(1)
        with lock:
            block = shared_memory.SharedMemory(create=True, size=1000)
            block.buf[:3] = b"abc"
            again = shared_memory.SharedMemory(name=block.name)
            seen = bytes(again.buf[:3])
            again.close()
            block.close()
            block.unlink()
        return same(seen, b"abc")

    @works("sqlite")
    def _():
        with contextlib.closing(sqlite3.connect("/workspace/data.db")) as base:
            base.execute("pragma journal_mode=wal")
            base.execute("create table t (a, b)")
            base.executemany("insert into t values (?, ?)", [(n, str(n)) for n in range(1000)])
            base.commit()
            return same(base.execute("select sum(a), count(distinct b) from t").fetchone(), (499500, 1000))

    @works("asyncio")
    def _():
        async def run():
            process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
            out, _ = await process.communicate(b"through")
            await asyncio.gather(*(asyncio.sleep(0.01) for _ in range(100)))
            return out
        return same(asyncio.run(run()), b"through")

    @works("sockets on loopback")
    def _():
        with socket.create_server(("127.0.0.1", 0)) as server:
            with socket.create_connection(server.getsockname(), timeout=5) as client:
                accepted, _ = server.accept()
                client.sendall(b"hi")
                return same(accepted.recv(10), b"hi")

    @works("localhost by name")
    def _():
        return same(socket.getaddrinfo("localhost", 80, socket.AF_INET)[0][4][0], "127.0.0.1")

    @works("unix sockets")
    def _():
        path = "/tmp/unix.sock"
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(path)
            server.listen()
            client.connect(path)
            first, second = socket.socketpair()
            first.close(), second.close()

    @works("epoll, eventfd, inotify, signalfd")
    def _():
        poller = select.epoll()
        fd = os.eventfd(1)
        poller.register(fd, select.EPOLLIN)
        ready = poller.poll(1)
        if LIBC.inotify_init1(0) < 0 or LIBC.timerfd_create(1, 0) < 0:
            return "not there"
        return same(ready, [(fd, select.EPOLLIN)])

    @works("signals and timers")
    def _():
        seen = []
        signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        time.sleep(0.3)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        return same(seen, [1])

    @works("memory maps")
    def _():
        with open("/tmp/map", "wb+") as file:
            file.truncate(8192)
            with mmap.mmap(file.fileno(), 8192) as area:
                area[0:5] = b"hello"
            return same(file.read(5), b"hello")

    @works("temporary files")
    def _():
        with tempfile.TemporaryDirectory() as directory, tempfile.NamedTemporaryFile("w+", dir=directory) as file:
            file.write("x")
            os.fsync(file.fileno())
            return same(directory.startswith("/tmp/"), True)

    @works("pathlib")
    def _():
        base = pathlib.Path("/workspace/tree")
        (base / "a" / "ü").mkdir(parents=True)
        (base / "a" / "ü" / "file.txt").write_text("é", encoding="utf-8")
        (base / "link").symlink_to("a")
        (base / "a").rename(base / "b")
        os.chmod(base / "b", 0o700)
        found = sorted(path.name for path in base.rglob("*"))
        shutil.rmtree(base)
        return same(found, ["b", "file.txt", "link", "ü"])

    @works("file locks and times")
    def _():
        import fcntl
        with open("/workspace/lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.utime("/workspace/lock", (1, 2))
            return same(os.stat("/workspace/lock").st_mtime, 2.0)

    @works("zip")
    def _():
        with zipfile.ZipFile("/output/a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x/y.txt", "content " * 1000)
        shutil.make_archive("/workspace/packed", "gztar", "/output")
        with zipfile.ZipFile("/output/a.zip") as archive:
            return same(archive.testzip(), None)

    @works("text formats")
    def _():
        out = io.StringIO()
        csv.writer(out).writerow([1, "a,b"])
        json.dumps({"now": datetime.datetime.now().isoformat(), "hash": hashlib.sha256(b"x").hexdigest()})
        return same(out.getvalue(), '1,"a,b"\r\n')

    @works("randomness")
    def _():
        import secrets
        import uuid
        with open("/dev/urandom", "rb") as file:
            return same(len({secrets.token_hex(), str(uuid.uuid4()), file.read(8).hex(), os.urandom(8).hex()}), 4)

    @works("devices")
    def _():
        with open("/dev/null", "w") as null, open("/dev/zero", "rb") as zero:
            null.write("x")
            return same(zero.read(3), b"\0\0\0")

    @works("who and where")
    def _():
        import getpass
        import locale
        platform.uname()
        os.cpu_count()
        os.getlogin if False else None
        locale.getpreferredencoding()
        return same((getpass.getuser() != "", os.path.isdir(os.path.expanduser("~"))), (True, True))

    @works("time zone")
    def _():
        return same((time.tzname[0], sys.getfilesystemencoding()), ("UTC", "utf-8"))

    @works("virtual machine code of others")
    def _():
        # Compilers of regular expressions, ctypes callbacks and the like need memory that can be executed.
        callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda number: number + 1)
        area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        area.close()
        return same(callback(1), 2)

    @works("error for what is missing")
    def _():
        try:
            import a_package_that_does_not_exist
        except ModuleNotFoundError as error:
            return same(error.name, "a_package_that_does_not_exist")
        return "imported"

    finish()

if __name__ == "__main__":
    main()
