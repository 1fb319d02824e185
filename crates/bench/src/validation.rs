//! What checking skills costs: whole processes, as a commit hook or a CI job starts them.
//!
//! The reference library is run by its own command on the same skill, in the same round, and has to find it valid, too.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, ensure};

use crate::report::{self, Row};
use crate::statistics::{Random, median, median_interval};

/// A skill of the usual size: frontmatter, instructions of about two pages, a script.
const SCRIPT: &str = "import argparse\n\n\ndef main() -> None:\n    parser = argparse.ArgumentParser()\n    parser.add_argument('--text')\n    print(len(parser.parse_args().text.split()))\n\n\nif __name__ == '__main__':\n    main()\n";
/// How many skills the rate is measured on, and how many more the growth of memory.
const MANY: usize = 2_000;
const MORE: usize = 4 * MANY;

/// The rows. Without the reference library only our own figures.
pub(crate) fn rows(skillbox: &Path, skills_ref: &Path, rounds: usize) -> anyhow::Result<Vec<Row>> {
    let place = tempfile::tempdir()?;
    let mut rows = Vec::new();
    let one = place.path().join("word-count");
    write(&one, "word-count")?;
    let ours = || spent(Command::new(skillbox).args(["validate", "--profile", "spec"]).arg(&one));
    let theirs = || spent(Command::new(skills_ref).arg("validate").arg(&one));
    if skills_ref.exists() {
        let (mut ratios, mut mine, mut reference) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds + 2 {
            // Whoever is first in a round may find the caches colder.
            let (ours, theirs) = if round % 2 == 0 {
                let ours = ours()?;
                (ours, theirs()?)
            } else {
                let theirs = theirs()?;
                (ours()?, theirs)
            };
            if round >= 2 {
                ratios.push(ours / theirs);
                mine.push(ours);
                reference.push(theirs);
            }
            report::progress(round + 1, rounds + 2);
        }
        let (ratio, low, high) = median_interval(&ratios, &mut Random::new());
        let name = "validate one skill, whole process / skills-ref on it";
        let sides = (median(&mine), median(&reference));
        rows.push(Row::ratio(name, ratio, (low, high), Some(0.02), sides, false));
    }
    let many = place.path().join("many");
    for number in 0..MANY {
        let name = format!("word-count-{number}");
        write(&many.join(&name), &name)?;
    }
    let mut rates = Vec::new();
    for _ in 0..5 {
        let ms = spent(&mut every(skillbox, &many))?;
        rates.push(MANY as f64 / ms * 1000.0);
    }
    rows.push(Row::figure("skills validated per second, all rules", median(&rates), "per second", None));
    let few = peak(every(skillbox, &many))?;
    for number in MANY..MORE {
        let name = format!("word-count-{number}");
        write(&many.join(&name), &name)?;
    }
    let more = peak(every(skillbox, &many))?;
    rows.push(Row::figure("memory of validating 2,000 skills", few, "MiB", None));
    rows.push(Row::figure("memory of validating 8,000 skills", more, "MiB", None));
    Ok(rows)
}

fn every(skillbox: &Path, directory: &Path) -> Command {
    let mut command = Command::new(skillbox);
    command.args(["validate", "--format", "concise"]).arg(directory);
    command
}

fn write(skill: &Path, name: &str) -> anyhow::Result<()> {
    fs::create_dir_all(skill.join("scripts"))?;
    let about = words(name);
    let mut text = format!(
        "---\nname: {name}\ndescription: Counts the words of a text. Use it when asked about {about}.\nlicense: MIT\n---\n\n# Counting\n\n"
    );
    for step in 1..=40 {
        text.push_str(&format!("{step}. Run `scripts/count.py --text TEXT` and read what [the script](scripts/count.py) prints.\n"));
    }
    fs::write(skill.join("SKILL.md"), text)?;
    fs::write(skill.join("scripts/count.py"), SCRIPT)?;
    Ok(())
}

/// Some words that no skill of another name has together, so that no two descriptions are alike.
fn words(name: &str) -> String {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let digits = format!("{:016x}{:016x}", hasher.finish(), hasher.finish().rotate_left(29).wrapping_mul(31));
    let words: Vec<String> =
        digits.as_bytes().chunks(2).map(|pair| format!("things{}", String::from_utf8_lossy(pair))).collect();
    words.join(" ")
}

/// Milliseconds of a run that has to find everything valid.
fn spent(command: &mut Command) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let ms = begin.elapsed().as_secs_f64() * 1000.0;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}{}",
        String::from_utf8_lossy(&output.stdout).chars().take(500).collect::<String>(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(ms)
}

/// The most memory of a run, in MiB, as the kernel counted it.
fn peak(command: Command) -> anyhow::Result<f64> {
    // The shell that waits has the figure of its child, and nothing else to account for.
    let mut python = Command::new(crate::host::PYTHON);
    python.args(["-c", "import resource, subprocess, sys\nsubprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\nprint(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"]);
    python.arg(command.get_program()).args(command.get_args());
    let output = python.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let kib: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(kib / 1024.0)
}
