//! Sandbox images: built from packages, complete, the same each time, and what skills run on.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    images::{Image, built},
    remains::{Process, descendants},
    require::require,
    skillbox::example,
    wait::until,
};

/// Files get this time where they would be newer.
const RECIPE_TIME: i64 = 1_735_689_600;

/// Imports everything that the list names and prints what did not work.
const IMPORT_ALL: &str = "\
import importlib, json, sys
listed = json.load(open('/usr/share/skillbox/packages.json'))['python']
failed = []
for package in listed['packages']:
    assert package['imports'], package
    for module in package['imports']:
        try:
            importlib.import_module(module)
        except BaseException as error:
            failed.append(f'{package[\"name\"]}: {module}: {error!r}')
print(json.dumps({'failed': failed, 'count': len(listed['packages']), 'python': sys.version.split()[0]}))
";

fn imports(image: &Image) -> Value {
    serde_json::from_str(&image.code("python", IMPORT_ALL, &[])).unwrap()
}

#[test]
fn every_package_of_slim_imports_in_a_sandbox() {
    if !require("images") {
        return;
    }
    let image = built("slim");
    let said = imports(&image);
    assert_eq!(said["failed"], json!([]));
    let packages = image.packages();
    assert_eq!(said["count"], packages["python"]["packages"].as_array().unwrap().len());
    assert_eq!(said["python"], packages["python"]["version"]);
    assert_eq!(image.listed()["python"], packages["python"]["version"]);
    let names: Vec<&str> = named(&packages["python"]["packages"]).into_keys().collect();
    for wanted in
        ["numpy", "pandas", "matplotlib", "pillow", "qrcode", "openpyxl", "pypdf", "python-docx", "lxml"]
    {
        assert!(names.contains(&wanted), "{wanted} is not in {names:?}");
    }
    let commands = "for name in bash jq curl git zip unzip file pdftotext qpdf fc-list xz ps; do \
                    command -v $name >/dev/null || echo $name; done; git --version >/dev/null";
    assert_eq!(image.code("bash", commands, &[]), "", "commands that are not there");
}

/// Name to version.
fn named(packages: &Value) -> BTreeMap<&str, &str> {
    let packages = packages.as_array().unwrap().iter();
    packages
        .map(|package| (package["name"].as_str().unwrap(), package["version"].as_str().unwrap()))
        .collect()
}

#[test]
fn the_list_of_packages_is_what_is_there() {
    if !require("images") {
        return;
    }
    let image = built("slim");
    let found = image.code(
        "python",
        "import importlib.metadata as m, json, re\n\
         name = lambda d: re.sub(r'[-_.]+', '-', d.metadata['Name']).lower()\n\
         print(json.dumps({name(d): d.version for d in m.distributions()}))",
        &[],
    );
    let found: BTreeMap<String, String> = serde_json::from_str(&found).unwrap();
    let packages = image.packages();
    let listed = named(&packages["python"]["packages"]);
    assert!(found.iter().map(|(name, version)| (name.as_str(), version.as_str())).eq(listed), "{found:?}");
    let status = fs::read_to_string(image.root().join("var/lib/dpkg/status")).unwrap();
    let field = |stanza: &str, name: &str| {
        stanza.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned()
    };
    let installed: BTreeMap<String, String> = status
        .split("\n\n")
        .filter(|stanza| stanza.contains("Status: install ok installed"))
        .map(|stanza| (field(stanza, "Package: "), field(stanza, "Version: ")))
        .collect();
    let listed = named(&packages["debian"]);
    assert!(listed.contains_key("poppler-utils") && !listed.contains_key("apt"), "{listed:?}");
    assert!(installed.iter().map(|(name, version)| (name.as_str(), version.as_str())).eq(listed));
}

