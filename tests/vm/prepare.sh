#!/usr/bin/env bash
#! Gets what run.sh needs: a stock Debian kernel and a disk with the host's own programs.
#!
#! Usage: prepare.sh [--check]
#!
#! The machine of run.sh shows how the native driver behaves where most people run it: on a Debian kernel as it is
#! shipped, with nothing but cgroup v2. It boots that kernel with two files that are made here, in ${SKILLBOX_VM_CACHE}
#! (default: target/vm below the repository):
#!
#!   kernel/     vmlinuz and the modules, from Debian's package, unpacked and not installed
#!   initramfs   busybox, guest/init and the modules that are needed to find the disk
#!   root.erofs  the files of a list of installed packages, and an /etc with an ordinary user `tester`
#!
#! The cloud kernel has no 9p, hence a disk and not a shared directory. A disk of whole packages is small (the host's /usr
#! may be of any size) and belongs to one state of dpkg: another state makes another disk. A second run does no work.
#! Packages are only installed where one is missing; that needs root, all else does not. With --check nothing is done: the
#! exit code says whether everything is there.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${SKILLBOX_VM_CACHE:-$here/../../target/vm}

# What the tests may use inside, beside everything that Debian calls essential.
guest_packages=(busybox-static iproute2 kmod libgcc-s1 mawk mount procps python3 uidmap)
# Modules that guest/init loads; the others are on the disk.
boot_modules=(virtio_pci virtio_blk virtio_console erofs)

work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT

fail() {
    echo "error: $1" >&2
    [ $# -lt 2 ] || printf '\nhint: %s\n' "$2" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif sudo -n true 2>/dev/null; then
        sudo "$@"
    else
        fail "this needs root: $*" "run tests/vm/prepare.sh as root once"
    fi
}

updated=
update_lists() {
    [ -n "$updated" ] || as_root apt-get -qq update >&2 || fail "apt-get update failed" "see its messages above"
    updated=yes
}

missing=()
find_missing() {
    need() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || missing+=("$2"); }
    need qemu-system-x86_64 qemu-system-x86
    need cpio cpio
    need mkfs.erofs erofs-utils
    need setpriv util-linux
    local package
    for package in "${guest_packages[@]}"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
}

install_packages() {
    find_missing
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "installing ${missing[*]}" >&2
    update_lists
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >&2 ||
        fail "apt-get could not install ${missing[*]}" "see its messages above"
}

# The package that the name without a version stands for.
kernel_package() {
    apt-cache depends linux-image-cloud-amd64 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1
}

unpack_kernel() {
    [ ! -e "$cache/kernel/vmlinuz" ] || return 0
    local package
    package=$(kernel_package)
    if [ -z "$package" ]; then
        update_lists
        package=$(kernel_package)
    fi
    [ -n "$package" ] || fail "apt knows no linux-image-cloud-amd64" "the machine is built from Debian's packages, on amd64"
    echo "downloading $package" >&2
    work=$(mktemp -d "$cache/kernel.XXXXXX")
    # A list that is out of date names a file that is no longer there.
    (cd "$work" && apt-get -qq download "$package" >&2) ||
        { update_lists; package=$(kernel_package); (cd "$work" && apt-get -qq download "$package" >&2); } ||
        fail "$package could not be downloaded" "see the messages of apt-get above"
    dpkg -x "$work"/*.deb "$work/x"
    mkdir "$work/kernel"
    mv "$work"/x/boot/vmlinuz-* "$work/kernel/vmlinuz"
    mkdir -p "$work/kernel/lib"
    mv "$work"/x/lib/modules "$work/kernel/lib/modules"
    rm -f "$work"/kernel/lib/modules/*/{build,source}
    /sbin/depmod -b "$work/kernel" "$(ls "$work/kernel/lib/modules")"
    mv "$work/kernel" "$cache/kernel"
    rm -rf "$work"
}

