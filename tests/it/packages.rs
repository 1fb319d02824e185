//! Packages of skills, from outside: what a script finds, where, and that making them ready harms nobody.
//!
//! Wheels are made on the spot and lie in a directory that stands for the index.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

use crate::support::{
    remains::descendants,
    require::require,
    serve::{Options, Serve, call, python},
    skillbox,
    wait::until,
};

/// A cache of its own, wheels, and skills that need them.
struct Place {
    root: TempDir,
}

impl Place {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        for name in ["wheels", "cache", "skills"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        Self { root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn wheel(&self, name: &str, files: &[(&str, &str)]) {
        let info = format!("{name}-1.0.dist-info");
        let mut all: Vec<(String, String)> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        all.push((
            format!("{info}/METADATA"),
            format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"),
        ));
        all.push((
            format!("{info}/WHEEL"),
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned(),
        ));
        let record: String = all.iter().map(|(path, _)| format!("{path},,\n")).collect();
        all.push((format!("{info}/RECORD"), format!("{record}{info}/RECORD,,\n")));
        let path = self.path("wheels").join(format!("{name}-1.0-py3-none-any.whl"));
        let mut archive = zip::ZipWriter::new(fs::File::create(path).unwrap());
        for (path, text) in all {
            archive.start_file(path, SimpleFileOptions::default()).unwrap();
            archive.write_all(text.as_bytes()).unwrap();
        }
        archive.finish().unwrap();
    }

    fn skill(&self, name: &str, requirements: &str, script: &str) -> PathBuf {
        let folder = self.path("skills").join(name);
        fs::create_dir_all(folder.join("scripts")).unwrap();
        let text = format!(
            "---\nname: {name}\ndescription: Tests packages. Use when packages are tested.\n---\n\n# {name}\n"
        );
        fs::write(folder.join("SKILL.md"), text).unwrap();
        fs::write(folder.join("requirements.txt"), requirements).unwrap();
        fs::write(folder.join("scripts/main.py"), script).unwrap();
        folder
    }

    fn env(&self) -> Vec<(String, String)> {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        vec![
            ("XDG_CACHE_HOME".to_owned(), text(self.path("cache"))),
            ("PIP_CONFIG_FILE".to_owned(), "/dev/null".to_owned()),
            ("PIP_NO_INDEX".to_owned(), "1".to_owned()),
            ("PIP_FIND_LINKS".to_owned(), text(self.path("wheels"))),
        ]
    }

    fn run(&self, skill: &Path) -> skillbox::Ran {
        let mut command = skillbox::command();
        command.env_remove("UV_INDEX_URL").env_remove("UV_DEFAULT_INDEX").env_remove("PIP_INDEX_URL");
        command.envs(self.env());
        let output = command.arg("run").arg(skill).arg("scripts/main.py").current_dir(self.path("")).output();
        skillbox::Ran::of(output.unwrap())
    }

    fn serve(&self) -> Serve {
        Serve::with(&Options { env: self.env(), skills: Some(self.path("skills")), ..Options::default() })
    }

    /// The receipts of all layers.
    fn receipts(&self) -> Vec<Value> {
        let layers = fs::read_dir(self.path("cache/skillbox/layers")).unwrap().flatten();
        let receipts = layers.filter_map(|entry| fs::read(entry.path().join("manifest.json")).ok());
        receipts.map(|bytes| serde_json::from_slice(&bytes).unwrap()).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Layers are read-only, which keeps everyone but root from removing them.
        let _removed_below_anyway =
            Command::new("chmod").arg("-R").arg("u+w").arg(self.root.path()).status().is_ok();
    }
}

#[test]
fn the_standard_library_comes_before_packages_and_commands_after_the_systems() {
    if !require("native") {
        return;
    }
    let place = Place::new();
    place.wheel(
        "kit",
        &[
            ("kit.py", "import sys\nanswer = 42\ndef main():\n    print('kit', sys.argv[1])\n"),
            ("enum.py", "raise SystemExit('the enum of a package')\n"),
            ("random.py", "raise SystemExit('the random of a package')\n"),
            ("sitecustomize.py", "print('the sitecustomize of a package')\n"),
            ("usercustomize.py", "print('the usercustomize of a package')\n"),
            (
                "kit-1.0.dist-info/entry_points.txt",
                "[console_scripts]\nkit = kit:main\npython3 = kit:main\nls = kit:main\n",
            ),
        ],
    );
    let script = "import enum, json, multiprocessing, os, random, re, subprocess, sys\nimport kit\n\
        def child(queue):\n    import kit\n    queue.put(kit.answer)\n\
        if __name__ == '__main__':\n\
        \x20   print(kit.answer, kit.__file__.startswith('/layers/'))\n\
        \x20   print(subprocess.run(['kit', 'a'], capture_output=True, text=True).stdout.strip())\n\
        \x20   print(subprocess.run('kit b; ls /workspace', shell=True, capture_output=True, text=True).stdout.strip())\n\
        \x20   print(subprocess.run([sys.executable, '-c', 'import kit; print(kit.answer)'], capture_output=True, text=True).stdout.strip())\n\
        \x20   context = multiprocessing.get_context('spawn')\n\
        \x20   queue = context.Queue()\n\
        \x20   process = context.Process(target=child, args=(queue,))\n\
        \x20   process.start(); print(queue.get()); process.join()\n";
    let skill = place.skill("kit-user", "kit\n", script);
    let ran = place.run(&skill).success();
    assert_eq!(ran.stdout, "42 True\nkit a\nkit b\n42\n42\n", "{}", ran.stderr);
}

#[test]
fn a_script_sees_the_packages_of_its_own_skill_alone() {
    if !require("native") {
        return;
    }
    let place = Place::new();
    place.wheel("first", &[("first.py", "x = 1\n"), ("shared.py", "owner = 'first'\n")]);
    place.wheel("second", &[("second.py", "x = 2\n"), ("shared.py", "owner = 'second'\n")]);
    let script = "import importlib.util as u, shared\nprint(shared.owner, bool(u.find_spec('first')), bool(u.find_spec('second')))\n";
    place.skill("first-user", "first\n", script);
    place.skill("second-user", "second\n", script);
    place.skill(
        "nothing-user",
        "",
        "import importlib.util as u\nprint(bool(u.find_spec('first')), bool(u.find_spec('shared')))\n",
    );
    let server = place.serve();
    let slugs = ["first-user", "second-user", "nothing-user"];
    server.request("PUT", "/v1/triggers/t").json(&json!({ "skills": slugs })).send().expect(200);
    let run = |skill: &str| {
        let result =
            server.result("t", &call("skill_run", &json!({ "skill": skill, "script": "scripts/main.py" })));
        result["stdout"].as_str().unwrap_or_else(|| panic!("{result}")).to_owned()
    };
    assert_eq!(run("first-user"), "first True False\n");
    assert_eq!(run("second-user"), "second False True\n");
    assert_eq!(run("nothing-user"), "False False\n");
    // Code has those of all, since they agree in versions.
    let code = python("import first, second; print(first.x + second.x)");
    assert_eq!(server.result("t", &code)["stdout"], "3\n");
}

#[test]
fn byte_code_is_made_in_a_sandbox_and_a_source_that_bombs_stays_without() {
    if !require("cgroup") {
        return;
    }
    // Each `finally` is compiled twice, so the innermost lines half a million times: gigabytes from two kilobytes.
    let mut bomb = String::new();
    for depth in 0..19 {
        let space = " ".repeat(depth);
        bomb.push_str(&format!("{space}try:pass\n{space}finally:\n"));
    }
    for _ in 0..60 {
        bomb.push_str(&format!("{}a.b(c)\n", " ".repeat(19)));
    }
    let place = Place::new();
    place.wheel("bomb", &[("bomb.py", &bomb), ("fine.py", "x = 1\n")]);
    place.wheel("good", &[("good.py", "x = 1\n"), ("broken.py", "def (:\n")]);
    let bombed = place.skill("bomb-user", "bomb\n", "import fine; print(fine.x)\n");
    assert_eq!(place.run(&bombed).success().stdout, "1\n");
    let receipts = place.receipts();
    assert_eq!(receipts.len(), 1);
    assert_eq!(receipts[0]["compiled"], false, "{}", receipts[0]);

    let sound = place.skill(
        "good-user",
        "good\n",
        "import good; print(good.__cached__, good.__spec__.loader.get_filename())\n",
    );
    let ran = place.run(&sound).success();
    assert!(ran.stdout.contains("/__pycache__/good.cpython-"), "{}", ran.stdout);
    let receipt =
        place.receipts().into_iter().find(|receipt| receipt["packages"][0]["name"] == "good").unwrap();
    assert_eq!(receipt["compiled"], true, "{receipt}");
    let content = place.path("cache/skillbox/layers").join(receipt["key"].as_str().unwrap()).join("content");
    let found = Command::new("find").arg(&content).args(["-name", "*.pyc"]).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    assert_eq!(found.lines().count(), 1, "{found}");
    let code = fs::read(found.trim()).unwrap();
    // Flags of a byte code file: 1 is a hash that is not checked.
    assert_eq!(code[4..8], [1, 0, 0, 0]);
    let cache = place.path("cache");
    let cache = cache.to_str().unwrap().as_bytes();
    assert!(!code.windows(cache.len()).any(|window| window == cache));
}

#[test]
fn package_tools_end_with_a_runner_that_is_killed() {
    if !require("native") {
        return;
    }
    let place = Place::new();
    let skill = place.skill("kit-user", "kit\n", "import kit\n");
    // An index that takes the connection and says nothing: the tool waits for it as long as it lives.
    let index = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = skillbox::command();
    command
        .envs(place.env())
        .env_remove("PIP_NO_INDEX")
        .env_remove("UV_INDEX_URL")
        .env_remove("UV_DEFAULT_INDEX");
    command.env("PIP_INDEX_URL", format!("http://{}/simple/", index.local_addr().unwrap()));
    let mut runner = command
        .arg("run")
        .arg(&skill)
        .arg("scripts/main.py")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Someone asks for the package: a tool is at work.
    let (_held, _) = index.accept().unwrap();
    let tools: Vec<_> =
        descendants(runner.id()).into_iter().filter(|process| process.command != "skillbox").collect();
    assert!(!tools.is_empty(), "no tool is to be seen: {:?}", descendants(runner.id()));
    let pid = Pid::from_raw(i32::try_from(runner.id()).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    runner.wait().unwrap();
    until("every tool is gone", Duration::from_secs(30), || {
        tools.iter().all(|process| !process.lives()).then_some(())
    });
}
