#!/usr/bin/env bash
# unchanged.sh COMMAND…: runs it, and fails when something of this machine is gone or left behind afterwards: links, routes,
# mounts, cgroups, firewall rules, and the containers and images of the machine's own Docker daemon, if it has one.
set -uo pipefail

# What is there, a line each. Counters and times are left out.
look() {
  if command -v ip >/dev/null; then
    ip -brief link show 2>/dev/null | awk '{print "link", $1}'
    ip route show table all 2>/dev/null | sed 's/^/route /; s/ expires [^ ]*//'
  fi
  cut -d' ' -f2,3 /proc/self/mounts | sed 's/^/mount /'
  find /sys/fs/cgroup -maxdepth 3 -type d 2>/dev/null | sed 's/^/cgroup /'
  if command -v iptables-save >/dev/null; then
    iptables-save 2>/dev/null | sed -n 's/^\(-A\|:\)\([^[]*\).*/firewall \1\2/p'
  fi
  if command -v docker >/dev/null && timeout 5 docker info >/dev/null 2>&1; then
    docker ps --all --quiet --no-trunc | sed 's/^/container /'
    docker images --quiet --no-trunc | sed 's/^/image /'
  fi
}

before=$(look | sort -u)
"$@"
code=$?
after=$(look | sort -u)
# What runs that were killed earlier have left of ours, a test may find and remove; so may the daemons with their cgroups.
gone=$(comm -23 <(echo "$before") <(echo "$after") | grep -vi -e skillbox -e '^cgroup ')
# Others use the machine as well: what is new counts where it has our name.
left=$(comm -13 <(echo "$before") <(echo "$after") | grep -i skillbox)
if [[ -n $gone ]]; then
  echo "the tests took away from this machine:" >&2
  echo "$gone" >&2
fi
if [[ -n $left ]]; then
  echo "the tests left on this machine:" >&2
  echo "$left" >&2
fi
[[ $code -eq 0 && -z $gone && -z $left ]] || exit $((code ? code : 1))
