//! Bundles that are large, damaged or random.

use proptest::prelude::*;

use super::{builder::raw_deflate_bomb, *};

#[test]
fn the_worst_bundle_within_the_limits_takes_little_time() {
    // Nearly all bytes that are allowed must be decompressed before the checksum of the last file is seen.
    let data = raw_deflate_bomb(4 << 20);
    let mut items = vec![Item::file("SKILL.md", SKILL)];
    items.extend((0..62).map(|index| Item::raw(&format!("{index}"), data.clone(), &vec![0; 4 << 20])));
    let mut last = Item::raw("last", data, &vec![0; 4 << 20]);
    (last.local.crc, last.central.crc) = (0, 0);
    items.push(last);
    let bytes = Zip::new(items).build();
    let start = std::time::Instant::now();
    let limits =
        BundleLimits { max_ratio: 2_000, max_duration: Duration::from_secs(60), ..BundleLimits::default() };
    assert!(matches!(check_bundle(Cursor::new(&bytes), &limits), Err(BundleError::Checksum { .. })));
    // The promise is two seconds for a release build; unoptimised code gets the net of the limits.
    let allowed = if cfg!(debug_assertions) { limits.max_duration } else { Duration::from_secs(2) };
    assert!(start.elapsed() < allowed, "{:?}", start.elapsed());
}

#[test]
fn a_damaged_bundle_is_refused_or_the_same() {
    let zip = Zip::new([
        Item::file("q/SKILL.md", SKILL),
        Item::file("q/scripts/a.py", b"print(1)\n".repeat(20).as_slice()).deflated(),
        Item::file("q/b", b"stream").streamed(true, false),
    ]);
    let good = zip.build();
    let config = ProptestConfig { cases: 3_000, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let change = prop::collection::vec((0..good.len(), any::<u8>()), 1..4);
    runner
        .run(&change, |changes| {
            let mut bytes = good.clone();
            for (at, value) in changes {
                bytes[at] = value;
            }
            if check_bundle(Cursor::new(&bytes), &BundleLimits::default()).is_ok() {
                // Names, times and modes may be changed, contents not: they have checksums.
                let parent = tempfile::tempdir().unwrap();
                let unpacked = unpack_into(&bytes, parent.path(), &BundleLimits::default()).unwrap();
                let root = fs::canonicalize(unpacked.root()).unwrap();
                assert!(root.starts_with(fs::canonicalize(parent.path()).unwrap()));
                assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
            }
            Ok(())
        })
        .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        prop_assert!(check_bundle(Cursor::new(&bytes), &BundleLimits::default()).is_err());
        // With an end record behind them, the bytes get further.
        let end = Zip::new([]).build();
        let mut bytes = [bytes, end].concat();
        let length = bytes.len();
        bytes[length - 12..length - 6].copy_from_slice(&[1, 0, 46, 0, 0, 0]);
        let _result = check_bundle(Cursor::new(&bytes), &BundleLimits::default());
    }

    #[test]
    fn no_name_leads_out(name in "[a-c./\\\\: A\u{e9}\u{202e}\0]{0,12}") {
        let parent = tempfile::tempdir().unwrap();
        let outer = parent.path().join("outer");
        fs::create_dir(&outer).unwrap();
        let bytes = with(Item::file(&name, b"x")).build();
        if let Ok(unpacked) = unpack_into(&bytes, &outer, &BundleLimits::default()) {
            let written = fs::canonicalize(unpacked.root().join(&name)).unwrap();
            prop_assert!(written.starts_with(fs::canonicalize(unpacked.root()).unwrap()));
        }
        prop_assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
        prop_assert_eq!(fs::read_dir(&outer).unwrap().count(), 0);
    }
}
