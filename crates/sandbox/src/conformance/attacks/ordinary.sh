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
is tail-follow "$(printf 'a\n' > /tmp/tail; (sleep 0.3; printf 'b\n' >> /tmp/tail) & timeout 10 tail -s 0.1 -n +1 -f /tmp/tail 2>/dev/null | head -n 2 | tr -d '\n')" ab
is dd "$(dd if=/dev/zero bs=1024 count=4 oflag=nocache conv=fsync of=/tmp/dd 2>/dev/null; sync; sync -f /tmp/dd; stat -c %s /tmp/dd)" 4096
is flock "$(flock /tmp/lock echo locked)" locked
is copies "$(mkdir -p /tmp/c/d && echo c > /tmp/c/d/e && cp -a /tmp/c /tmp/c2 && mv /tmp/c2 /tmp/c3 && cat /tmp/c3/d/e)" c
is modes "$(chmod -R u+w,go-rwx /tmp/c3 && stat -c %a /tmp/c3/d/e)" 600
is sort-large "$(seq 200000 | sort -S 1M -T /tmp -rn | head -1)" 200000
is nice "$(nice -n 2 echo nice)" nice
is terminal "$([ -t 0 ] || [ -t 1 ] || echo none)" none
is umask "$(umask 077; touch /tmp/u; stat -c %a /tmp/u)" 600
if command -v git >/dev/null; then
    is git "$(cd /workspace && git init -q repo 2>/dev/null && cd repo && echo a > a && git add a &&
        git -c user.name=a -c user.email=a@b commit -qm first && git log --format=%s)" first
fi
if command -v perl >/dev/null; then is perl "$(perl -e 'print 6*7')" 42; fi
if command -v node >/dev/null; then
    is node "$(node -e 'const fs = require("fs"); fs.writeFileSync("/tmp/n", "x"); fs.copyFileSync("/tmp/n", "/tmp/n2");
        const s = require("net").createServer(c => c.end("hi")).listen(0, "127.0.0.1", () =>
            require("net").connect(s.address().port, "127.0.0.1").on("data", d => {
                console.log(String(d), require("child_process").execSync("echo child").toString().trim(),
                    Object.keys(require("os").networkInterfaces()).length >= 0); s.close(); }));')" "hi child true"
fi
echo finished
