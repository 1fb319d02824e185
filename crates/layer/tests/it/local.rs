//! With wheels made here and no network: the life of a layer, and packages that attack.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command, time::Duration};

use layer::{LayerError, Policy, Resolver, Step, ToolChoice};

use crate::support::{Index, PYTHON, Place, Reply, Steps, requirements, resolve, tools};

/// Runs code with the layer on the path, as a sandbox would.
fn python(layer: &Path, code: &str) -> String {
    let output =
        Command::new(PYTHON).args(["-c", code]).env_clear().env("PYTHONUSERBASE", layer).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_layer_is_made_once_and_then_only_read() {
    for tool in tools() {
        let place = Place::new();
        place.wheel("base", "1.5", &[], &[("base.py", "answer = 42\n")]);
        place.wheel("base", "2.0", &[], &[("base.py", "answer = 0\n")]);
        place.wheel("top", "1.0", &["base<2"], &[("top/__init__.py", "from base import answer\n")]);
        let resolver = Resolver::new(place.local(tool));
        let steps = Steps::default();
        let first = resolver
            .resolve(&requirements("top>=1 # why\n"), None, &|event| steps.record(event))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            steps.names(),
            [Step::Resolving, Step::Installing, Step::Compiling, Step::Ready],
            "{tool:?}"
        );
        assert_eq!(steps.packages(Step::Resolving), ["top>=1"]);
        assert_eq!(steps.packages(Step::Installing), ["base==1.5", "top==1.0"]);
        assert_eq!(python(&first.directory, "import top; print(top.answer)"), "42\n");
        place.assert_no_build();

        // The second run may not ask anyone: no tool is on the path, and the wheels are gone.
        fs::remove_dir_all(place.path("wheels")).unwrap();
        let mut config = place.local(tool);
        config.environment = Vec::new();
        config.policy = Policy::Offline;
        let resolver = Resolver::new(config);
        let second =
            resolver.resolve(&requirements("\n\nTOP >= 1"), None, &|_| panic!("it worked")).await.unwrap();
        assert_eq!(second.as_ref(), Some(&first));
    }
}

