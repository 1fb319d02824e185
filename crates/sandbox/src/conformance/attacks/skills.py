FILE = "/skills/a/SKILL.md"
if not os.path.exists(FILE):
    os.makedirs("/skills/a", exist_ok=True)
    open(FILE, "w").write("text")
before = open(FILE).read()
attack("write", lambda: os.open(FILE, os.O_WRONLY))
attack("append", lambda: os.open(FILE, os.O_WRONLY | os.O_APPEND))
attack("truncate", lambda: os.truncate(FILE, len(before)))
attack("mode", lambda: os.chmod(FILE, 0o666))
attack("owner", lambda: os.chown(FILE, os.getuid(), os.getgid()))
attack("time", lambda: os.utime(FILE, (0, 0)))
attack("new file", lambda: os.open("/skills/a/new", os.O_CREAT | os.O_WRONLY))
attack("new directory", lambda: os.mkdir("/skills/new"))
attack("rename", lambda: os.rename("/skills/a", "/skills/b") or os.rename("/skills/b", "/skills/a"))
def replace():
    open("/workspace/own", "w").write(before)
    os.rename("/workspace/own", FILE)
    return "replaced"
attack("replace", replace, (errno.EXDEV,))
def remove():
    text = open(FILE).read()
    os.unlink(FILE)
    open(FILE, "w").write(text)
    return "removed"
attack("remove", remove)
attack("link into", lambda: os.symlink("/etc", "/skills/a/link"))
attack("attribute", lambda: os.setxattr(FILE, "user.x", b"x"), (errno.EOPNOTSUPP,))
def through_descriptor():
    fd = os.open(FILE, os.O_RDONLY)
    return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY)
attack("reopen for writing", through_descriptor)
def map_shared():
    import mmap
    fd = os.open(FILE, os.O_RDONLY)
    mmap.mmap(fd, 1, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    return "mapped for writing"
attack("shared writable map", map_shared)
check("content is as it was", os.path.exists(FILE) and open(FILE).read() == before, "")
