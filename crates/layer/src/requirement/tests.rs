//! What is accepted, what it becomes, and above all what is refused.

use super::*;

fn check(line: &str, expected: &str) {
    assert_eq!(Requirement::parse(line).map(|parsed| parsed.to_string()), Ok(expected.to_owned()), "{line}");
}

#[track_caller]
fn refused(line: &str, because: &str) {
    match Requirement::parse(line) {
        Ok(parsed) => panic!("accepted {line:?} as {parsed:?}"),
        Err(reason) => assert!(reason.contains(because), "{line:?} was refused because {reason}"),
    }
}

#[test]
fn requirements_are_normalized() {
    check("qrcode[pil]", "qrcode[pil]");
    check("QRCode [PIL, pil ,Foo_Bar]", "qrcode[foo-bar,pil]");
    check("zope.interface", "zope-interface");
    check("A__b-.c", "a-b-c");
    check("numpy", "numpy");
    check("numpy >= 1.24 , < 3", "numpy<3,>=1.24");
    check("numpy(>=1.24)", "numpy>=1.24");
    check("numpy~=1.26.0", "numpy~=1.26.0");
    check("numpy==1.*,!=1.3.*", "numpy!=1.3.*,==1.*");
    check("torch==2.1.0+cpu", "torch==2.1.0+cpu");
    check("pytz==1!2024.1.post1", "pytz==1!2024.1.post1");
    check("foo===1.0-beta", "foo===1.0-beta");
    check("numpy[]", "numpy");
}

#[test]
fn markers_are_normalized() {
    check("tomli; python_version<'3.11'", "tomli ; python_version < \"3.11\"");
    check(
        "x>=1 ; (sys_platform=='linux' or os_name  ==  \"nt\") and python_version not  in '3.7, 3.8'",
        "x>=1 ; (sys_platform == \"linux\" or os_name == \"nt\") and python_version not in \"3.7, 3.8\"",
    );
    check("x;'linux' in sys_platform", "x ; \"linux\" in sys_platform");
}

#[test]
fn hashes_are_kept_apart_from_the_line() {
    let line = format!("six==1.17.0 --hash=sha256:{} --hash=SHA256:{}", "b".repeat(64), "A".repeat(64));
    let parsed = Requirement::parse(&line).unwrap();
    assert_eq!(parsed.to_string(), "six==1.17.0");
    assert_eq!(parsed.hashes, [format!("sha256:{}", "a".repeat(64)), format!("sha256:{}", "b".repeat(64))]);
    let with_marker = format!("six ; python_version > '3' --hash=sha256:{}", "0".repeat(64));
    assert_eq!(Requirement::parse(&with_marker).unwrap().hashes.len(), 1);
}

#[test]
fn options_are_refused() {
    for line in [
        "-r other.txt",
        "-rother.txt",
        "--requirement other.txt",
        "-c constraints.txt",
        "-e .",
        "--editable=git+https://example.org/x",
        "-i https://example.org/simple",
        "--index-url https://example.org/simple",
        "--extra-index-url=https://example.org/simple",
        "--find-links /tmp",
        "--no-binary :all:",
        "--trusted-host example.org",
        "--pre",
        "-",
        "  --index-url https://example.org",
    ] {
        refused(line, "the option `-");
    }
    refused("six --global-option=x", "only `--hash` is");
    refused("six --no-binary=six", "only `--hash` is");
    refused("six==1 --config-settings=a=b", "only `--hash` is");
}

#[test]
fn urls_are_refused() {
    refused("https://example.org/six-1.0-py3-none-any.whl", "direct URLs");
    refused("six @ https://example.org/six.whl", "direct URLs");
    refused("six@file:///etc/passwd", "direct URLs");
    refused("file:///etc/passwd", "direct URLs");
    refused("file:six.whl", "direct URLs");
    refused("six[a]@six.whl", "direct URLs");
    refused("git+https://example.org/six", "version control");
    refused("git+ssh://git@example.org/six#egg=six", "version control");
    refused("hg+http://example.org/six", "version control");
}

#[test]
fn paths_are_refused() {
    for line in [
        "./six",
        "../six",
        ".",
        "/etc/passwd",
        "~/six",
        "six/",
        "dir/six.whl",
        "six-1.0-py3-none-any.whl",
        "six.zip",
        "six.tar.gz",
        "SIX.WHL",
        "c:\\six",
        "..\\six",
        "six.whl ; python_version > '3'",
    ] {
        refused(line, "paths are not allowed");
    }
}

#[test]
fn what_tools_would_expand_is_refused() {
    refused("six==${SECRET}", "environment variables");
    refused("six ; python_version > '${HOME}'", "environment variables");
    refused("six ; python_version > 'a#b'", "not allowed");
    refused("six ; python_version > 'a\\'", "not allowed");
}

#[test]
fn odd_characters_are_refused() {
    refused("six\n--index-url x", "U+000A");
    refused("six\r-r x", "U+000D");
    refused("s\u{0456}x", "U+0456");
    refused("six\0", "U+0000");
    refused("six\u{2028}-r x", "U+2028");
    refused("six\u{b}-r x", "U+000B");
}

#[test]
fn broken_lines_are_refused() {
    refused("six==", "no version follows `==`");
    refused("six 1.0", "`1.0` is not understood");
    refused("six=1.0", "not understood");
    refused("six>=1,", "a comma must be followed");
    refused("six>=1 <2", "not understood");
    refused("six[a", "not closed");
    refused("six[a b]", "not closed");
    refused("six(>=1", "not closed");
    refused("[six]", "does not start with the name");
    refused("six_", "does not start with the name");
    refused("six; ", "no marker knows");
    refused("six; evil == '1'", "`evil`, which no marker knows");
    refused("six; python_version '3'", "no comparison");
    refused("six; python_version not '3'", "no comparison");
    refused("six; python_version > '3", "not closed");
    refused("six; python_version > '3' and", "no marker knows");
    refused("six --hash=md5:d41d8cd98f00b204e9800998ecf8427e", "is not a sha256");
    refused("six --hash=sha256:abc", "is not a sha256");
    refused(&format!("six; {}python_version > '3'", "(".repeat(10_000)), "nested too deeply");
    refused(&"a".repeat(200), "does not start with the name");
}
