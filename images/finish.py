"""Turns a Debian root directory into a sandbox image, from inside it. Both ways of building end here.

    finish.py IMAGE        with what goes in beside it: python/, npm/, requested, purge.txt

Installs the packages that were fetched, lists what there is in packages.json, takes out what only the build needed, and
leaves no trace of when and where it ran: the same packages give the same files, byte for byte.
"""

import base64
import configparser
import csv
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

BUILD = Path(__file__).resolve().parent
PACKAGES = Path("/usr/local/lib/python3.11/dist-packages")
NODE_MODULES = Path("/usr/local/lib/node_modules")
SHARE = Path("/usr/share/skillbox")
EPOCH = int(os.environ["SOURCE_DATE_EPOCH"])

# As users and programs see a sandbox; Docker puts its own over the last three.
ETC = {
    "passwd": "root:x:0:0:root:/:/usr/sbin/nologin\n"
    "user:x:1000:1000:user:/tmp:/bin/bash\n"
    "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    "group": "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "hostname": "sandbox\n",
    "resolv.conf": "",
}

# Directories that a sandbox mounts something on, and what they must be for a read-only root directory.
MOUNT_POINTS = ["workspace", "output", "skills", "layers", "tmp", "run", "proc", "sys", "dev"]

# Whole trees that tell of the build or that nobody reads in a sandbox.
REMOVED = [
    "/boot", "/home", "/media", "/mnt", "/opt", "/root", "/srv",
    "/etc/.pwd.lock", "/etc/apt", "/etc/cron.d", "/etc/cron.daily", "/etc/cron.weekly", "/etc/default", "/etc/dpkg",
    "/etc/init.d", "/etc/kernel", "/etc/logrotate.d", "/etc/machine-id", "/etc/opt", "/etc/pam.d", "/etc/rc0.d",
    "/etc/rc1.d", "/etc/rc2.d", "/etc/rc3.d", "/etc/rc4.d", "/etc/rc5.d", "/etc/rc6.d", "/etc/rcS.d",
    "/etc/security", "/etc/selinux", "/etc/skel", "/etc/systemd", "/etc/terminfo", "/etc/update-motd.d",
    "/etc/fstab", "/etc/gshadow", "/etc/issue", "/etc/issue.net", "/etc/mtab", "/etc/motd", "/etc/subgid",
    "/etc/subuid", "/etc/shadow",
    "/usr/games", "/usr/include", "/usr/local/games", "/usr/local/include", "/usr/local/man", "/usr/local/sbin",
    "/usr/local/share/man", "/usr/local/src", "/usr/src", "/usr/lib/systemd", "/usr/lib/udev",
    "/usr/share/bash-completion", "/usr/share/bug", "/usr/share/gdb", "/usr/share/gitweb", "/usr/share/icons",
    "/usr/share/info", "/usr/share/keyrings", "/usr/share/linda", "/usr/share/lintian", "/usr/share/locale",
    "/usr/share/man", "/usr/share/menu", "/usr/share/pam", "/usr/share/pam-configs", "/usr/share/groff",
    "/var/backups", "/var/cache", "/var/lib/apt", "/var/lib/pam", "/var/lib/systemd", "/var/local", "/var/log",
    "/var/mail", "/var/opt", "/var/spool", "/var/tmp",
]


def main():
    image = sys.argv[1]
    install_python()
    install_npm()
    purge()
    clean()
    write_etc()
    SHARE.mkdir(parents=True, exist_ok=True)
    matplotlib_fonts()
    write_packages(image)
    compile_python()
    subprocess.run(["/sbin/ldconfig", "-X"], check=True)
    remove("/var/cache")
    fontconfig()
    modes()
    remove(BUILD)
    times()


def install_python():
    source = BUILD / "python"
    if not source.is_dir() or not any(source.iterdir()):
        return
    PACKAGES.mkdir(parents=True, exist_ok=True)
    for entry in sorted(source.iterdir()):
        # Programs are made below, the same for every installer; `share` is manual pages.
        if entry.name in ("bin", "share", ".lock"):
            continue
        shutil.move(entry, PACKAGES / entry.name)
    for cache in sorted(PACKAGES.rglob("__pycache__")):
        remove(cache)
    for tests in sorted(PACKAGES.rglob("tests")):
        if tests.is_dir():
            remove(tests)
    for info in distributions():
        for name in ("INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"):
            remove(info / name)
        make_programs(info)
        write_record(info)


def distributions():
    return sorted(PACKAGES.glob("*.dist-info"))


def make_programs(info):
    """Programs of a package, as its entry points say."""
    points = info / "entry_points.txt"
    if not points.exists():
        return
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.optionxform = str
    parser.read(points)
    if not parser.has_section("console_scripts"):
        return
    for name, target in sorted(parser.items("console_scripts")):
        module, _, function = target.split("[")[0].strip().partition(":")
        program = Path("/usr/local/bin") / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(
            f"#!/usr/bin/python3\nimport sys\nimport {module}\nsys.exit({module}.{function}())\n"
        )
        program.chmod(0o755)


