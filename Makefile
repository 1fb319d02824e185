# Every target is what its name says; CI runs the same ones.
.PHONY: check test quick bench images images-lock deny setup fmt

CARGO ?= cargo

# What a change must pass before it is proposed.
check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --package cli --no-default-features --profile try -- -D warnings

# All tests. REQUIRE=native,docker,podman,cgroup,user,node,pty,uv,pip,qemu,zbar,curl,s3,garage,images,skills-ref,pre-commit makes a missing capability a failure instead of a note.
# A failure ends nothing early. Around it all, a look whether the machine is as it was.
test:
	tests/unchanged.sh $(CARGO) test --workspace --no-fail-fast

# What needs no sandbox, no daemon and no server: under a minute once it is built.
quick:
	$(CARGO) test --workspace --lib --bins

# Ratios against the host, paired in one run: a table on the terminal, JSON in target/bench.json.
bench:
	$(CARGO) build --release -p cli -p bench
	$${CARGO_TARGET_DIR:-target}/release/bench --skillbox $${CARGO_TARGET_DIR:-target}/release/skillbox --json target/bench.json

# The sandbox images as root directories, where `--rootfs` finds them by name. IMAGES=slim for one of them.
IMAGES ?= slim node office
images:
	for image in $(IMAGES); do $(CARGO) run --quiet --release -p cli -- image build $$image || exit 1; done

# The newest versions of the packages that images have; needs uv and npm.
images-lock:
	images/lock.sh

# Licences, advisories and sources of all dependencies (needs cargo-deny).
deny:
	$(CARGO) deny check

# What the tests use beside Rust, on Debian 12 as root.
setup:
	tests/setup.sh

fmt:
	$(CARGO) fmt --all