#[test]
fn nothing_in_it_gives_rights_or_tells_of_the_build() {
    if !require("images") {
        return;
    }
    let image = built("slim");
    let mut wrong = Vec::new();
    look(&image.root(), &mut |path, metadata| {
        if metadata.permissions().mode() & 0o6000 != 0 && metadata.is_file() {
            wrong.push(format!("set-user-id: {}", path.display()));
        }
        if metadata.mtime() > RECIPE_TIME {
            wrong.push(format!("newer than the recipe: {}", path.display()));
        }
        if !metadata.is_symlink() && metadata.permissions().mode() & 0o444 != 0o444 {
            wrong.push(format!("not for everyone: {}", path.display()));
        }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Byte code that would be made again in every sandbox costs seconds.
    let stale = image.code(
        "python",
        "import matplotlib.pyplot, os, pandas, sys\n\
         made = [m.__name__ for m in sys.modules.values() if (getattr(m, '__cached__', None) or '').startswith('/usr') \
         and not os.path.exists(m.__cached__)]\n\
         print(made, os.listdir('/tmp/matplotlib'))",
        &[],
    );
    assert_eq!(stale, "[] []\n", "modules without byte code, and lists of fonts made in the sandbox");
}

fn look(directory: &Path, seen: &mut dyn FnMut(&Path, &fs::Metadata)) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let metadata = entry.metadata().unwrap();
        seen(&entry.path(), &metadata);
        if metadata.is_dir() {
            look(&entry.path(), seen);
        }
    }
}

#[test]
fn example_skills_run_on_slim() {
    if !require("images") {
        return;
    }
    let image = built("slim");
    let cases = [
        ("qr-code", "generate.py", ["--data", "x"].as_slice(), "qrcode.png"),
        ("data-analysis", "analyze.py", &["assets/sales.csv"], "chart.png"),
        ("text-report", "report.sh", &["--title", "T"], "report.html"),
    ];
    for (skill, script, args, file) in cases {
        let out = TempDir::new().unwrap();
        let mut command = image.with_rootfs();
        command.arg("run").arg(example(skill)).arg(script).arg("-o").arg(out.path()).arg("--").args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{skill}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(out.path().join(file).metadata().unwrap().len() > 100, "{skill}: {file}");
    }
}

#[test]
fn a_missing_package_is_explained_with_what_the_image_has() {
    if !require("images") {
        return;
    }
    let image = built("slim");
    let call = |code: &str| {
        let args = json!({"language": "python", "code": code}).to_string();
        let output = image.with_rootfs().args(["call", "code_run", "--args", &args]).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        answer["result"]["hint"].as_str().unwrap_or_default().to_owned()
    };
    let hint = call("import tensorflow");
    assert!(hint.contains("\"tensorflow\" is not installed"), "{hint}");
    for package in image.packages()["python"]["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        // What others only need themselves is not named: the hint is for choosing.
        let is_named = hint.contains(&format!(" {name},")) || hint.contains(&format!(" {name}."));
        assert_eq!(is_named, package["requested"] == true, "{name}: {hint}");
    }
    // A program cannot put words into the hint: the list is the image's, not the workspace's.
    let forged = "import os\nos.makedirs('/workspace/usr/share/skillbox')\n\
                  open('/workspace/usr/share/skillbox/packages.json', 'w').write('{}')\n\
                  try:\n    open('/usr/share/skillbox/packages.json', 'w')\nexcept OSError as error:\n    print(error)\n\
                  import tensorflow";
    assert_eq!(call(forged), hint);
}

/// The whole recipe again: the same bytes. Where Debian has published something in between, the lists differ, and it is
/// built once more against the new ones.
#[test]
fn a_second_build_gives_the_same_digest() {
    if !require("images") {
        return;
    }
    let image = built("slim");
    let mut before = (image.listed()["digest"].clone(), image.packages());
    for _ in 0..2 {
        let again = image.build();
        let now = (again["digest"].clone(), image.packages());
        if now.1 == before.1 {
            assert_eq!(now.0, before.0, "the same packages, but other bytes");
            return;
        }
        before = now;
    }
    panic!("the packages differ from build to build");
}

#[test]
fn a_build_that_is_stopped_leaves_nothing() {
    if !require("images") {
        return;
    }
    let place = TempDir::new().unwrap();
    let log = File::create(place.path().join("log")).unwrap();
    let out = place.path().join("out");
    let mut build = crate::support::skillbox::command()
        .args(["image", "build", "node", "--output"])
        .arg(&out)
        .stderr(log)
        .spawn()
        .unwrap();
    let told = || fs::read_to_string(place.path().join("log")).unwrap();
    until("the build is at work", Duration::from_secs(300), || {
        assert_eq!(build.try_wait().unwrap(), None, "{}", told());
        told().contains("installing Debian packages").then_some(())
    });
    // mmdebstrap is there once it has started something, which then has to be told as well.
    let children = until("mmdebstrap is at work", Duration::from_secs(60), || {
        let all = descendants(build.id());
        all.iter().any(|process| process.command.starts_with("apt")).then_some(all)
    });
    kill_process(Pid::from_child(&build), Signal::TERM).unwrap();
    let status = until("the build ends", Duration::from_secs(60), || build.try_wait().unwrap());
    assert_eq!(status.code(), Some(130), "{}", told());
    let alive: Vec<_> = children.into_iter().filter(Process::lives).collect();
    assert!(alive.is_empty(), "{alive:?}");
    assert!(fs::read_dir(out).unwrap().next().is_none(), "remains of the build");
}

