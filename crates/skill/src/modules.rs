//! Which package of the index has a Python module: a table of names that are known, and no guesses.
//!
//! A package that is called like a module need not have it: `import engine` wants a file that the author forgot, and the index
//! has a package `engine` all the same, of a stranger. So only what the table says is advised.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

const MODULES: &str = include_str!("../data/modules.txt");
const TRAPS: &str = include_str!("../data/traps.txt");

/// The packages that have a module; the one to advise first, if any.
#[derive(Debug, Default)]
struct Known {
    advised: Option<&'static str>,
    all: Vec<&'static str>,
}

/// The package to declare for `module`, which may have dots; `None` where that is not known beyond doubt.
pub fn package_of_module(module: &str) -> Option<&'static str> {
    found(module).and_then(|known| known.advised)
}

/// All packages that have `module`, under names as the index normalises them; empty where none is known.
pub fn packages_with_module(module: &str) -> &'static [&'static str] {
    found(module).map_or(&[][..], |known| known.all.as_slice())
}

/// Whether people call modules of their own so, or an application brings it: never a package of the index.
pub fn is_own_module(module: &str) -> bool {
    static NAMES: OnceLock<BTreeSet<&str>> = OnceLock::new();
    let top = module.split('.').next().unwrap_or(module);
    NAMES.get_or_init(|| lines(TRAPS).collect()).contains(top)
}

/// The longest beginning of a module's name that the table has.
fn found(module: &str) -> Option<&'static Known> {
    static TABLE: OnceLock<BTreeMap<&str, Known>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let entry = |line: &'static str| {
            let mut words = line.split_ascii_whitespace();
            let (module, packages) = (words.next()?, words);
            let mut known = Known { advised: None, all: packages.collect() };
            if known.all.first() == Some(&"-") {
                known.all.remove(0);
            } else {
                known.advised = known.all.first().copied();
            }
            Some((module, known))
        };
        lines(MODULES).filter_map(entry).collect()
    });
    let mut name = module;
    loop {
        if let Some(known) = table.get(name) {
            return Some(known);
        }
        name = name.rsplit_once('.')?.0;
    }
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_known_by_their_modules() {
        for (module, package) in [
            ("PIL.Image", "pillow"),
            ("yaml", "pyyaml"),
            ("requests", "requests"),
            ("absl.flags", "absl-py"),
            ("kafka", "kafka-python"),
            ("pywt", "pywavelets"),
            ("shapefile", "pyshp"),
            ("rest_framework.views", "djangorestframework"),
            ("camelot", "camelot-py"),
            ("tabula", "tabula-py"),
            ("nmap", "python-nmap"),
            ("fpdf", "fpdf2"),
            ("googleapiclient.discovery", "google-api-python-client"),
            ("google.cloud.storage.blob", "google-cloud-storage"),
            ("google.oauth2.service_account", "google-auth"),
        ] {
            assert_eq!(package_of_module(module), Some(package), "{module}");
        }
    }

    #[test]
    fn nothing_is_guessed() {
        for module in
            ["google", "google.cloud", "engine", "whois", "some_thing", "office", "maya", "opencv", "tools"]
        {
            assert_eq!(package_of_module(module), None, "{module}");
        }
        assert_eq!(packages_with_module("whois"), ["python-whois", "whois"]);
    }

    #[test]
    fn the_lists_are_well_formed_and_do_not_contradict() {
        let modules: Vec<&str> = lines(MODULES).filter_map(|line| line.split(' ').next()).collect();
        let unique: BTreeSet<&&str> = modules.iter().collect();
        assert_eq!(unique.len(), modules.len());
        assert!(modules.len() >= 400, "{}", modules.len());
        for line in lines(MODULES) {
            let normal =
                |name: &str| name == "-" || !name.contains(['_', '.']) && name == name.to_lowercase();
            assert!(line.split(' ').skip(1).all(normal), "{line}");
        }
        let both: Vec<&&str> =
            modules.iter().filter(|module| lines(TRAPS).any(|trap| trap == **module)).collect();
        assert!(both.is_empty(), "{both:?}");
    }
}
