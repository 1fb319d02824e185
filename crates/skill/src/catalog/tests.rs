//! Built-in and uploaded skills together, replacement and removal.

use std::io::{Cursor, Write as _};

use super::*;

fn text(name: &str, description: &str) -> String {
    format!("---\nname: {name}\ndescription: {description}\n---\nBody\n")
}

fn bundle(name: &str, description: &str) -> Cursor<Vec<u8>> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    writer.start_file(format!("{name}/SKILL.md"), options).unwrap();
    writer.write_all(text(name, description).as_bytes()).unwrap();
    writer.start_file(format!("{name}/scripts/a.py"), options).unwrap();
    writer.write_all(description.as_bytes()).unwrap();
    let mut bundle = writer.finish().unwrap();
    bundle.set_position(0);
    bundle
}

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new(built_in: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, description) in built_in {
            let root = directory.path().join("built-in").join(name);
            fs::create_dir_all(&root).unwrap();
            fs::write(root.join("SKILL.md"), text(name, description)).unwrap();
        }
        fs::create_dir_all(directory.path().join("built-in")).unwrap();
        Self { directory }
    }

    fn uploads(&self) -> PathBuf {
        self.directory.path().join("uploads")
    }

    fn open(&self) -> Catalog {
        let built_in = self.directory.path().join("built-in");
        Catalog::open(&[built_in], Some(&self.uploads()), &SourceLimits::default()).unwrap()
    }

    fn on_disk(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.uploads())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != LOCK)
            .collect();
        names.sort();
        names
    }
}

fn list(catalog: &Catalog) -> Vec<(&str, &str, Origin)> {
    catalog
        .entries()
        .map(|entry| (entry.skill.name().as_str(), entry.skill.description(), entry.origin))
        .collect()
}

#[test]
fn an_uploaded_skill_wins_over_a_built_in_one() {
    let place = Place::new(&[("alpha", "built in"), ("beta", "built in")]);
    let mut catalog = place.open();
    let installed = catalog.install(bundle("beta", "uploaded")).unwrap();
    assert!(installed.created);
    catalog.install(bundle("gamma", "uploaded")).unwrap();
    let expected = [
        ("alpha", "built in", Origin::BuiltIn),
        ("beta", "uploaded", Origin::Uploaded),
        ("gamma", "uploaded", Origin::Uploaded),
    ];
    assert_eq!(list(&catalog), expected);
    assert_eq!(catalog.entry("beta").unwrap().shadows.unwrap().description(), "built in");
    assert!(catalog.entry("gamma").unwrap().shadows.is_none());
    assert!(catalog.get("delta").is_none());
    assert!(installed.skill.diagnostics().is_empty(), "{:?}", installed.skill.diagnostics());
    // The same after a restart.
    drop(catalog);
    let mut catalog = place.open();
    assert_eq!(list(&catalog), expected);
    assert!(catalog.remove("beta").unwrap());
    assert_eq!(catalog.get("beta").unwrap().description(), "built in");
    assert!(!catalog.remove("beta").unwrap(), "a built-in skill is not removed");
    assert!(catalog.problems().is_empty());
}

#[test]
fn a_replaced_version_stays_readable_until_it_is_let_go() {
    let place = Place::new(&[]);
    let mut catalog = place.open();
    let old = catalog.install(bundle("a", "first")).unwrap().skill;
    let new = catalog.install(bundle("a", "second")).unwrap();
    assert!(!new.created);
    assert_eq!(catalog.get("a").unwrap().description(), "second");
    assert_eq!(old.read_text("scripts/a.py").unwrap(), "first");
    assert_eq!(place.on_disk(), ["a@1", "a@2"]);
    drop(old);
    assert_eq!(place.on_disk(), ["a@2"]);
    drop(new);
    catalog.remove("a").unwrap();
    assert!(catalog.get("a").is_none());
    drop(catalog);
    assert!(place.open().get("a").is_none());
    assert!(place.on_disk().is_empty());
}

#[test]
fn whatever_a_crash_leaves_is_one_whole_version_or_none() {
    let place = Place::new(&[]);
    let mut catalog = place.open();
    let _held = catalog.install(bundle("a", "first")).unwrap().skill;
    let _also = catalog.install(bundle("a", "second")).unwrap().skill;
    // A crash: nothing is dropped, something is half unpacked.
    std::mem::forget(catalog);
    fs::create_dir_all(place.uploads().join(".unpack-half/skill")).unwrap();
    fs::write(place.uploads().join("stray.txt"), "?").unwrap();
    let mut catalog = place.open();
    assert_eq!(catalog.get("a").unwrap().description(), "second");
    assert_eq!(place.on_disk(), ["a@2", "stray.txt"]);
    assert!(matches!(catalog.problems(), [SourceProblem::Foreign { .. }]));
    // A crash right after a removal: the old folder is still there, but does not come back.
    let held = Arc::clone(catalog.get("a").unwrap());
    catalog.remove("a").unwrap();
    std::mem::forget(held);
    drop(catalog);
    assert_eq!(place.on_disk(), ["a@2", "a@3", "stray.txt"]);
    assert!(place.open().get("a").is_none());
    assert_eq!(place.on_disk(), ["stray.txt"]);
}

#[test]
fn what_is_refused_changes_nothing() {
    let place = Place::new(&[]);
    let mut catalog = place.open();
    catalog.install(bundle("a", "good")).unwrap();
    let refused = catalog.install(Cursor::new(b"no zip".to_vec())).unwrap_err();
    assert!(matches!(refused, CatalogError::Load(LoadError::Bundle(_))));
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("a/SKILL.md", zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(b"no frontmatter").unwrap();
    let refused = catalog.install(writer.finish().unwrap()).unwrap_err();
    assert!(matches!(refused, CatalogError::Load(LoadError::Invalid { .. })));
    assert_eq!(catalog.get("a").unwrap().description(), "good");
    assert_eq!(place.on_disk(), ["a@1"]);
    let mut fixed = Catalog::from_skills([Skill::from_files([("SKILL.md", text("x", "y"))]).unwrap()]);
    assert!(matches!(fixed.install(bundle("a", "b")), Err(CatalogError::ReadOnly)));
    assert_eq!(list(&fixed), [("x", "y", Origin::BuiltIn)]);
}

#[test]
fn the_first_of_several_built_in_directories_wins() {
    let (first, second) = (Place::new(&[("a", "first")]), Place::new(&[("a", "second"), ("b", "second")]));
    let paths = [&first, &second].map(|place| place.directory.path().join("built-in"));
    let catalog = Catalog::open(&paths, None, &SourceLimits::default()).unwrap();
    assert_eq!(catalog.get("a").unwrap().description(), "first");
    assert_eq!(catalog.entries().count(), 2);
    assert!(matches!(catalog.problems(), [SourceProblem::Shadowed { .. }]));
    assert!(Catalog::open(&[first.directory.path().join("none")], None, &SourceLimits::default()).is_err());
}
