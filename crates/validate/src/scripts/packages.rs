//! Which package of the index has a Python module, and what is declared.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use skill::{package_of_module, packages_with_module};

use super::syntax::MAX_TOML;
use crate::{scripts::list, subject::Subject};

const STANDARD: &str = include_str!("../../data/stdlib.txt");
const BROUGHT: &str = include_str!("../../data/brought.txt");

/// Modules that are parts of several packages: any package that begins so may have it.
const SHARED: [&str; 6] = ["google", "azure", "zope", "sphinxcontrib", "backports", "opentelemetry"];

/// Whether Python itself has the module.
pub(crate) fn is_standard(module: &str) -> bool {
    static NAMES: OnceLock<BTreeSet<&str>> = OnceLock::new();
    module == "__main__" || NAMES.get_or_init(|| list(STANDARD).collect()).contains(module)
}

/// What to do about `module`, which nothing declares.
pub fn advice_for(module: &str) -> String {
    match package_of_module(module) {
        Some(package) => format!("add `{package}` to requirements.txt or to the script's own metadata"),
        None => {
            "declare the package that has it in requirements.txt, or add the module to the skill".to_owned()
        }
    }
}

fn table(text: &'static str) -> BTreeMap<&'static str, Vec<&'static str>> {
    list(text)
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            Some((words.next()?, words.collect()))
        })
        .collect()
}

/// Names that differ only in case or in `-`, `_`, `.` are one package.
pub(crate) fn normalize(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// Packages that programs of a skill find.
#[derive(Debug, Default)]
pub(crate) struct Packages {
    names: BTreeSet<String>,
}

impl Packages {
    /// What the skill declares, and what the environment has.
    pub(crate) fn of(subject: &Subject<'_>) -> Self {
        let requirements = subject.draft.requirements();
        let mut packages = Self::default();
        for file in &requirements.files {
            file.lines().for_each(|line| packages.add(line));
        }
        for script in &requirements.scripts {
            script.dependencies.iter().for_each(|line| packages.add(line));
        }
        for file in subject.draft.files() {
            let name = file.path.rsplit('/').next().unwrap_or_default();
            if name == "pyproject.toml" {
                packages.add_project(subject.text(&file.path).map_or("", |text| &text.content));
            } else if name.starts_with("requirements") && name.ends_with(".txt") {
                let content = subject.text(&file.path).map_or("", |text| &text.content);
                content.lines().for_each(|line| packages.add(line));
            }
        }
        subject.environment.python_packages.iter().for_each(|name| packages.add(name));
        packages.bring();
        packages
    }

    fn add(&mut self, requirement: &str) {
        let requirement = requirement.trim();
        let end = requirement.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'));
        let name = normalize(&requirement[..end.unwrap_or(requirement.len())]);
        if !name.is_empty() && !requirement.starts_with(['#', '-']) {
            // `qrcode[pil]` is the package, and what that extra of it brings (PEP 508).
            let rest = requirement[end.unwrap_or(requirement.len())..].trim_start();
            if let Some((extras, _)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                self.names
                    .extend(extras.split(',').map(|extra| format!("{name}[{}]", normalize(extra.trim()))));
            }
            self.names.insert(name);
        }
        // A URL says the name behind `#egg=` or at its end.
        if let Some((_, name)) = requirement.split_once("#egg=") {
            self.names.insert(normalize(name));
        }
    }

    fn add_project(&mut self, content: &str) {
        if content.len() > MAX_TOML {
            return;
        }
        let Ok(project) = content.parse::<toml::Table>() else { return };
        let texts = |value: Option<&toml::Value>| -> Vec<String> {
            let list = value.and_then(toml::Value::as_array).into_iter().flatten();
            list.filter_map(|text| text.as_str().map(str::to_owned)).collect()
        };
        let part = |path: &[&str]| {
            let mut value = project.get(*path.first()?)?;
            for key in &path[1..] {
                value = value.get(*key)?;
            }
            Some(value)
        };
        let mut all = texts(part(&["project", "dependencies"]));
        for path in [&["project", "optional-dependencies"][..], &["dependency-groups"]] {
            let groups = part(path).and_then(toml::Value::as_table);
            all.extend(groups.into_iter().flatten().flat_map(|(_, group)| texts(Some(group))));
        }
        let poetry = part(&["tool", "poetry", "dependencies"]).and_then(toml::Value::as_table);
        all.extend(poetry.into_iter().flatten().map(|(name, _)| name.clone()));
        // The project itself can be imported where it is installed.
        all.extend(part(&["project", "name"]).and_then(toml::Value::as_str).map(str::to_owned));
        all.iter().for_each(|requirement| self.add(requirement));
    }

    /// Adds what comes along.
    fn bring(&mut self) {
        let table = table(BROUGHT);
        // What is brought may bring more.
        for _ in 0..3 {
            let more: Vec<String> = self
                .names
                .iter()
                .filter_map(|name| table.get(name.as_str()))
                .flatten()
                .map(|name| (*name).to_owned())
                .collect();
            self.names.extend(more);
        }
    }

    /// Whether any of them has `module`.
    pub(crate) fn have(&self, module: &str) -> bool {
        let top = module.split('.').next().unwrap_or(module);
        let packages = packages_with_module(module);
        if packages.iter().any(|package| self.names.contains(*package)) {
            return true;
        }
        // Of what is shared by many packages, some bring others along.
        if !packages.is_empty() && !SHARED.contains(&top) {
            return false;
        }
        let name = normalize(top);
        if self.names.contains(&name) {
            return true;
        }
        // `python-foo`, `foo-python`, `foo-sdk` and `google-cloud-foo` commonly have `foo`, and nobody declares them for anything else.
        self.names
            .iter()
            .any(|package| package.split('-').any(|part| part == name) || package.replace('-', "") == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_have_packages() {
        assert!(advice_for("PIL.Image").contains("`pillow`"));
        assert!(!advice_for("some_thing.x").contains('`'));
        assert!(is_standard("tomllib") && is_standard("telnetlib") && !is_standard("requests"));
    }

    #[test]
    fn declared_packages_have_modules() {
        let mut packages = Packages::default();
        for line in [
            "Pillow>=10 # x",
            "opencv-python-headless",
            "google-genai",
            "ruamel.yaml[jinja2]==1",
            "# scipy",
            "-r x",
            "pandas",
        ] {
            packages.add(line);
        }
        packages.add_project("[project]\nname = 'my-tool'\ndependencies = ['rich>=1']\n[dependency-groups]\ndev = ['pytest', {include-group = 'x'}]\n");
        packages.bring();
        for module in
            ["PIL.Image", "cv2", "google.genai", "ruamel.yaml", "my_tool", "rich.table", "pytest", "numpy"]
        {
            assert!(packages.have(module), "{module}");
        }
        for module in ["scipy", "yaml", "requests"] {
            assert!(!packages.have(module), "{module}");
        }
    }
}
