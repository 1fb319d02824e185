#!/usr/bin/env bash
#! Runs a program in a small machine with a stock Debian kernel and pure cgroup v2, as root or as an ordinary user.
#!
#! Usage: run.sh [--user root|delegated|plain] [--env NAME=VALUE]… [--with FILE]… [--limit SECONDS] [--memory MIB] PROGRAM [ARGUMENT]…
#!
#!   --user    root (the default); delegated: an ordinary user in a cgroup of its own, as from
#!             `systemd-run --user --scope -p Delegate=yes`; plain: the same user in a login session, whose cgroup is root's.
#!             The user, `tester`, has subordinate ids and newuidmap.
#!   --env     a variable for the program, which gets nothing of this environment
#!   --with    another file, which is /payload/files/NAME there
#!   --limit   most seconds for everything (default 600); exit code 124 after that
#!   --memory  of the machine, in MiB (default 2048)
#!
#! The program may be linked against what the host has in Debian packages (libc, libgcc); see prepare.sh for what else is
#! there. Both its streams come out on stdout, its exit code is this script's. 125 means that the machine failed, and its
#! console is on stderr. The processor is emulated (some 5 to 20 times slower than the host's), so this needs no /dev/kvm
#! and no privilege. However this script ends, the machine ends with it.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${SKILLBOX_VM_CACHE:-$here/../../target/vm}
user=root limit=600 memory=2048 environment= files=()

usage() {
    echo "error: $1" >&2
    sed -n 's/^#! Usage: /usage: /p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

# A word that the machine's shell reads as exactly this.
quote() { printf "'%s' " "${1//\'/\'\\\'\'}"; }

while [ $# -gt 0 ]; do
    case $1 in
    --user | --env | --with | --limit | --memory) [ $# -gt 1 ] || usage "$1 needs a value" ;;&
    --user) user=$2; shift 2 ;;
    --env) environment+=$(quote "$2"); shift 2 ;;
    --with) files+=("$2"); shift 2 ;;
    --limit) limit=$2; shift 2 ;;
    --memory) memory=$2; shift 2 ;;
    --) shift; break ;;
    -*) usage "unknown option $1" ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || usage "no program"
[[ $user =~ ^(root|delegated|plain)$ ]] || usage "unknown user $user"
[[ $limit =~ ^[0-9]+$ && $memory =~ ^[0-9]+$ ]] || usage "--limit and --memory take a number"
program=$1
shift
[ -f "$program" ] && [ -x "$program" ] || usage "$program is not an executable file"

"$here/prepare.sh"

# Emulation takes all the processors that there are: two machines side by side are both slow. Waiting counts for no limit.
exec 7>"$cache/machine.lock"
flock 7

work=$(mktemp -d)
machine=
end() {
    # The one that watches the machine hands this on to it.
    [ -z "$machine" ] || kill "$machine" 2>/dev/null || true
    [ -z "$machine" ] || wait "$machine" 2>/dev/null || true
    rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mkdir -p "$work/payload/files"
for file in ${files[@]+"${files[@]}"}; do cp -L "$file" "$work/payload/files/"; done
chmod -R a+rX "$work/payload"
cp --reflink=auto "$program" "$work/payload/program"
cp "$here/guest/session" "$work/payload/session"
chmod 755 "$work/payload" "$work/payload"/*
arguments=
for argument in "$@"; do arguments+=$(quote "$argument"); done
{
    printf 'user=%s\n' "$user"
    printf 'environment=%s\n' "$(quote "$environment")"
    printf 'arguments=%s\n' "$(quote "$arguments")"
} >"$work/payload/request"
chmod 644 "$work/payload/request"
mkfs.erofs --all-root "$work/payload.erofs" "$work/payload" >/dev/null 2>"$work/log" || { cat "$work/log" >&2; exit 125; }

# The port of the output counts as closed once standard input ends; this one never does.
mkfifo "$work/silence"
exec 8<>"$work/silence"

# `-accel kvm` hangs on machines whose /dev/kvm is nested, hence emulation everywhere. On a busy host an emulated timer may
# be so late that the kernel takes it for broken and stops, unless it is told not to check.
setpriv --pdeathsig TERM timeout --kill-after=5 "$limit" setpriv --pdeathsig KILL qemu-system-x86_64 \
    -no-user-config -nodefaults -display none -monitor none -no-reboot \
    -accel tcg,thread=multi -cpu max -m "$memory" -smp 2 \
    -kernel "$cache/kernel/vmlinuz" -initrd "$cache/initramfs" -append "console=ttyS0 quiet panic=-1 no_timer_check" \
    -serial "file:$work/console" \
    -drive "file=$cache/root.erofs,if=none,id=root,format=raw,readonly=on" -device virtio-blk-pci,drive=root,addr=4 \
    -drive "file=$work/payload.erofs,if=none,id=payload,format=raw,readonly=on" -device virtio-blk-pci,drive=payload,addr=5 \
    -device virtio-serial-pci \
    -chardev stdio,id=output,signal=off -device virtserialport,chardev=output,nr=1 \
    -chardev "file,id=status,path=$work/status" -device virtserialport,chardev=status,nr=2 \
    <&8 7>&- &
machine=$!
ended=0
wait "$machine" || ended=$?
machine=

read -r code booted stopped 2>/dev/null <"$work/status" || true
if [ -n "${code:-}" ]; then
    # When all went well, nothing else is there.
    sed '/reboot: Power down/d; /^\r*$/d; s/^/console: /' "$work/console" >&2
    echo "machine: ${user}, up after ${booted} s, program ran until ${stopped} s, exit code ${code}" >&2
    exit "$code"
fi
sed 's/^/console: /' "$work/console" >&2 || true
if [ "$ended" = 124 ] || [ "$ended" = 137 ]; then
    echo "error: the machine was stopped after $limit s" >&2
    exit 124
fi
echo "error: the machine ended (status $ended) without the program's exit code" >&2
exit 125
