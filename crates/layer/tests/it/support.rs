//! What the tests share: which tools are here, a cache of one's own, and wheels made on the spot.

use std::{
    env,
    ffi::OsString,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use layer::{Config, Event, Requirements, Resolver, Source, Step, Target, ToolChoice};
use zip::write::SimpleFileOptions;

/// The sandbox's Python on the embedded default.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// The tools of this machine. One that is missing is said, and fails the test when `REQUIRE` names it.
pub(crate) fn tools() -> Vec<ToolChoice> {
    let required = env::var("REQUIRE").unwrap_or_default();
    let works = |program: &str, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let pip = works(PYTHON, &["-m", "pip"])
        || works("pip3", &[])
        || works("pip", &[])
        || works("python3", &["-m", "pip"]);
    let mut tools = Vec::new();
    for (tool, name, here) in [(ToolChoice::Uv, "uv", works("uv", &[])), (ToolChoice::Pip, "pip", pip)] {
        if here {
            tools.push(tool);
        } else {
            assert!(!required.split(',').any(|required| required == name), "{name} is required and not here");
            println!("skipped: no {name}");
        }
    }
    tools
}

/// A cache directory and a folder of wheels, removed at the end.
pub(crate) struct Place {
    root: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("wheels")).unwrap();
        Self { root }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Against the configured index.
    pub(crate) fn config(&self, tool: ToolChoice) -> Config {
        let target = Target::of_interpreter(Path::new(PYTHON)).unwrap();
        Config { tool, ..Config::new(self.path("layers"), target) }
    }

    /// Against the folder of wheels only.
    pub(crate) fn local(&self, tool: ToolChoice) -> Config {
        let mut config = self.config(tool);
        config.environment.retain(|(name, _)| {
            let name = name.to_string_lossy();
            !name.starts_with("PIP_") && !name.starts_with("UV_")
        });
        let wheels = self.path("wheels").into_os_string();
        let set: [(&str, OsString); 6] = [
            ("PIP_CONFIG_FILE", "/dev/null".into()),
            ("PIP_NO_INDEX", "1".into()),
            ("PIP_FIND_LINKS", wheels.clone()),
            ("UV_NO_INDEX", "1".into()),
            ("UV_FIND_LINKS", wheels),
            // Wheels of the same name differ from test to test.
            ("UV_CACHE_DIR", self.path("uv").into()),
        ];
        config.environment.extend(set.map(|(name, value)| (name.into(), value)));
        config
    }

    /// Puts a wheel into the folder, with these files beside its metadata.
    pub(crate) fn wheel(&self, name: &str, version: &str, requires: &[&str], files: &[(&str, &str)]) {
        let info = format!("{name}-{version}.dist-info");
        let mut metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
        for requirement in requires {
            metadata.push_str(&format!("Requires-Dist: {requirement}\n"));
        }
        let wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
        let mut files: Vec<(String, String)> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        files.push((format!("{info}/METADATA"), metadata));
        files.push((format!("{info}/WHEEL"), wheel.to_owned()));
        let record: String = files.iter().map(|(path, _)| format!("{path},,\n")).collect();
        files.push((format!("{info}/RECORD"), format!("{record}{info}/RECORD,,\n")));
        let path = self.path("wheels").join(format!("{name}-{version}-py3-none-any.whl"));
        let mut archive = zip::ZipWriter::new(fs::File::create(path).unwrap());
        for (path, text) in files {
            archive.start_file(path, SimpleFileOptions::default()).unwrap();
            archive.write_all(text.as_bytes()).unwrap();
        }
        archive.finish().unwrap();
    }

    /// Nothing of a build is left.
    #[track_caller]
    pub(crate) fn assert_no_build(&self) {
        let building = self.path("layers").join(".building");
        let left: Vec<_> = fs::read_dir(building).unwrap().flatten().map(|entry| entry.path()).collect();
        assert_eq!(left, Vec::<PathBuf>::new());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Layers are read-only, which keeps everyone but root from removing them.
        let path = self.root.path().to_owned();
        let _removed_below_anyway = Command::new("chmod").arg("-R").arg("u+w").arg(path).status().is_ok();
    }
}

pub(crate) fn requirements(text: &str) -> Requirements {
    let source = Source { name: "requirements.txt".to_owned(), text: text.to_owned() };
    Requirements { sources: vec![source], requires_python: None }
}

/// Records the steps of a build.
#[derive(Default)]
pub(crate) struct Steps(Mutex<Vec<(Step, Vec<String>)>>);

impl Steps {
    pub(crate) fn record(&self, event: Event<'_>) {
        self.0.lock().unwrap().push((event.step, event.packages.to_vec()));
    }

    pub(crate) fn names(&self) -> Vec<Step> {
        self.0.lock().unwrap().iter().map(|(step, _)| *step).collect()
    }

    pub(crate) fn packages(&self, step: Step) -> Vec<String> {
        let steps = self.0.lock().unwrap();
        steps
            .iter()
            .find(|(found, _)| *found == step)
            .map(|(_, packages)| packages.clone())
            .unwrap_or_default()
    }
}

/// Resolves with a resolver of its own, as each process has.
pub(crate) async fn resolve(config: &Config, text: &str) -> Result<Option<layer::Layer>, layer::LayerError> {
    Resolver::new(config.clone()).resolve(&requirements(text), &|_| {}).await
}
