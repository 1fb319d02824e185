//! Indexes and packages that attack whoever resolves them, each against both tools.

use std::{
    fs, io::Write as _, os::unix::fs::PermissionsExt as _, path::Path, process::Command, time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use layer::{LayerError, ToolChoice};

use crate::support::{Index, Place, Reply, link, resolve, tools};

/// A source package whose `setup.py` leaves a mark.
fn source(place: &Place, mark: &Path) -> Vec<u8> {
    let folder = place.path("evil-1.0");
    fs::create_dir_all(&folder).unwrap();
    let setup =
        format!("open({mark:?}, 'w')\nfrom setuptools import setup\nsetup(name='evil', version='1.0')\n");
    fs::write(folder.join("setup.py"), setup).unwrap();
    let archive = place.path("evil-1.0.tar.gz");
    let made =
        Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(place.path("")).arg("evil-1.0").status();
    assert!(made.unwrap().success());
    fs::read(archive).unwrap()
}

#[tokio::test]
async fn metadata_that_leads_elsewhere_is_refused_and_nothing_of_it_runs() {
    for tool in tools() {
        let place = Place::new();
        let mark = place.path("it-ran");
        let archive = source(&place, &mark);
        let elsewhere = Index::start(move |_| Reply::Ok("application/gzip", archive.clone()));
        let to_url = format!("evil @ {}", elsewhere.url("/evil-1.0.tar.gz"));
        let to_folder = format!("evil @ file://{}", place.path("evil-1.0").display());
        place.wheel("url", "1.0", &[&to_url], &[("a.py", "")]);
        place.wheel("folder", "1.0", &[&to_folder], &[("a.py", "")]);
        let mut files = vec![];
        let mut pages = vec![];
        for name in ["url", "folder"] {
            pages.push((name, link(&format!("{name}-1.0-py3-none-any.whl"))));
        }
        files.push(("url-1.0-py3-none-any.whl", place.bytes("url", "1.0")));
        files.push(("folder-1.0-py3-none-any.whl", place.bytes("folder", "1.0")));
        let index = Index::of(pages, files);
        for name in ["url", "folder"] {
            let error = resolve(&place.against(tool, &index), name).await.unwrap_err();
            let said = error.to_string();
            assert!(said.contains(&format!("`{name}==1.0`")), "{tool:?}: {said}");
            assert!(said.contains("which is no package of the index"), "{tool:?}: {said}");
            assert!(error.is_fault_of_skill());
        }
        assert!(!mark.exists(), "{tool:?} ran the package's code");
        assert_eq!(elsewhere.asked(), Vec::<String>::new(), "{tool:?}");
        place.assert_no_build();
    }
}

#[tokio::test]
async fn no_page_leads_inside_or_to_this_machines_files() {
    for tool in tools() {
        let place = Place::new();
        place.wheel("kit", "1.0", &[], &[("kit.py", "")]);
        let wheel = place.bytes("kit", "1.0");
        let name = "kit-1.0-py3-none-any.whl";
        let inside = Index::start(move |_| Reply::Ok("application/octet-stream", wheel.clone()));
        let port = inside.url("").rsplit(':').next().unwrap().to_owned();
        let links = [
            inside.url(&format!("/{name}")),
            format!("http://localhost:{port}/{name}"),
            format!("http://127.0.0.2:{port}/{name}"),
            format!("http://[::ffff:127.0.0.1]:{port}/{name}"),
            format!("http://169.254.169.254/{name}"),
            format!("file://{}", place.path("wheels").join(name).display()),
        ];
        for target in links {
            let page = format!("<a href=\"{target}\">kit</a>");
            let index = Index::of(vec![("kit", page)], vec![]);
            let error = resolve(&place.against(tool, &index), "kit").await.unwrap_err();
            assert!(matches!(error, LayerError::Index { .. }), "{tool:?}, {target}: {error}");
            // The same behind a redirection, of the file and of the page.
            for redirected in ["/files/", "/simple/"] {
                let (target, own) = (target.clone(), link(name));
                let index = Index::start(move |path| match path.starts_with(redirected) {
                    true => Reply::To(target.clone()),
                    false => Reply::Ok("text/html", own.clone().into_bytes()),
                });
                let error = resolve(&place.against(tool, &index), "kit").await.unwrap_err();
                assert!(matches!(error, LayerError::Index { .. }), "{tool:?}, {redirected}: {error}");
            }
        }
        assert_eq!(inside.asked(), Vec::<String>::new(), "{tool:?}");
    }
}

#[tokio::test]
async fn pages_metadata_and_archives_are_bounded() {
    let zipped = |size: usize| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"<a href=x>x</a>").unwrap();
        let chunk = vec![b' '; 1 << 20];
        for _ in 0..size >> 20 {
            encoder.write_all(&chunk).unwrap();
        }
        encoder.finish().unwrap()
    };
    let bomb = zipped(64 << 20);
    for tool in tools() {
        let place = Place::new();
        let bomb = bomb.clone();
        let index = Index::start(move |_| Reply::Gzip("text/html", bomb.clone()));
        let error = resolve(&place.against(tool, &index), "kit").await.unwrap_err();
        assert!(error.to_string().contains("`kit`: the index sent more than 32 MiB"), "{tool:?}: {error}");
        assert!(!error.is_fault_of_skill());

        let description = format!("x\n\n{}", "y".repeat(5 << 20));
        place.wheel("long", "1.0", &[&description], &[("a.py", "")]);
        let page = link("long-1.0-py3-none-any.whl");
        let index =
            Index::of(vec![("long", page)], vec![("long-1.0-py3-none-any.whl", place.bytes("long", "1.0"))]);
        let error = resolve(&place.against(tool, &index), "long").await.unwrap_err();
        assert!(
            error.to_string().contains("`long==1.0`: its METADATA file is larger than 4 MiB"),
            "{tool:?}: {error}"
        );
    }
}

