//! `validate --deep`: scripts looked at from inside a sandbox.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::support::{
    require::require,
    skillbox::{Ran, run_in},
};

fn skill(root: &Path, scripts: &[(&str, &str)]) {
    let text = "---\nname: deep\ndescription: Counts words in a text. Use it when asked how long a text is.\nlicense: MIT\n---\nRun it.\n";
    fs::create_dir_all(root.join("deep/scripts")).unwrap();
    fs::write(root.join("deep/SKILL.md"), text).unwrap();
    for (path, content) in scripts {
        fs::write(root.join("deep/scripts").join(path), content).unwrap();
    }
}

fn validate(root: &Path) -> Ran {
    run_in(
        root,
        &["validate", "--deep", "--format", "concise", "--select", "SB217,SB218,SB219,SB200", "deep"],
    )
}

#[test]
fn what_is_missing_in_a_sandbox_is_found_with_its_line() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    skill(
        directory.path(),
        &[
            ("good.py", "import json\nfrom words import split\nprint(split(json.dumps('a')))\n"),
            ("words.py", "def split(text):\n    return text.split()\n"),
            ("missing.py", "import json\n\nimport no_such_module\n"),
            ("name.py", "from json import no_such_name\n"),
            ("bash.sh", "#!/bin/bash\nif true; then\n  echo\n"),
            (
                "help.py",
                "import argparse\nimport sys\n\nfirst = sys.argv[2]\nif __name__ == '__main__':\n    argparse.ArgumentParser().parse_args()\n",
            ),
        ],
    );
    let ran = validate(directory.path());
    assert_eq!(ran.code(), 1, "{ran:?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let has = |place: &str, code: &str, text: &str| {
        lines.iter().any(|line| line.contains(place) && line.contains(code) && line.contains(text))
    };
    assert!(has("scripts/missing.py:3:1", "SB219", "no_such_module"), "{ran:?}");
    assert!(has("scripts/name.py:1:1", "SB219", "no_such_name"), "{ran:?}");
    assert!(has("scripts/bash.sh:", "SB200", "unexpected end of file"), "{ran:?}");
    assert!(has("scripts/help.py:1:1", "SB217", "IndexError"), "{ran:?}");
    assert_eq!(lines.len(), 4, "{ran:?}");
}

#[test]
fn a_script_that_kills_hides_nothing_of_the_others() {
    if !require("native") {
        return;
    }
    let directory = TempDir::new().unwrap();
    skill(
        directory.path(),
        &[
            ("a_exits.py", "import exits\n"),
            ("exits.py", "import os\nos._exit(0)\n"),
            ("b_kills.py", "import kills\n"),
            // The parent is the program that looks at all scripts.
            ("kills.py", "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n"),
            ("z_missing.py", "import no_such_module\n"),
        ],
    );
    let ran = validate(directory.path());
    assert_eq!(ran.code(), 1, "{ran:?}");
    for place in ["scripts/a_exits.py:1:", "scripts/b_kills.py:1:", "scripts/z_missing.py:1:"] {
        assert!(
            ran.stdout.lines().any(|line| line.contains(place) && line.contains("SB219")),
            "{place} {ran:?}"
        );
    }
}