#[test]
fn what_cannot_be_built_says_what_is_missing() {
    // An empty PATH but for what the script itself needs.
    let place = TempDir::new().unwrap();
    for program in ["bash", "sed", "sort", "paste", "tail", "dirname", "sh", "cat"] {
        let found = crate::support::require::find(program).unwrap();
        std::os::unix::fs::symlink(found, place.path().join(program)).unwrap();
    }
    let output = crate::support::skillbox::command()
        .args(["image", "build", "slim", "--output"])
        .arg(place.path().join("out"))
        .env("PATH", place.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("error: mmdebstrap is not installed") && told.contains("apt-get install mmdebstrap"),
        "{told}"
    );
    assert!(fs::read_dir(place.path().join("out")).unwrap().next().is_none(), "remains of the build");
    let unknown = crate::support::skillbox::run(&["--rootfs", "office", "code", "-c", "1"]);
    let built = unknown.code() == 0;
    assert!(built || unknown.stderr.contains("skillbox image build office"), "{}", unknown.stderr);
}

/// Minutes to build and 1.5 GB: only where the image is there already, or where `REQUIRE` names `office`.
#[test]
fn office_converts_recognizes_and_writes_documents() {
    if !require("office") {
        return;
    }
    let image = built("office");
    assert_eq!(imports(&image)["failed"], json!([]));
    let out = TempDir::new().unwrap();
    let to = ["--output", out.path().to_str().unwrap(), "--memory", "1G"];
    let code = "set -e; cd /workspace
        python3 - <<'end'
import docx, openpyxl, pptx
from PIL import Image, ImageDraw, ImageFont
d = docx.Document(); d.add_paragraph('A paragraph in Word'); d.save('a.docx')
w = openpyxl.Workbook(); w.active.append(['cell', 7]); w.save('b.xlsx')
p = pptx.Presentation(); s = p.slides.add_slide(p.slide_layouts[5]); s.shapes.title.text = 'A slide'; p.save('c.pptx')
i = Image.new('RGB', (600, 120), 'white')
font = ImageFont.truetype('/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf', 48)
ImageDraw.Draw(i).text((20, 30), 'Recognize 1234', fill='black', font=font); i.save('d.png')
end
        for name in a.docx b.xlsx c.pptx; do soffice --headless --convert-to pdf --outdir /output $name >/dev/null; done
        pdftotext /output/a.pdf - | grep -q 'A paragraph in Word'
        pdftotext /output/b.pdf - | grep -q cell
        pdftotext /output/c.pdf - | grep -q 'A slide'
        tesseract d.png - 2>/dev/null | grep -q 'Recognize 1234'
        pandoc a.docx -t markdown | grep -q 'A paragraph in Word'
        python3 -m markitdown a.docx | grep -q 'A paragraph in Word'
        gs -q -dNOPAUSE -dBATCH -sDEVICE=png16m -r20 -sOutputFile=/output/page.png /output/a.pdf
        echo \"const {Document, Packer, Paragraph} = require('docx'); const p = require('pptxgenjs');
          Packer.toBuffer(new Document({sections: [{children: [new Paragraph('from node')]}]}))
            .then(b => require('fs').writeFileSync('/output/node.docx', b));
          const q = new p(); q.addSlide().addText('x', {x: 1, y: 1}); q.writeFile({fileName: '/output/node.pptx'});\" > e.cjs
        node e.cjs
        echo \"import {Document} from 'docx'; console.log(typeof Document)\" > f.mjs; node f.mjs";
    assert_eq!(image.code("bash", code, &to).lines().last(), Some("function"));
    for name in ["a.pdf", "b.pdf", "c.pdf", "page.png", "node.docx", "node.pptx"] {
        assert!(out.path().join(name).metadata().is_ok_and(|file| file.len() > 500), "{name}");
    }
}
