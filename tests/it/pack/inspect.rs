//! `inspect`: everything that can be known of a skill without running it.

use std::fs;

use serde_json::Value;

use super::{HEAD, made, pack_json};
use crate::support::{
    skillbox::{run, run_in},
    snapshot::shown,
};

const PYTHON: &str = "# /// script\n# requires-python = \">=3.11\"\n# dependencies = [\"rich>=13\"]\n# ///\n\
    \"\"\"Makes it.\"\"\"\nimport argparse\np = argparse.ArgumentParser()\np.add_argument(\"file\")\n\
    p.add_argument(\"--size\", type=int, required=True)\n";

#[test]
fn everything_that_is_known_is_shown() {
    let directory = made(&[
        ("scripts/make.py", PYTHON),
        ("scripts/run.sh", "#!/bin/sh\n# Runs it.\n# Usage: run.sh FILE\n"),
        ("requirements.txt", "qrcode[pil]>=7\n"),
        ("references/more.md", &"word ".repeat(100)),
        ("references/table.bin", "a\0b\u{ff}"),
    ]);
    let path = directory.path();
    let head = HEAD.replace("---\n\n", "compatibility: Needs python3\n---\n\n");
    fs::write(path.join("made/SKILL.md"), head).unwrap();
    let packed = pack_json(path, &["made"]);
    let ran = run_in(path, &["inspect", "made.skill", "--files"]);
    insta::assert_snapshot!("inspect_files", shown(&ran, &[]));
    assert_eq!(ran.code(), 0);
    let bundle = run_in(path, &["--json", "inspect", "made.skill"]).success().json();
    assert_eq!((&bundle["digest"], &bundle["bundleSha256"]), (&packed["digest"], &packed["sha256"]));
    let folder = run_in(path, &["--json", "read-properties", "made"]).success().json();
    assert_eq!(folder.get("bundleSha256"), None);
    for key in
        ["slug", "digest", "files", "scripts", "references", "requirements", "pythonVersions", "tokens"]
    {
        // A script with a shebang is executable in a bundle, and here it is in the folder, too.
        assert_eq!(folder[key], bundle[key], "{key}");
    }
    assert_eq!(bundle["scripts"][0]["usage"], "make.py --size SIZE file");
    assert_eq!(bundle["scripts"][1]["usage"], "run.sh FILE");
    assert_eq!(bundle["references"][0]["tokens"], 125);
    assert_eq!(bundle["pythonVersions"][0]["requiresPython"], ">=3.11");
    assert_eq!(bundle["compatibility"], "Needs python3");
}

/// Scripts read these names; a missing one breaks them.
#[test]
fn the_fields_of_the_document_stay() {
    let document = run(&["--json", "inspect", "skills-examples/data-analysis"]).success().json();
    let Value::Object(fields) = &document else { panic!("{document}") };
    let names: Vec<&str> = fields.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "schemaVersion",
            "slug",
            "description",
            "license",
            "version",
            "metadata",
            "digest",
            "files",
            "scripts",
            "references",
            "assets",
            "requirements",
            "pythonVersions",
            "tokens",
            "findings"
        ]
    );
    let file = document["files"][0].as_object().unwrap();
    assert_eq!(file.keys().collect::<Vec<_>>(), ["path", "size", "executable", "sha256"]);
}
