//! Whole skills with scripts, in memory.

use proptest::prelude::*;
use skill::{Draft, Rule};

use crate::{Environment, Options, check};

const SKILL: &str = "---\nname: s\ndescription: Counts words. Use it when asked how long a text is.\nlicense: MIT\n---\nRun it.\n";

fn found_with(files: &[(&str, &str)], environment: Environment) -> Vec<String> {
    let mut all = vec![("SKILL.md", SKILL)];
    all.extend(files);
    let draft = Draft::from_files(all, Some("s")).unwrap();
    let options = Options { environment, ..Options::default() };
    let is_of_scripts = |rule: Rule| rule.group() == skill::Group::Scripts;
    check(&draft, &options)
        .into_iter()
        .filter(|diagnostic| is_of_scripts(diagnostic.rule))
        .map(|diagnostic| {
            let line = diagnostic.location.span.map_or(0, |span| span.start.line);
            format!("{} {}:{line}", diagnostic.rule.code(), diagnostic.location.file)
        })
        .collect()
}

fn found(files: &[(&str, &str)]) -> Vec<String> {
    found_with(files, Environment::default())
}

#[test]
fn packages_may_come_from_anywhere() {
    let script = "import yaml, numpy\nfrom PIL import Image\nimport words\ntry:\n    import rich\nexcept ImportError:\n    rich = None\n";
    let words = ("scripts/words.py", "");
    assert_eq!(
        found(&[("scripts/a.py", script), words]),
        ["SB207 scripts/a.py:1", "SB207 scripts/a.py:1", "SB207 scripts/a.py:2"]
    );
    let requirements = ("requirements.txt", "pandas==2.2.3\nPyYAML==6.0.2\npillow==11.0.0\n");
    assert!(found(&[("scripts/a.py", script), words, requirements]).is_empty());
    let environment = Environment {
        python_packages: ["pyyaml", "numpy", "Pillow"].map(str::to_owned).to_vec(),
        ..Environment::default()
    };
    assert!(found_with(&[("scripts/a.py", script), words], environment).is_empty());
}

#[test]
fn material_is_not_run() {
    let script = "import requests, foo\ninput()\nopen('/etc/x', 'w')\n";
    for path in ["assets/a.py", "templates/a.py", "tests/test_a.py", "scripts/test_a.py", "references/a.py"] {
        assert!(found(&[(path, script)]).is_empty(), "{path}");
    }
    assert_eq!(found(&[("tools/a.py", script)]).len(), 5);
}

#[test]
fn data_files_are_read_as_their_readers_do() {
    for (path, content) in [
        ("tsconfig.json", "{// x\n\"a\": 1,}"),
        ("a.json", "{\"a\": NaN, \"b\": [-Infinity]}"),
        ("a.json", "\u{feff}{}"),
        ("tests/a.json", "{"),
        ("assets/a.json", "{\"a\": {{ value }}}"),
        ("a.yaml", "a: 1\n---\nb: 2\n"),
        ("a.toml", "a = 1\n[b]\nc = '''\nx'''\n"),
    ] {
        assert_eq!(found(&[(path, content)]), [""; 0], "{path} {content}");
    }
    for (path, content, line) in [
        ("a.json", "{\n\"a\": 1,\n}", 3),
        ("a.json", "", 1),
        ("a.yaml", "a: 1\nb: }\n", 2),
        ("a.toml", "a = \nb = 1\n", 1),
    ] {
        assert_eq!(found(&[(path, content)]), [format!("SB200 {path}:{line}")], "{content}");
    }
}

#[test]
fn what_a_sandbox_lacks_is_said_once_for_a_script() {
    let bash = "#!/bin/bash\nset -e\ncurl -s https://example.com > /tmp/a\ncurl http://b\npip install x\nread -p 'Name: ' name\n\
                echo \"$OPENAI_API_KEY\" | pandoc -o out.pdf\nsudo true &\n";
    assert_eq!(
        found(&[("scripts/a.sh", bash)]),
        [
            "SB210 scripts/a.sh:3",
            "SB212 scripts/a.sh:5",
            "SB206 scripts/a.sh:6",
            "SB213 scripts/a.sh:7",
            "SB211 scripts/a.sh:7"
        ]
    );
    assert!(found(&[("scripts/a.sh", "#!/bin/sh\ncurl -s http://localhost:8000/\n# sudo\necho 'sudo apt install'\ncat <<E\npip install x\nE\n")]).is_empty());
}

#[test]
fn own_modules_must_be_found() {
    let main = "from .words import x\nif __name__ == '__main__':\n    x()\n";
    assert_eq!(found(&[("scripts/a.py", main), ("scripts/words.py", "")]), ["SB218 scripts/a.py:1"]);
    assert_eq!(found(&[("scripts/a.py", "import utils\n")]), ["SB218 scripts/a.py:1"]);
    let package = [
        ("scripts/p/__init__.py", ""),
        ("scripts/p/b.py", "from .c import d\nfrom ..e import f\n"),
        ("scripts/p/c.py", ""),
    ];
    assert_eq!(found(&package), ["SB218 scripts/p/b.py:2"]);
    assert_eq!(
        found(&[("scripts/a.py", "from lib.words import x\n"), ("scripts/lib/word.py", "")]),
        ["SB218 scripts/a.py:1"]
    );
    assert!(found(&[("scripts/a.py", "from lib.words import x\n"), ("scripts/lib/words.py", "")]).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_makes_a_check_panic(
        text in "[a-z \\n\\t(){}\\[\\]'\"#$.,:=/<>|&;!@\\\\é\u{feff}-]{0,200}",
        words in prop::collection::vec(prop::sample::select(vec![
            "import ", "from . import x\n", "open(", "'w')", "subprocess.run([", "sudo ", "read -p ", "$(", "<<E\n", "try:\n ", "except ImportError:\n",
            "os.environ['A_KEY']", "f'{", "# /// script\n", "# ///\n", "#!/usr/bin/env ", "\r\n", "-e .", "git+", ">=3.", "> /x", "if __name__ == '__main__':\n",
        ]), 0..12),
    ) {
        let text = words.concat() + &text;
        let paths = ["scripts/a.py", "scripts/b.sh", "scripts/c.js", "scripts/d", "e.json", "e.yaml", "e.toml", "requirements.txt", "pyproject.toml"];
        let files: Vec<(&str, &str)> = paths.iter().map(|path| (*path, text.as_str())).collect();
        found(&files);
    }
}
