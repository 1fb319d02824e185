//! What is this driver's own: the two ways of layers, a daemon that is not on this machine, and what Podman must not get.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use driver_docker::{Config, DockerDriver};
use sandbox::conformance::CASES;
use sandbox::{
    Driver as _, DriverErrorKind, ExecOutcome, ExecRequest, Layer, Limits, Sandbox, SandboxId, SandboxSpec,
    Termination,
};
use tokio_util::sync::CancellationToken;

use crate::dockerd::{Dockerd, Engine};

/// A driver with a place of its own.
pub(crate) async fn driver(host: String, image: &str, layers: &Path, state: &Path) -> DockerDriver {
    let config = Config {
        host: Some(host),
        layer_roots: vec![layers.to_owned()],
        runtime_directory: Some(state.to_owned()),
        ..Config::new(image)
    };
    let driver = DockerDriver::start(config).await;
    driver.unwrap_or_else(|error| panic!("no driver: {error}: {:?}", error.source))
}

fn spec(layers: Vec<Layer>) -> SandboxSpec {
    SandboxSpec {
        id: SandboxId::new("own").expect("letters"),
        limits: Limits::standard(),
        lifetime: Duration::from_secs(60),
        layers,
    }
}

async fn shell(sandbox: &mut Sandbox, code: &str) -> ExecOutcome {
    let request = ExecRequest {
        argv: ["bash", "-c", code].map(str::to_owned).to_vec(),
        env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
        cwd: "/workspace".to_owned(),
        stdin: None,
        timeout: Duration::from_secs(20),
        grace: Limits::GRACE,
        stream_limit: Some(10_000),
    };
    sandbox.exec(&request, &CancellationToken::new(), &mut |_, _| {}).await.expect("an outcome")
}

/// A layer with a module, a program and a link in it.
fn layer(root: &Path) -> Layer {
    let directory = root.join("abc123");
    fs::create_dir_all(directory.join("package")).expect("a directory");
    fs::write(directory.join("package/module.py"), "answer = 42\n").expect("a file");
    std::os::unix::fs::symlink("package/module.py", directory.join("link.py")).expect("a link");
    Layer { digest: "abc123".to_owned(), directory }
}

/// What programs see of a layer, in whatever way it came.
async fn is_seen_read_only(driver: &DockerDriver, layer: &Layer) {
    let mut sandbox = Sandbox::create(driver, &spec(vec![layer.clone()])).await.expect("a sandbox");
    let look = "cat /layers/abc123/package/module.py /layers/abc123/link.py; \
                for try in 'touch /layers/abc123/new' 'rm /layers/abc123/link.py' 'chmod 777 /layers/abc123' \
                'touch /layers/new' 'truncate -s 0 /layers/abc123/package/module.py'; do $try 2>/dev/null && echo $try; done; \
                grep -c ' /layers/abc123 ro,' /proc/self/mountinfo";
    let outcome = shell(&mut sandbox, look).await;
    assert_eq!(outcome.stdout.head, "answer = 42\nanswer = 42\n1\n", "{outcome:?}");
    sandbox.destroy().await.expect("an end");
}

/// A daemon that sees the directory of layers mounts it.
pub(crate) async fn layers_are_mounted_where_the_daemon_sees_them(daemon: &Dockerd, image: &str) {
    let place = tempfile::tempdir().expect("a directory");
    let layers = place.path().join("layers");
    let layer = layer(&layers);
    let driver = driver(daemon.host(), image, &layers, place.path()).await;
    is_seen_read_only(&driver, &layer).await;
    assert!(!daemon.volumes().iter().any(|name| name.contains("layer")), "no volume was needed");
    let names = fs::read_dir(&layers).expect("the layers").map(|entry| entry.expect("an entry").file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["abc123"], "nothing is left beside the layers");
    let outside = Layer { digest: "abc123".to_owned(), directory: PathBuf::from("/etc") };
    Sandbox::create(&driver, &spec(vec![outside])).await.expect_err("a directory that is no layer");
    driver.shutdown().await.expect("an end");
}

