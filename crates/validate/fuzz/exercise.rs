//! What the fuzz target does with its input, and an ordinary test with the corpus.

use std::io::Cursor;

use skill::{BundleLimits, Draft, Edit, Profile};
use validate::{Options, check, fix};

/// Reads `bytes` as every kind of file that is looked into, checks them under all profiles, mends them, and checks again.
pub(crate) fn exercise(bytes: &[u8]) {
    if bytes.starts_with(b"PK") {
        if let Ok(draft) = Draft::from_bundle(Cursor::new(bytes), &BundleLimits::default()) {
            let _found = check(&draft, &Options::default());
        }
        return;
    }
    let head = b"---\nname: my-skill\ndescription: Counts words. Use it when asked.\n---\n";
    let behind = [head, bytes].concat();
    for skill in [bytes, &behind] {
        let files = [
            ("SKILL.md", skill),
            ("data/a.json", bytes),
            ("data/a.toml", bytes),
            ("data/a.yaml", bytes),
            ("pyproject.toml", bytes),
            ("references/a.md", bytes),
            ("requirements.txt", bytes),
            ("scripts/a.js", bytes),
            ("scripts/a.py", bytes),
            ("scripts/a.sh", bytes),
            ("scripts/b", bytes),
        ];
        let Ok(draft) = Draft::from_files(files, Some("my-skill")) else { continue };
        for profile in Profile::ALL {
            let options = Options { profile, ..Options::default() };
            let found = check(&draft, &options);
            for diagnostic in &found {
                assert!(!diagnostic.message.is_empty());
                if let Some(span) = diagnostic.location.span {
                    assert!(span.start.offset <= span.end.offset && span.start.line >= 1);
                }
            }
            let Ok(fixed) = fix(&draft, &found) else { continue };
            // What is mended is still something that can be checked.
            let mended =
                fixed.texts.iter().map(|(path, (_, after))| (path.clone(), after.clone().into_bytes()));
            let mut files: std::collections::BTreeMap<String, Vec<u8>> =
                files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect();
            files.extend(mended);
            if let Ok(draft) = Draft::from_files(files, Some("my-skill")) {
                let _again = check(&draft, &options);
            }
            for edit in found.iter().filter_map(|found| found.fix.as_ref()).flat_map(|fix| &fix.edits) {
                let Edit::Replace { file, range, .. } = edit else { continue };
                let text = draft.read(file, u64::MAX).unwrap_or_default();
                assert!(range.end <= text.len(), "{edit:?}");
            }
        }
    }
}