#[tokio::test]
async fn what_the_index_answers_is_told_and_not_blamed_on_the_skill() {
    for tool in tools() {
        let place = Place::new();
        for (status, words) in
            [(502, "answered 502"), (403, "answered 403"), (401, "answered 401"), (429, "answered 429")]
        {
            let index = Index::start(move |_| Reply::Status(status));
            let error = resolve(&place.against(tool, &index), "kit").await.unwrap_err();
            assert!(
                error.to_string().contains(words) && error.to_string().contains("`kit`"),
                "{tool:?}: {error}"
            );
            assert!(!error.is_fault_of_skill(), "{tool:?}: {error}");
        }
        let login = Index::start(|_| Reply::Ok("text/html", b"<form action=/login><a href=x>y</a>".to_vec()));
        let error = resolve(&place.against(tool, &login), "kit").await.unwrap_err();
        assert!(error.to_string().contains("a page that is none of an index"), "{tool:?}: {error}");
        let missing = Index::start(|_| Reply::Status(404));
        let error = resolve(&place.against(tool, &missing), "kit").await.unwrap_err();
        assert!(error.is_fault_of_skill(), "{tool:?}: {error}");
    }
}

#[tokio::test]
async fn settings_beside_the_cache_and_of_the_tools_count_for_nothing() {
    for tool in tools() {
        let place = Place::new();
        place.wheel("base", "1.0", &[], &[("base.py", "")]);
        place.wheel("kit", "1.0", &["base"], &[("kit.py", "answer = 1\n")]);
        let foreign = Index::start(|_| Reply::Status(404));
        let settings = format!("[[index]]\nurl = \"{}\"\ndefault = true\n", foreign.url("/simple/"));
        fs::write(place.path("uv.toml"), &settings).unwrap();
        fs::write(place.path("pyproject.toml"), settings.replace("[[index]]", "[[tool.uv.index]]")).unwrap();
        fs::write(place.path(".python-version"), "2.7\n").unwrap();
        let mut config = place.local(tool);
        let home = place.path("home");
        fs::create_dir_all(home.join(".config/pip")).unwrap();
        fs::write(
            home.join(".config/pip/pip.conf"),
            "[install]\nno-deps = true\nprefix = /nowhere\nuser = true\n",
        )
        .unwrap();
        config.environment.retain(|(name, _)| name != "PIP_CONFIG_FILE" && name != "HOME");
        config.environment.push(("HOME".into(), home.into()));
        for (name, value) in [
            ("PIP_NO_DEPS", "1"),
            ("PIP_PREFIX", "/nowhere"),
            ("PIP_TARGET", "/nowhere"),
            ("UV_NO_DEPS", "1"),
        ] {
            config.environment.push((name.into(), value.into()));
        }
        let layer = resolve(&config, "kit").await.unwrap().unwrap();
        let names: Vec<&str> = layer.packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["base", "kit"], "{tool:?}");
        assert_eq!(foreign.asked(), Vec::<String>::new(), "{tool:?}");
    }
}

#[tokio::test]
async fn one_index_does_not_answer_for_another() {
    for tool in tools() {
        let place = Place::new();
        let index = |answer: &str| {
            place.wheel("kit", "1.0", &[], &[("kit.py", answer)]);
            Index::of(
                vec![("kit", link("kit-1.0-py3-none-any.whl"))],
                vec![("kit-1.0-py3-none-any.whl", place.bytes("kit", "1.0"))],
            )
        };
        let (test, real) = (index("answer = 'test'\n"), index("answer = 'real'\n"));
        let first = resolve(&place.against(tool, &test), "kit").await.unwrap().unwrap();
        let second = resolve(&place.against(tool, &real), "kit").await.unwrap().unwrap();
        assert_ne!(first.digest, second.digest, "{tool:?}: what one index had was taken for the other's");
        let receipt = fs::read_to_string(second.directory.parent().unwrap().join("manifest.json")).unwrap();
        assert!(receipt.contains(&real.url("/simple/")), "{receipt}");
    }
}

