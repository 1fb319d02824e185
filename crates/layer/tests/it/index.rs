//! Against the configured package index: what the example skills require, and what failures look like.

use std::{fs, path::Path, process::Command, time::Instant};

use layer::{LayerError, Resolver};

use crate::support::{PYTHON, Place, requirements, resolve, tools};

fn examples() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../skills-examples"))
}

#[tokio::test]
async fn the_qr_code_skill_runs_on_its_layer() {
    let skill = examples().join("qr-code");
    let text = fs::read_to_string(skill.join("requirements.txt")).unwrap();
    let mut digests = Vec::new();
    for tool in tools() {
        let place = Place::new();
        let resolver = Resolver::new(place.config(tool));
        let layer = resolver.resolve(&requirements(&text), None, &|_| {}).await.unwrap().unwrap();
        let names: Vec<&str> = layer.packages.iter().map(|package| package.name.as_str()).collect();
        assert!(names.contains(&"qrcode") && names.contains(&"pillow"), "{names:?}");

        let output = Command::new(PYTHON)
            .args(["scripts/generate.py", "--data", "https://octavus.ai"])
            .current_dir(&skill)
            .env_clear()
            .env("PYTHONUSERBASE", &layer.directory)
            .env("OUTPUT_DIR", place.path("out"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let image = fs::read(place.path("out/qrcode.png")).unwrap();
        assert!(image.starts_with(b"\x89PNG\r\n\x1a\n"), "{tool:?}");
        digests.push((layer.packages, image));

        let mut times: Vec<_> = (0..21)
            .map(|_| {
                let resolver = Resolver::new(place.config(tool));
                let asked = requirements(&text);
                async move {
                    let start = Instant::now();
                    resolver
                        .resolve(&asked, None, &|_| panic!("the second run worked"))
                        .await
                        .unwrap()
                        .unwrap();
                    start.elapsed()
                }
            })
            .collect::<Vec<_>>();
        let mut measured = Vec::new();
        for time in times.drain(..) {
            measured.push(time.await);
        }
        measured.sort();
        println!("{tool:?}: a cached layer takes {:?}", measured[10]);
        assert!(measured[10].as_millis() < 10, "{measured:?}");
    }
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "the tools disagree");
}

#[tokio::test]
async fn the_data_analysis_skill_runs_on_its_layer() {
    let skill = examples().join("data-analysis");
    let text = fs::read_to_string(skill.join("requirements.txt")).unwrap();
    let Some(tool) = tools().into_iter().next() else { return };
    let place = Place::new();
    let layer = resolve(&place.config(tool), &text).await.unwrap().unwrap();
    let output = Command::new(PYTHON)
        .args(["scripts/analyze.py", "assets/sales.csv", "--x", "region", "--y", "revenue"])
        .current_dir(&skill)
        .env_clear()
        .env("PYTHONUSERBASE", &layer.directory)
        .env("OUTPUT_DIR", place.path("out"))
        .env("MPLCONFIGDIR", place.path("matplotlib"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(fs::read(place.path("out/chart.png")).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
    let summary = fs::read_to_string(place.path("out/summary.json")).unwrap();
    assert!(summary.contains("\"rows\": 24") && summary.contains("\"aggregate\": \"sum\""), "{summary}");
}

#[tokio::test]
async fn failures_name_the_package() {
    for tool in tools() {
        let place = Place::new();
        for (text, package) in [
            ("skillbox-no-such-package-for-tests\n", "skillbox-no-such-package-for-tests"),
            ("six>=1\nqrcode==99.0\n", "qrcode==99.0"),
            ("docopt==0.6.2\n", "docopt"),
        ] {
            let error = resolve(&place.config(tool), text).await.unwrap_err();
            let LayerError::Failed { package: Some(found), detail, .. } = &error else {
                panic!("{tool:?}: {error:?}")
            };
            assert!(found.starts_with(package), "{tool:?}: {error}");
            assert!(error.to_string().len() < 250 && !detail.is_empty(), "{tool:?}: {error}");
            assert!(error.is_fault_of_skill());
        }
        // An index that cannot be reached is no fault of the skill.
        let mut config = place.config(tool);
        config.environment.extend([
            ("HTTPS_PROXY".into(), "http://127.0.0.1:9".into()),
            ("https_proxy".into(), "http://127.0.0.1:9".into()),
            ("HTTP_PROXY".into(), "http://127.0.0.1:9".into()),
            ("http_proxy".into(), "http://127.0.0.1:9".into()),
            ("NO_PROXY".into(), "".into()),
            ("no_proxy".into(), "".into()),
            ("PIP_RETRIES".into(), "1".into()),
            ("PIP_NO_CACHE_DIR".into(), "1".into()),
            ("UV_NO_CACHE".into(), "1".into()),
        ]);
        let error = resolve(&config, "six==1.16.0").await.unwrap_err();
        assert!(!error.is_fault_of_skill(), "{tool:?}: {error}");
        assert!(error.to_string().contains("the package index could not be reached"), "{tool:?}: {error}");
        place.assert_no_build();
    }
}