# A module's file and those of all that it needs, below the kernel's directory.
module_files() {
    local modules name
    modules=$(echo "$cache"/kernel/lib/modules/*)
    for name in "$@"; do
        sed -n "s/:\\(.*\\)$/\\1/; s/^\\(.*\\/\\)\\?$name\\.ko\\b/&/p" "$modules/modules.dep"
    done | tr ' ' '\n' | sed '/^$/d' | sort -u
}

build_initramfs() {
    local key modules file
    key=$(cat "$here/guest/init" "$here/prepare.sh" /bin/busybox "$cache/kernel/vmlinuz" | sha256sum)
    [ ! -e "$cache/initramfs" ] || [ "$(cat "$cache/initramfs.key" 2>/dev/null)" != "$key" ] || return 0
    work=$(mktemp -d "$cache/initramfs.XXXXXX")
    mkdir -p "$work"/root/{bin,dev,proc,sys,new}
    cp "$here/guest/init" "$work/root/init"
    cp /bin/busybox "$work/root/bin/busybox"
    chmod 755 "$work/root/init" "$work/root/bin/busybox"
    modules=$(cd "$cache/kernel" && echo lib/modules/*)
    mkdir -p "$work/root/$modules"
    while read -r file; do
        mkdir -p "$(dirname "$work/root/$modules/$file")"
        cp "$cache/kernel/$modules/$file" "$work/root/$modules/$file"
    done < <(module_files "${boot_modules[@]}")
    cp "$cache/kernel/$modules"/modules.{order,builtin}* "$work/root/$modules/" 2>/dev/null || true
    /sbin/depmod -b "$work/root" "$(basename "$modules")"
    (cd "$work/root" && find . | cpio --quiet -o -H newc -R 0:0) >"$work/initramfs"
    mv "$work/initramfs" "$cache/initramfs"
    echo "$key" >"$cache/initramfs.key"
    rm -rf "$work"
}

# Installed packages that these need, themselves included. Of virtual ones, which apt lists too, dpkg knows nothing.
closure() {
    apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
        --no-enhances "$@" | sed -n 's/^\([a-z0-9].*\)$/\1/p' | sed 's/:any$//' | sort -u |
        { xargs dpkg-query -W -f '${db:Status-Status} ${binary:Package}\n' 2>/dev/null || true; } |
        sed -n 's/^installed //p'
}

# Files of packages, and those that their installation made: byte code, and the links of update-alternatives.
files() {
    local file
    xargs dpkg-query -L | grep -E '^/(usr|etc|bin|sbin|lib|lib64)/' |
        grep -vE '^/usr/share/(doc|man|info|locale|lintian|bug|bash-completion|zsh|menu|pixmaps)/' | sort -u |
        while read -r file; do
            if [ -L "$file" ] || [ ! -d "$file" ]; then
                [ ! -e "$file" ] || [ ! -r "$file" ] || echo "$file"
            elif [ -d "$file/__pycache__" ]; then
                find "$file/__pycache__" -type f
            fi
        done
    find /usr/bin /usr/sbin /etc/alternatives -type l \( -lname '/etc/alternatives/*' -o -path '/etc/alternatives/*' \)
}

write_etc() {
    local etc=$1
    mkdir -p "$etc"
    printf '%s\n' 'root:x:0:0:root:/root:/bin/bash' 'nobody:x:65534:65534:nobody:/:/usr/sbin/nologin' \
        'tester:x:1001:1001:an ordinary user:/home/tester:/bin/bash' >"$etc/passwd"
    printf '%s\n' 'root:x:0:' 'tty:x:5:' 'nogroup:x:65534:' 'tester:x:1001:' >"$etc/group"
    echo 'tester:100000:65536' >"$etc/subuid"
    echo 'tester:100000:65536' >"$etc/subgid"
    printf '%s\n' '127.0.0.1 localhost vm' '::1 localhost' >"$etc/hosts"
    echo vm >"$etc/hostname"
    printf '%s\n' 'passwd: files' 'group: files' 'hosts: files' >"$etc/nsswitch.conf"
    # A secret that no sandbox may see.
    echo 'root:*:19000:0:99999:7:::' >"$etc/shadow"
    chmod 600 "$etc/shadow"
}

build_root() {
    local key name packages
    key=$(cat /var/lib/dpkg/status "$here/prepare.sh" "$cache/kernel/vmlinuz" | sha256sum)
    [ ! -e "$cache/root.erofs" ] || [ "$(cat "$cache/root.key" 2>/dev/null)" != "$key" ] || return 0
    echo "building the machine's disk" >&2
    work=$(mktemp -d "$cache/root.XXXXXX")
    mkdir -p "$work"/root/{dev,proc,sys,run,tmp,root,home/tester,payload,var/tmp,usr/lib64}
    for name in bin sbin lib lib64; do
        mkdir -p "$work/root/usr/$name"
        ln -s "usr/$name" "$work/root/$name"
    done
    mapfile -t packages < <(dpkg-query -W -f '${Essential} ${binary:Package}\n' | sed -n 's/^yes //p')
    closure "${packages[@]}" "${guest_packages[@]}" | files >"$work/list"
    (cd / && sed 's,^/,,' "$work/list" | cpio --quiet -pdm "$work/root" 2>"$work/errors") || {
        cat "$work/errors" >&2
        fail "the host's files could not be copied to $work"
    }
    cp -a "$cache/kernel/lib/modules" "$work/root/usr/lib/"
    write_etc "$work/root/etc"
    /sbin/ldconfig -r "$work/root"
    # An ordinary user's copy has lost these bits.
    chmod 4755 "$work"/root/usr/bin/{newuidmap,newgidmap}
    # Byte code is only used where the source still has its time, so each inode keeps its own.
    mkfs.erofs --all-root -E force-inode-extended "$work/root.erofs" "$work/root" >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        fail "mkfs.erofs failed"
    }
    mv "$work/root.erofs" "$cache/root.erofs"
    echo "$key" >"$cache/root.key"
    rm -rf "$work"
}

case ${1-} in
'') ;;
--check)
    find_missing
    [ ${#missing[@]} = 0 ] || fail "these packages are missing: ${missing[*]}" "run tests/vm/prepare.sh"
    [ -e "$cache/kernel/vmlinuz" ] || fail "there is no kernel in $cache" "run tests/vm/prepare.sh"
    # The disk and the initramfs are made from it in seconds, whenever they are missing or out of date.
    exit 0
    ;;
*) fail "unknown argument $1" "usage: prepare.sh [--check]" ;;
esac
[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || fail "the machine can be built on Debian amd64 only"
install_packages
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
# Two at once would build the same things; the second one waits and finds them.
exec 9>"$cache/lock"
flock 9
unpack_kernel
build_initramfs
build_root
