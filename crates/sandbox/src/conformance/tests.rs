//! The fake driver passes what every driver must, and the suite itself is sound.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::fake::FakeDriver;

#[tokio::test(start_paused = true)]
async fn the_fake_driver_behaves_as_drivers_must() {
    for case in CASES.iter().filter(|case| case.kind == Kind::Behaviour) {
        let driver = FakeDriver::new();
        // Virtual time: nothing a fake does may take longer, and a hang shows as this case's failure.
        let done = tokio::time::timeout(Duration::from_secs(600), (case.run)(&driver)).await;
        assert!(done.is_ok(), "{} hangs", case.name);
        assert_eq!(driver.live(), 0, "{} leaves sandboxes", case.name);
        assert!(driver.created() > 0, "{} makes no sandbox", case.name);
    }
}

#[test]
fn every_case_is_listed_once() {
    let names: BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), CASES.len());
    let sources = [
        ("exec", include_str!("exec.rs")),
        ("files", include_str!("files.rs")),
        ("life", include_str!("life.rs")),
        ("output", include_str!("output.rs")),
        ("resources", include_str!("resources.rs")),
        ("time", include_str!("time.rs")),
        ("walls", include_str!("walls.rs")),
        ("work", include_str!("work.rs")),
    ];
    let mut written = BTreeSet::new();
    for (module, source) in sources {
        let cases = source.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next());
        written.extend(cases.map(|name| format!("{module}::{name}")));
    }
    let listed: BTreeSet<String> = names.into_iter().map(str::to_owned).collect();
    assert_eq!(listed, written);
}
