# What Bash scripts of skills do every day. Prints `ok NAME` for each that goes well.
set -u
is() { if [ "$2" = "$3" ]; then echo "ok $1"; else echo "not ok $1: '$2' instead of '$3'"; fi; }
is pipeline "$(printf 'b\na\nb\n' | sort | uniq -c | awk '{print $2 $1}' | tr '\n' ' ')" "a1 b2 "
is process-substitution "$(diff <(printf '1\n2\n') <(printf '1\n3\n') | grep -c '^[<>]')" 2
is output-substitution "$(printf x | tee >(cat >/tmp/tee) >/dev/null; sleep 0.2; cat /tmp/tee)" x
is here-document "$(cat <<END
text $((1 + 2))
END
)" "text 3"
is background "$(sleep 0.1 & wait $!; echo $?)" 0
is job-of-many "$(for i in 1 2 3 4; do (echo $i) & done | sort | tr -d '\n'; wait)" 1234
is trap "$(bash -c 'trap "echo trapped" EXIT; exit 0')" trapped
is find "$(mkdir -p /tmp/f/a && touch /tmp/f/a/x.py && find /tmp/f -name '*.py' -exec basename {} \;)" x.py
is xargs "$(seq 5 | xargs -P 2 -I{} echo {} | sort | tr -d '\n')" 12345
is sed "$(echo a-b | sed 's/-/+/')" a+b
is tar "$(cd /tmp && echo t > t && tar czf t.tgz t && tar xzOf t.tgz)" t
is dev-stdin "$(echo in | cat /dev/stdin)" in
is dev-stdout "$(echo out > /dev/stdout)" out
is dev-stderr "$(bash -c 'echo err > /dev/stderr' 2>&1)" err
is dev-fd "$(echo fd | cat /dev/fd/0)" fd
is temporary "$(file=$(mktemp) && [ -w "$file" ] && echo yes)" yes
is executable "$(printf '#!/bin/sh\necho ran\n' > /workspace/x && chmod +x /workspace/x && /workspace/x)" ran
is shebang-env "$(printf '#!/usr/bin/env bash\necho ran\n' > /tmp/y && chmod +x /tmp/y && /tmp/y)" ran
is nohup "$(nohup echo kept 2>/dev/null)" kept
is timeout "$(timeout 0.2 sleep 5; echo $?)" 124
is date "$(date -u -d @0 +%Y)" 1970
is umask "$(umask 077; touch /tmp/u; stat -c %a /tmp/u)" 600
is python "$(python -c 'import sys; print(sys.version_info[0])')" 3
is python-with-arguments "$(python - "a b" <<<"import sys; print(sys.argv[1])")" "a b"
if command -v lscpu >/dev/null; then is lscpu "$(lscpu | grep -c "^CPU(s):")" 1; fi
if command -v script >/dev/null; then is script "$(script -qec "echo in a terminal" /dev/null | tr -d "\r")" "in a terminal"; fi
if command -v git >/dev/null; then
    is git "$(cd /workspace && git init -q repo 2>/dev/null && cd repo && echo a > a && git add a &&
        git -c user.name=a -c user.email=a@b commit -qm first && git log --format=%s)" first
fi
if command -v perl >/dev/null; then is perl "$(perl -e 'print 6*7')" 42; fi
echo finished
