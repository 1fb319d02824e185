//! The fuzz target's body over its corpus, the fixtures and the recorded cases, and over what is cut and spliced of them:
//! what a fuzzer once found stays found without a fuzzer.

#[path = "../fuzz/exercise.rs"]
mod exercise;

use std::{fs, path::Path};

fn inputs() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut inputs = Vec::new();
    for folder in ["fuzz/corpus/skill", "fixtures"] {
        let mut paths: Vec<_> = fs::read_dir(root.join(folder))
            .expect("the corpus can be read")
            .map(|entry| entry.expect("the corpus can be read").path())
            .collect();
        paths.sort();
        inputs.extend(paths.iter().map(|path| fs::read(path).expect("the corpus can be read")));
    }
    let edges = fs::read_to_string(root.join("reference/edges.jsonl")).expect("the corpus can be read");
    for line in edges.lines() {
        let case: serde_json::Value = serde_json::from_str(line).expect("the corpus can be read");
        inputs.extend(case["content"].as_str().map(|content| content.as_bytes().to_vec()));
    }
    assert!(inputs.len() > 250, "{}", inputs.len());
    inputs
}

#[test]
fn no_input_makes_a_check_panic() {
    let inputs = inputs();
    for input in &inputs {
        exercise::exercise(input);
    }
    // Cut anywhere, and the front of one before the back of another. The steps are odd, so that they meet all places.
    for (index, input) in inputs.iter().enumerate() {
        let cut = (index * 31) % input.len().max(1);
        exercise::exercise(&input[..cut]);
        let other = &inputs[(index * 7 + 3) % inputs.len()];
        let tail = &other[other.len().saturating_sub((index * 13) % 97)..];
        exercise::exercise(&[&input[..cut], tail].concat());
    }
}
