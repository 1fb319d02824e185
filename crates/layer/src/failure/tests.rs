//! Real texts of both tools, shortened, and the sentences that they become.

use super::*;
use crate::python::{Libc, Platform};

fn target() -> Target {
    let platform = Platform { arch: "x86_64".to_owned(), libc: Libc::Gnu };
    Target { version: "3.11".parse().unwrap(), interpreter: None, platform }
}

#[track_caller]
fn check(output: &str, expected: &str) {
    assert_eq!(explain("tool", output, &target()).to_string(), expected);
}

#[test]
fn uv_is_understood() {
    check(
        "error: No solution found when resolving dependencies\n  cause: Because nope-xyz was not found in the package registry and you require nope-xyz, we can conclude that your requirements are unsatisfiable.\n",
        "cannot install `nope-xyz`: the index has no package of that name",
    );
    check(
        "  × No solution found when resolving dependencies:\n  ╰─▶ Because there is no version of qrcode==99.0 and you require\n      qrcode==99.0, we can conclude that your requirements are unsatisfiable.\n",
        "cannot install `qrcode==99.0`: the index does not have that version",
    );
    check(
        "error: No solution found when resolving dependencies\n  cause: Because docopt==0.6.2 has no usable wheels and you require docopt==0.6.2, we can conclude that x.\n\nhint: Wheels are required for `docopt` because building from source is disabled for all packages\n",
        "cannot install `docopt`: it has no wheel for Python 3.11 on x86_64-unknown-linux-gnu (source packages are never built)",
    );
    check(
        "error: No solution found\n  cause: Because pandas==2.0.0 depends on numpy>=1.21.0 and you require pandas==2.0.0, we can conclude that you require numpy>=1.21.0.\n",
        "cannot install the dependencies: the requirements contradict each other: pandas==2.0.0 depends on numpy>=1.21.0 and you require pandas==2.0.0",
    );
    check(
        "error: Request failed after 3 retries in 4.9s\n  cause: Failed to fetch: `https://index.example/simple/x/`\n",
        "cannot install the dependencies: the package index could not be reached",
    );
}

#[test]
fn pip_is_understood() {
    check(
        "ERROR: Could not find a version that satisfies the requirement nope (from versions: none)\nERROR: No matching distribution found for nope\n",
        "cannot install `nope`: the index has no package of that name, or it has no wheel for Python 3.11 on x86_64-unknown-linux-gnu",
    );
    check(
        "ERROR: Could not find a version that satisfies the requirement qrcode==99.0 (from versions: 7.4, 8.0, 8.1, 8.2)\nERROR: No matching distribution found for qrcode==99.0\n",
        "cannot install `qrcode==99.0`: no such version has a wheel for Python 3.11; the newest are 8.2, 8.1, 8.0",
    );
    check(
        "ERROR: Ignored the following versions that require a different python version: 9.9 Requires-Python >=3.12\nERROR: Could not find a version that satisfies the requirement x==9.9 (from versions: 1)\nERROR: No matching distribution found for x==9.9\n",
        "cannot install `x==9.9`: it needs Python >=3.12, the sandbox has 3.11",
    );
    check(
        "ERROR: Cannot install numpy<2 and pandas==3.0 because these package versions have conflicting dependencies.\nERROR: ResolutionImpossible: see the documentation\n",
        "cannot install the dependencies: the requirements contradict each other: numpy<2 and pandas==3.0",
    );
    check(
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'ProxyError'\nERROR: No matching distribution found for qrcode\n",
        "cannot install the dependencies: the package index could not be reached",
    );
}

#[test]
fn the_rest_keeps_its_last_error() {
    check("ERROR: first\nWARNING: x\nERROR: odd thing\nhelp\n", "cannot install the dependencies: odd thing");
    check("", "cannot install the dependencies: the tool failed without a word");
}

#[test]
fn credentials_and_terminal_sequences_do_not_pass() {
    let output = "ERROR: 401 for https://user:s3cret@index.example/simple and http://tok@x/ \u{1b}[31mred\n";
    let error = explain("pip", output, &target());
    for text in [error.to_string(), error.detail().unwrap().to_owned()] {
        assert!(!text.contains("s3cret") && !text.contains("tok@") && !text.contains('\u{1b}'), "{text}");
    }
    assert!(error.detail().unwrap().contains("https://***@index.example/simple"));
}