/// One that does not see it gets each layer in a volume, once.
pub(crate) async fn layers_are_volumes_where_the_daemon_does_not_see_them(engine: Engine) {
    let place = tempfile::tempdir().expect("a directory");
    let layers = place.path().join("layers");
    let layer = layer(&layers);
    let daemon = Dockerd::start_as(engine, Some(&layers)).expect("a daemon");
    let image = daemon.image().expect("an image");
    let one = driver(daemon.host(), &image, &layers, place.path()).await;
    is_seen_read_only(&one, &layer).await;
    assert_eq!(daemon.volumes(), ["skillbox-layer-abc123"]);
    // What was filled once is whole for the next runner, whatever has become of the directory since.
    fs::write(layer.directory.join("package/module.py"), "answer = 0\n").expect("a file");
    let two = driver(daemon.host(), &image, &layers, place.path()).await;
    is_seen_read_only(&two, &layer).await;
    assert_eq!(two.reap().await.expect("a sweep").sandboxes, 0);
    one.shutdown().await.expect("an end");
    two.shutdown().await.expect("an end");
    assert_eq!(daemon.volumes(), ["skillbox-layer-abc123"], "layers are kept");
    assert_eq!(daemon.containers(), Vec::<String>::new());
}

/// Over TCP nothing of the daemon's machine can be read; out of memory is then what the daemon says.
pub(crate) async fn out_of_memory_is_told_by_a_daemon_elsewhere(daemon: &Dockerd, image: &str) {
    let place = tempfile::tempdir().expect("a directory");
    let driver = driver(over_tcp(daemon), image, place.path(), place.path()).await;
    let case = CASES.iter().find(|case| case.name == "life::out_of_memory_is_reported_and_survived");
    (case.expect("it is in the suite").run)(&driver).await;
    let mut sandbox = Sandbox::create(&driver, &spec(Vec::new())).await.expect("a sandbox");
    assert_eq!(shell(&mut sandbox, "exit 3").await.termination, Termination::Exited(3));
    sandbox.destroy().await.expect("an end");
    driver.shutdown().await.expect("an end");
}

/// Podman reads the profile from a file of its own machine, so it is used only where that is this one.
pub(crate) async fn podman_elsewhere_is_refused(daemon: &Dockerd, image: &str) {
    let place = tempfile::tempdir().expect("a directory");
    let config = Config {
        host: Some(over_tcp(daemon)),
        runtime_directory: Some(place.path().to_owned()),
        ..Config::new(image)
    };
    let error = DockerDriver::start(config).await.expect_err("a refusal");
    assert_eq!(error.kind, DriverErrorKind::Unavailable);
    assert!(error.message.contains("unix socket of this machine"), "{error}");
}

/// A container that is not what was asked for is no sandbox, and nothing of it stays.
pub(crate) async fn a_profile_that_is_gone_makes_no_sandbox(daemon: &Dockerd, image: &str) {
    let place = tempfile::tempdir().expect("a directory");
    let layers = place.path().join("layers");
    let driver = driver(daemon.host(), image, &layers, place.path()).await;
    let before = (daemon.containers(), daemon.volumes());
    let locks = place.path().join("docker");
    let files = || fs::read_dir(&locks).expect("the locks").map(|entry| entry.expect("an entry").path());
    let is_profile = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "seccomp");
    fs::remove_file(files().find(is_profile).expect("a profile")).expect("it is removed");
    Sandbox::create(&driver, &spec(Vec::new())).await.expect_err("no profile");
    assert_eq!((daemon.containers(), daemon.volumes()), before);
    driver.shutdown().await.expect("an end");
    assert_eq!(files().count(), 0, "nothing is left beside the locks");
}

/// A port of this machine that leads to the daemon.
fn over_tcp(daemon: &Dockerd) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its number").port();
    let socket = PathBuf::from(daemon.host().trim_start_matches("unix://"));
    thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let Ok(to) = UnixStream::connect(&socket) else { continue };
            pump(connection, to);
        }
    });
    format!("tcp://127.0.0.1:{port}")
}

/// Carries bytes in both directions until one side ends.
fn pump(near: TcpStream, far: UnixStream) {
    let (Ok(near_in), Ok(far_in)) = (near.try_clone(), far.try_clone()) else { return };
    thread::spawn(move || {
        let (mut from, mut to) = (near_in, far);
        // However it ends, the other side is told.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    thread::spawn(move || {
        let (mut from, mut to) = (far_in, near);
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}