def write_record(info):
    """RECORD without what is gone and without the order of the installer."""
    record = info / "RECORD"
    if not record.exists():
        return
    with record.open(newline="") as file:
        rows = {row[0] for row in csv.reader(file) if row}
    kept = []
    for name in sorted(rows):
        path = PACKAGES / name
        if name.startswith("../") or not path.is_file() or path == record:
            continue
        digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
        kept.append([name, f"sha256={digest}", str(path.stat().st_size)])
    kept.append([f"{info.name}/RECORD", "", ""])
    with record.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(kept)


def install_npm():
    source = BUILD / "npm" / "node_modules"
    if not source.is_dir():
        return
    NODE_MODULES.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, NODE_MODULES)
    for name in (".package-lock.json", ".bin"):
        remove(NODE_MODULES / name)
    # The one place that both `require` and `import` look into from every directory.
    Path("/node_modules").symlink_to("usr/local/lib/node_modules")


def purge():
    """Takes packages out without running their scripts, which want each other: their files, and their place in the list."""
    there = debian()
    unwanted = {name for name in lines(BUILD / "purge.txt") if name in there}
    files = {name: files_of(name) for name in there}
    kept = set().union(*(files[name] for name in there if name not in unwanted))
    for path in sorted(set().union(*(files[name] for name in unwanted)) - kept, reverse=True):
        # dpkg's lists have the names from before /bin and /lib were links; directories may hold what others made.
        if os.path.islink(path) or os.path.isfile(path):
            os.unlink(path)
    status = Path("/var/lib/dpkg/status")
    stanzas = status.read_text().strip().split("\n\n")
    name = lambda stanza: re.search(r"^Package: (.*)$", stanza, re.MULTILINE).group(1)
    status.write_text("".join(f"{stanza}\n\n" for stanza in stanzas if name(stanza) not in unwanted))


def files_of(package):
    """Paths of a package's files, each as it is after all links to directories."""
    lists = list(Path("/var/lib/dpkg/info").glob(f"{package}.list")) + list(
        Path("/var/lib/dpkg/info").glob(f"{package}:*.list")
    )
    paths = {line for listed in lists for line in listed.read_text().splitlines()}
    return {os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)) for path in paths}


def lines(path):
    if not path.exists():
        return []
    entries = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [entry for entry in entries if entry]


def debian():
    """Installed packages with their versions, from dpkg's own list."""
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n"],
        check=True, capture_output=True, text=True,
    ).stdout
    rows = (line.split(" ") for line in shown.splitlines())
    return {name: version for status, name, version in rows if status == "installed"}


def clean():
    for path in REMOVED:
        remove(path)
    for path in sorted(Path("/usr/share/doc").rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.name != "copyright":
            path.unlink()
    # What dpkg would need to take packages out again. The list of what is installed stays.
    for path in Path("/var/lib/dpkg").iterdir():
        if path.name != "status":
            remove(path)
    for path in Path("/etc").glob("*-"):
        remove(path)
    for path in sorted(Path("/usr").rglob("__pycache__")):
        remove(path)
    # Links whose file was taken out.
    for top in ("/usr", "/etc"):
        for path in sorted(Path(top).rglob("*")):
            if path.is_symlink() and not path.exists() and not str(os.readlink(path)).startswith("/proc/"):
                path.unlink()
    for top in ("/tmp", "/run"):
        for path in Path(top).iterdir():
            # What is mounted there under `docker build` goes with its container.
            if not path.is_mount():
                remove(path)
    for name in MOUNT_POINTS:
        Path("/", name).mkdir(exist_ok=True)
    Path("/var/tmp").mkdir()


def remove(path):
    path = Path(path)
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def write_etc():
    for name, content in ETC.items():
        path = Path("/etc", name)
        try:
            # Not a new file: under `docker build` some of these are mounts.
            path.write_text(content)
            path.chmod(0o644)
        except OSError as error:
            if name not in ("hosts", "hostname", "resolv.conf"):
                raise
            print(f"/etc/{name} stays as it is: {error}", file=sys.stderr)


def matplotlib_fonts():
    """The list of fonts that matplotlib otherwise makes at its first import in every sandbox."""
    module = PACKAGES / "matplotlib" / "font_manager.py"
    if not module.exists():
        return
    cache = BUILD / "matplotlib"
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(cache), "MPLCONFIGDIR": str(cache), "PYTHONHASHSEED": "0",
        "LANG": "C.UTF-8",
    }
    subprocess.run(
        ["/usr/bin/python3", "-B", "-c", "import matplotlib.font_manager"], check=True, env=environment
    )
    made = list(cache.glob("fontlist-*.json"))
    if len(made) != 1:
        sys.exit(f"matplotlib made {len(made)} lists of fonts, not one")
    fonts = json.loads(made[0].read_text())
    for kind in ("afmlist", "ttflist"):
        fonts[kind].sort(key=lambda font: (font["fname"], font["name"]))
    listed = SHARE / "matplotlib-fonts.json"
    listed.write_text(json.dumps(fonts, indent=1, sort_keys=True) + "\n")
    # Its cache directory is per user and empty in a fresh sandbox. So it looks here next, before it makes a list.
    before = "    fm = FontManager()\n    json_dump(fm, fm_path)\n"
    ours = (
        "    if try_read_cache:\n"
        "        try:\n"
        f"            fm = json_load(Path({str(listed)!r}))\n"
        "        except Exception:\n"
        "            pass\n"
        "        else:\n"
        "            if getattr(fm, \"_version\", object()) == FontManager.__version__:\n"
        "                return fm\n"
    )
    text = module.read_text()
    if text.count(before) != 1:
        sys.exit("matplotlib's font_manager.py is not as finish.py knows it: look at _load_fontmanager")
    module.write_text(text.replace(before, ours + before))
    for info in PACKAGES.glob("matplotlib-*.dist-info"):
        write_record(info)