#[tokio::test]
async fn a_layer_is_read_only_and_free_of_host_paths() {
    for tool in tools() {
        let place = Place::new();
        place.wheel(
            "pkg",
            "1.0",
            &[],
            &[
                ("pkg/__init__.py", "def f(): raise ValueError\n"),
                ("pkg/broken.py", "def (:\n"),
                ("pkg-1.0.dist-info/entry_points.txt", "[console_scripts]\nhello = pkg:f\n"),
            ],
        );
        let layer = resolve(&place.local(tool), "pkg").await.unwrap().unwrap();
        let site = |name: &str| format!("{}/{name}", layer.site);
        let mode =
            |name: &str| fs::metadata(layer.directory.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(
            (mode(""), mode(&site("pkg")), mode(&site("pkg/__init__.py")), mode("bin/hello")),
            (0o555, 0o555, 0o444, 0o555)
        );

        let root = place.path("layers");
        let root = root.to_str().unwrap().as_bytes();
        let bytes = fs::read(layer.directory.join("bin/hello")).unwrap();
        assert!(!bytes.windows(root.len()).any(|window| window == root));
        let script = fs::read_to_string(layer.directory.join("bin/hello")).unwrap();
        assert!(script.starts_with("#!/usr/bin/env python3\n"), "{script}");
    }
}

#[tokio::test]
async fn no_code_of_a_wheel_runs_on_the_host() {
    for tool in tools() {
        let place = Place::new();
        let marker = place.path("it-ran");
        let attack = format!("open({:?}, 'a').write(__name__)\n", marker.to_str().unwrap());
        let pth = format!("import os; open({:?}, 'a').write('pth')\n", marker.to_str().unwrap());
        let modules = [
            "py_compile.py",
            "sitecustomize.py",
            "usercustomize.py",
            "struct.py",
            "concurrent/__init__.py",
            "setup.py",
        ];
        let mut files: Vec<(&str, &str)> = modules.iter().map(|name| (*name, attack.as_str())).collect();
        files.push(("evil.pth", &pth));
        place.wheel("evil", "1.0", &[], &files);
        let layer = resolve(&place.local(tool), "evil").await.unwrap().unwrap();
        assert!(layer.directory.join(&layer.site).join("py_compile.py").is_file());
        assert!(!layer.directory.join(&layer.site).join("sitecustomize.py").exists());
        assert!(!marker.exists(), "{tool:?} ran {}", fs::read_to_string(&marker).unwrap());
        // The attack is a real one: where the module is imported, it leaves its mark.
        python(&layer.directory, "import setup");
        assert!(marker.exists());
    }
}

#[tokio::test]
async fn source_packages_are_not_built() {
    for tool in tools() {
        let place = Place::new();
        let marker = place.path("it-ran");
        let source = place.path("evil-1.0");
        fs::create_dir(&source).unwrap();
        let setup = format!(
            "open({marker:?}, 'w')\nfrom setuptools import setup\nsetup(name='evil', version='1.0')\n"
        );
        fs::write(source.join("setup.py"), setup).unwrap();
        fs::write(source.join("PKG-INFO"), "Metadata-Version: 1.0\nName: evil\nVersion: 1.0\n").unwrap();
        let archive = place.path("wheels").join("evil-1.0.tar.gz");
        let status = Command::new("tar")
            .arg("-czf")
            .arg(archive)
            .arg("-C")
            .arg(place.path(""))
            .arg("evil-1.0")
            .status();
        assert!(status.unwrap().success());
        let error = resolve(&place.local(tool), "evil").await.unwrap_err();
        assert!(
            matches!(&error, LayerError::Failed { package: Some(name), .. } if name == "evil"),
            "{tool:?}: {error}"
        );
        assert!(!marker.exists());
        place.assert_no_build();
    }
}

#[tokio::test]
async fn hostile_requirements_start_nothing() {
    let place = Place::new();
    for text in [
        "-r /etc/passwd",
        "--index-url https://example.org/simple",
        "x @ file:///etc/passwd",
        "./x",
        "git+https://example.org/x",
    ] {
        let error = resolve(&place.local(ToolChoice::Any), &format!("six\n{text}\n")).await.unwrap_err();
        assert!(matches!(error, LayerError::Refused { line: 2, .. }), "{error}");
    }
    // Not even the cache was made.
    assert!(!place.path("layers").exists());
}

#[tokio::test]
async fn the_size_limit_holds() {
    for tool in tools() {
        let place = Place::new();
        place.wheel("bomb", "1.0", &[], &[("bomb.txt", &"0".repeat(8_000_000))]);
        let mut config = place.local(tool);
        config.size_limit = 1_000_000;
        let error = resolve(&config, "bomb").await.unwrap_err();
        assert!(matches!(error, LayerError::TooLarge { limit: 1_000_000 }), "{tool:?}: {error}");
        place.assert_no_build();
        config.size_limit = 9_000_000;
        assert!(resolve(&config, "bomb").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn the_authors_hashes_are_held() {
    for tool in tools() {
        let place = Place::new();
        place.wheel("six", "1.0", &[], &[("six.py", "")]);
        let wheel = place.path("wheels").join("six-1.0-py3-none-any.whl");
        let output = Command::new("sha256sum").arg(wheel).output().unwrap();
        let digest = String::from_utf8(output.stdout).unwrap()[..64].to_owned();
        let wrong = format!("six==1.0 --hash=sha256:{}", "0".repeat(64));
        let error = resolve(&place.local(tool), &wrong).await.unwrap_err();
        assert!(
            matches!(&error, LayerError::HashMismatch { package, .. } if package == "six"),
            "{tool:?}: {error}"
        );
        let right = format!("{wrong} \\\n  --hash=sha256:{digest}\n");
        assert!(resolve(&place.local(tool), &right).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn an_interpreter_without_pip_borrows_another() {
    if !tools().contains(&ToolChoice::Pip) {
        return;
    }
    let place = Place::new();
    let bare = place.path("bare");
    let status = Command::new(PYTHON).args(["-m", "venv", "--without-pip"]).arg(&bare).status().unwrap();
    assert!(status.success());
    place.wheel("new", "1.0", &[], &[("new.py", "")]);
    place.wheel("old", "1.0", &[], &[("old.py", "")]);
    let mut config = place.local(ToolChoice::Pip);
    let version = config.target.version;
    config.target.interpreter = Some(bare.join("bin/python"));
    // Markers are about the sandbox's Python, whichever Python the borrowed pip is installed in.
    let text = format!("new ; python_version == '{version}'\nold ; python_version != '{version}'\n");
    let layer = resolve(&config, &text).await.unwrap().unwrap();
    assert!(
        layer.directory.join(&layer.site).join("new.py").is_file()
            && !layer.directory.join(&layer.site).join("old.py").exists()
    );
}

#[tokio::test]
async fn parallel_resolvers_build_once() {
    for tool in tools() {
        let place = Place::new();
        place.wheel("one", "1.0", &[], &[("one.py", "")]);
        let steps = Steps::default();
        let config = place.local(tool);
        let resolvers: Vec<Resolver> = (0..8).map(|_| Resolver::new(config.clone())).collect();
        let asked = requirements("one");
        let progress = |event: layer::Event<'_>| steps.record(event);
        let mut layers = Vec::new();
        let [a, b, c, d, e, f, g, h] = &resolvers[..] else { panic!() };
        let (a, b, c, d, e, f, g, h) = tokio::join!(
            a.resolve(&asked, None, &progress),
            b.resolve(&asked, None, &progress),
            c.resolve(&asked, None, &progress),
            d.resolve(&asked, None, &progress),
            e.resolve(&asked, None, &progress),
            f.resolve(&asked, None, &progress),
            g.resolve(&asked, None, &progress),
            h.resolve(&asked, None, &progress),
        );
        layers.extend([a, b, c, d, e, f, g, h].map(|layer| layer.unwrap().unwrap()));
        assert!(layers.windows(2).all(|pair| pair[0] == pair[1]));
        let count = |wanted: Step| steps.names().into_iter().filter(|step| *step == wanted).count();
        assert_eq!((count(Step::Installing), count(Step::Waiting)), (1, 7), "{tool:?}");
        place.assert_no_build();
    }
}

#[tokio::test]
async fn a_dropped_or_late_build_leaves_nothing() {
    for tool in tools() {
        let place = Place::new();
        place.wheel("one", "1.0", &[], &[("one.py", "")]);
        for last in [Step::Resolving, Step::Installing, Step::Compiling] {
            let resolver = Resolver::new(place.local(tool));
            let (asked, reached) = (requirements("one"), tokio::sync::Notify::new());
            let progress = |event: layer::Event<'_>| {
                if event.step == last {
                    reached.notify_one();
                }
            };
            tokio::select! {
                biased;
                () = reached.notified() => {}
                layer = resolver.resolve(&asked, None, &progress) => panic!("{layer:?} before {last:?}"),
            }
            place.assert_no_build();
        }
        // An index that does not answer holds the build open.
        let index = Index::start(|_| Reply::Silence);
        let mut config = place.against(tool, &index);
        config.timeout = Duration::from_secs(3);
        let error = resolve(&config, "one").await.unwrap_err();
        let LayerError::TimedOut { package, .. } = &error else { panic!("{error}") };
        assert!(package.as_deref().is_none_or(|package| package == "one"), "{error}");
        place.assert_no_build();
        let mut config = place.local(tool);
        // The lock is free again.
        config.timeout = Duration::from_secs(60);
        assert!(resolve(&config, "one").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn nothing_required_needs_no_layer() {
    let place = Place::new();
    let mut config = place.local(ToolChoice::Any);
    config.environment = Vec::new();
    assert_eq!(resolve(&config, "# nothing\n").await.unwrap(), None);
    let mut asked = requirements("six");
    asked.requires_python = Some(">=3.99".to_owned());
    let error = Resolver::new(config).resolve(&asked, None, &|_| {}).await.unwrap_err();
    assert!(matches!(error, LayerError::PythonMismatch { .. }), "{error}");
    assert!(!place.path("layers").exists());
}

#[tokio::test]
async fn missing_things_are_named_with_what_to_do() {
    let place = Place::new();
    let mut config = place.local(ToolChoice::Any);
    config.policy = Policy::Offline;
    let error = resolve(&config, "qrcode[pil]>=8\nsix").await.unwrap_err();
    assert_eq!(error.to_string(), "the dependencies `qrcode[pil]>=8`, `six` are not in the cache");
    assert!(error.hint().unwrap().contains("without `--offline`"));

    config.policy = Policy::Online;
    config.environment = Vec::new();
    config.target.interpreter = Some("/usr/bin/true".into());
    let error = resolve(&config, "six").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no uv and no usable pip to install `six`");
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("apt-get install python3-pip") && hint.contains("`uv` is not on the path"),
        "{hint}"
    );
    assert!(hint.contains("`/usr/bin/true -m pip`"), "{hint}");
    place.assert_no_build();
}