/// A program in the place of uv reports on the room that it is in.
#[tokio::test]
async fn a_tool_owns_nothing_and_reaches_nobody() {
    let place = Place::new();
    let outside = Index::start(|_| Reply::Status(404));
    let secret = place.path("secret");
    fs::write(&secret, "s3cr3t").unwrap();
    // Reachable for everybody, so that not the modes of directories keep it.
    fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o666)).unwrap();
    let bin = place.path("bin");
    fs::create_dir(&bin).unwrap();
    let port = outside.url("").rsplit(':').next().unwrap().to_owned();
    let probe = format!(
        r#"#!/usr/bin/python3
import os, socket, sys, ctypes
open_ = []
def attack(name, f):
    try:
        f()
        open_.append(name)
    except Exception as e:
        pass
def connect(family, kind, address):
    s = socket.socket(family, kind); s.settimeout(5); s.connect(address)
def root():
    assert os.getuid() == 0 or os.geteuid() == 0
def caps():
    assert 'CapEff:\t0000000000000000' not in open('/proc/self/status').read()
def spare():
    assert [n for n in os.listdir('/proc/self/fd') if int(n) > 3]
def environment():
    assert any('secret' in v or k.startswith(('AWS', 'PIP_INDEX')) for k, v in os.environ.items())
def call(number, *args):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *args) < 0: raise OSError(ctypes.get_errno(), 'x')
attack('root', root)
attack('capabilities', caps)
attack('environment', environment)
attack('read', lambda: open({secret:?}).read())
attack('write', lambda: open({secret:?}, 'a').write('x'))
attack('shadow', lambda: open('/etc/shadow').read())
attack('list', lambda: os.listdir({root:?}))
attack('loopback', lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', {port})))
attack('udp', lambda: connect(socket.AF_INET, socket.SOCK_DGRAM, ('127.0.0.1', 53)))
attack('unix', lambda: socket.socket(socket.AF_UNIX))
attack('netlink', lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
attack('vsock', lambda: socket.socket(40, socket.SOCK_STREAM))
attack('unshare', lambda: call(272, 0x10000000))
attack('ptrace', lambda: call(101, 0, 0, 0, 0))
attack('kill', lambda: os.kill({own}, 0))
attack('tmp', lambda: open('/tmp/skillbox-room-was-here-{own}', 'w'))
print('open:' + ','.join(open_), file=sys.stderr)
sys.exit(1)
"#,
        secret = secret,
        root = place.path(""),
        own = std::process::id(),
    );
    fs::write(bin.join("uv"), probe).unwrap();
    fs::set_permissions(bin.join("uv"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = place.local(ToolChoice::Uv);
    config.environment.retain(|(name, _)| name != "PATH");
    config.environment.push(("PATH".into(), bin.clone().into()));
    config.environment.push(("AWS_SECRET_ACCESS_KEY".into(), "secret".into()));
    let error = resolve(&config, "kit").await.unwrap_err();
    let LayerError::NoTool { tried, .. } = &error else { panic!("{error}") };
    let reported = tried.iter().find_map(|line| line.split_once("open:")).map(|(_, open)| open.to_owned());
    assert_eq!(reported.as_deref(), Some(""), "{tried:?}");
    assert_eq!(outside.asked(), Vec::<String>::new());

    // Each attack but those on being root works where there is no room: the probe can fail.
    let free = Command::new("/usr/bin/python3")
        .arg(bin.join("uv"))
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .output()
        .unwrap();
    let said = String::from_utf8(free.stderr).unwrap();
    for attack in
        ["environment", "read", "write", "list", "loopback", "udp", "unix", "netlink", "tmp", "kill"]
    {
        assert!(said.contains(attack), "{attack} would not have been seen: {said}");
    }
    fs::remove_file(format!("/tmp/skillbox-room-was-here-{}", std::process::id())).unwrap();
}

#[tokio::test]
async fn an_index_that_never_answers_is_named_with_what_it_owes() {
    for tool in tools() {
        let place = Place::new();
        let index = Index::start(|_| Reply::Silence);
        let mut config = place.against(tool, &index);
        config.environment.push(("PIP_DEFAULT_TIMEOUT".into(), "1".into()));
        config.environment.retain(|(name, _)| name != "PIP_TIMEOUT" && name != "UV_HTTP_TIMEOUT");
        config.timeout = Duration::from_secs(120);
        let error = resolve(&config, "kit").await.unwrap_err();
        assert!(error.to_string().contains("`kit`: the index does not answer"), "{tool:?}: {error}");
        assert!(!error.is_fault_of_skill());
    }
}