def write_packages(image):
    requested = {normal(line) for line in lines(BUILD / "requested")}
    contents = {
        "schemaVersion": 1,
        "image": image,
        "python": {
            "version": sys.version.split()[0],
            "packages": [python_package(info, requested) for info in distributions()],
        },
    }
    if shutil.which("node"):
        version = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout
        manifest = json.loads((BUILD / "npm" / "package.json").read_text()) if NODE_MODULES.exists() else {}
        asked = manifest.get("dependencies", {})
        contents["node"] = {"version": version.strip().removeprefix("v"), "packages": node_packages(asked)}
    contents["debian"] = [{"name": name, "version": version} for name, version in sorted(debian().items())]
    text = json.dumps(contents, indent=1, ensure_ascii=False) + "\n"
    (SHARE / "packages.json").write_text(text)


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def python_package(info, requested):
    head = (info / "METADATA").read_text().split("\n\n")[0]
    field = lambda name: re.search(rf"^{name}: (.*)$", head, re.MULTILINE).group(1).strip()
    name = normal(field("Name"))
    entry = {"name": name, "version": field("Version"), "imports": imports(info)}
    if name in requested:
        entry["requested"] = True
    return entry


def imports(info):
    """Names that `import` takes: modules and packages at the top of what the package installed."""
    with (info / "RECORD").open(newline="") as file:
        paths = [Path(row[0]) for row in csv.reader(file) if row]
    names = set()
    for path in paths:
        top = path.parts[0]
        if len(path.parts) == 1:
            module = re.fullmatch(r"([A-Za-z]\w*)(\.abi3|\.cpython-[\w-]+)?\.(py|so)", top)
            names.update(module.groups()[:1] if module else ())
        elif path.suffix in (".py", ".so") and re.fullmatch(r"[A-Za-z]\w*", top):
            names.add(top)
    return sorted(names)


def node_packages(requested):
    packages = []
    for manifest in sorted([*NODE_MODULES.glob("*/package.json"), *NODE_MODULES.glob("@*/*/package.json")]):
        package = json.loads(manifest.read_text())
        entry = {"name": package["name"], "version": package["version"], "imports": [package["name"]]}
        if package["name"] in requested:
            entry["requested"] = True
        packages.append(entry)
    return packages


def compile_python():
    """Byte code that does not ask for the time of its source: times are made equal below."""
    places = [place for place in ("/usr/lib/python3.11", "/usr/lib/python3", str(PACKAGES)) if os.path.isdir(place)]
    subprocess.run(
        ["/usr/bin/python3", "-I", "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash",
         "-x", r"/(lib2to3/tests|test)/", *places],
        # A package with files for other versions of Python would be named here, and belongs into `-x`.
        check=True,
        env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0"},
    )


def fontconfig():
    if not shutil.which("fc-cache"):
        return
    # It takes the times of directories that a reader will see: SOURCE_DATE_EPOCH, as times() below.
    times()
    subprocess.run(["fc-cache", "--system-only", "--force"], check=True, stdout=subprocess.DEVNULL)


def modes():
    """Nothing in a sandbox becomes another user; nothing is hidden from its user; `/tmp` is open to everyone."""
    for top, names, files in os.walk("/"):
        if top == "/":
            names[:] = [name for name in names if name not in ("proc", "sys", "dev", "run")]
        for name in names + files:
            path = os.path.join(top, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                continue
            wanted = (mode & 0o777) | 0o444 | (0o111 if mode & 0o111 else 0)
            if wanted & 0o7777 != mode & 0o7777:
                os.chmod(path, wanted)
    for path in ("/tmp", "/var/tmp"):
        os.chmod(path, 0o1777)


def times():
    """Nothing is newer than the recipe."""
    for top, names, files in os.walk("/", topdown=False):
        if re.match(r"/(proc|sys|dev|run)(/|$)", top):
            continue
        for path in [*(os.path.join(top, name) for name in files), top]:
            try:
                if os.lstat(path).st_mtime > EPOCH:
                    os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
            except OSError as error:
                # Mounts of `docker build`.
                print(f"the time of {path} stays as it is: {error}", file=sys.stderr)
        for name in names:
            path = os.path.join(top, name)
            if os.path.islink(path) and os.lstat(path).st_mtime > EPOCH:
                os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)


main()
