//! Scripts as people write them, and some that nobody would.

use super::*;

#[test]
fn imports_know_whether_they_must_succeed() {
    let python = Python::parse(
        "import os, a.b as c\ntry:\n    import d\nexcept ImportError:\n    d = None\ntry:\n    import e\nexcept ImportError:\n    \
         print('pip install e')\n    raise SystemExit(1)\nif TYPE_CHECKING:\n    import f\ndef g():\n    from h.i import j\n\
         if sys.version_info >= (3, 11):\n    import tomllib\nelse:\n    import tomli\nfrom .k import l\n",
    );
    let found: Vec<(&str, u32, Need)> =
        python.imports.iter().map(|import| (import.module.as_str(), import.level, import.need)).collect();
    assert_eq!(
        found,
        [
            ("os", 0, Need::Start),
            ("a.b", 0, Need::Start),
            ("d", 0, Need::Optional),
            ("e", 0, Need::Start),
            ("f", 0, Need::Optional),
            ("h.i", 0, Need::Later),
            ("tomllib", 0, Need::Optional),
            ("tomli", 0, Need::Optional),
            ("k", 1, Need::Start),
        ]
    );
}

#[test]
fn calls_have_full_names_and_literals() {
    let python = Python::parse(
        "import subprocess as sp\nfrom pathlib import Path\nsp.run(['git', f'x{y}', z], check=True)\n\
         Path('out').write_text('a')\nx().save(f'a/{b}')\nkey = os.environ['KEY']\nos.getenv('A', 'b')\nos.getenv('C')\n",
    );
    let names: Vec<&str> = python.calls.iter().map(|call| call.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "subprocess.run",
            "pathlib.Path().write_text",
            "pathlib.Path",
            "x().save",
            "x",
            "os.getenv",
            "os.getenv"
        ]
    );
    let text = |text: &str| Literal::Text(text.to_owned());
    assert_eq!(
        python.calls[0].arguments,
        [Literal::List(vec![text("git"), Literal::Prefix("x".to_owned()), Literal::Unknown])]
    );
    assert_eq!(python.calls[1].receiver, Some(text("out")));
    let variables: Vec<&str> = python.variables.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(variables, ["KEY", "C"]);
}

#[test]
fn errors_have_places() {
    let python = Python::parse("\u{feff}x = (1\ny = 2\n");
    assert!(!python.errors.is_empty());
    let newer = Python::parse("type X = int\n");
    assert!(newer.errors.is_empty() && newer.newer.len() == 1, "{newer:?}");
}

#[test]
fn no_depth_exhausts_the_stack() {
    let deep = |start: &str, count: usize| Python::parse(&start.repeat(count));
    for start in [
        "(",
        "[",
        "-",
        "not ",
        "1+",
        "a.",
        "f(",
        "a[",
        "lambda:",
        "x if y else ",
        "{",
        "await ",
        "*",
        "a=",
        "x:=(",
    ] {
        deep(start, 20_000);
    }
    deep("f'{", MAX_OPENINGS);
    deep("f'{", 100 * MAX_OPENINGS);
    let chain = |part: &str, count: usize| Python::parse(&format!("a{}\n", part.repeat(count)));
    for part in ["+a", ".a", "()", "[0]", " if a else a", " and b or c", "**a", " < a"] {
        assert!(chain(part, 20_000).errors.is_empty(), "{part}");
    }
    let nested = |open: &str, close: &str| {
        Python::parse(&format!("{}a{}\n", open.repeat(20_000), close.repeat(20_000)))
    };
    for (open, close) in [("[", "]"), ("f(", ")"), ("(", ")"), ("{0:", "}")] {
        assert!(nested(open, close).errors.is_empty(), "{open}");
    }
    let blocks: String = (0..2_000).map(|depth| format!("{}if a:\n", " ".repeat(depth))).collect();
    Python::parse(&format!("{blocks}{}a\n", " ".repeat(2_000)));
    Python::parse(&format!("match a:\n case {}b{}:\n  c\n", "[".repeat(20_000), "]".repeat(20_000)));
}
