//! The docker driver as the options describe it, and the Python of its image.
//!
//! Layers are made for one version of Python, and an image's is not this machine's. An image of ours says it in a label;
//! another one is asked, once, by a program in a sandbox of its own, and the answer is kept beside the cache.

use std::{path::Path, sync::Arc, time::Duration};

use driver_docker::{Config, DockerDriver};
use layer::{Platform, PythonVersion, Target};
use sandbox::{Driver, ExecRequest, Limits, Sandbox, SandboxId, SandboxSpec, Termination, Wall};
use tokio_util::sync::CancellationToken;

use crate::{
    args::Global,
    error::{CommandError, Kind},
};

/// Label by which an image says the version of its Python.
const PYTHON_LABEL: &str = "skillbox.python";
/// Longest time in which the image's Python may answer.
const ASKING: Duration = Duration::from_secs(20);
/// What is assumed where there is no Python: no Python skill runs then, so it does not matter.
const NONE: PythonVersion = PythonVersion { major: 3, minor: 11, patch: None };

/// Starts the driver; `layers` is the cache of layers.
pub(crate) async fn start(
    global: &Global,
    layers: &Path,
    allow_missing: &[Wall],
) -> Result<(Arc<dyn Driver>, Target), CommandError> {
    if global.rootfs.is_some() {
        return Err(CommandError::new(Kind::User, "USAGE", "`--rootfs` is for the native driver")
            .hint("name an image with `--image`, or leave `--driver docker` out"));
    }
    let config = Config {
        runtime: global.docker_runtime.clone(),
        layer_roots: vec![layers.to_owned()],
        allow_missing: allow_missing.iter().copied().collect(),
        ..Config::new(&global.image)
    };
    let driver = DockerDriver::start(config).await?;
    let version = python(&driver, layers).await;
    let target = Target { version: version.unwrap_or(NONE), interpreter: None, platform: Platform::host() };
    Ok((Arc::new(driver), target))
}

async fn python(driver: &DockerDriver, layers: &Path) -> Option<PythonVersion> {
    if let Some(version) = driver.image_label(PYTHON_LABEL).await.and_then(|text| text.parse().ok()) {
        return Some(version);
    }
    let id = driver.image_id().await.replace(|character: char| !character.is_ascii_alphanumeric(), "-");
    let kept = layers.with_file_name("images").join(id).with_extension("python");
    if let Some(version) = std::fs::read_to_string(&kept).ok().and_then(|text| text.trim().parse().ok()) {
        return Some(version);
    }
    let text = ask(driver).await?;
    let version = text.trim().parse().ok()?;
    // Without it, the next start asks again.
    let _ = kept.parent().map(std::fs::create_dir_all).map(|_| std::fs::write(&kept, text));
    Some(version)
}

/// What the Python of a fresh sandbox says that it is.
async fn ask(driver: &DockerDriver) -> Option<String> {
    let spec = SandboxSpec {
        id: SandboxId::new("python-version")?,
        limits: Limits::standard(),
        lifetime: ASKING,
        layers: Vec::new(),
    };
    let mut sandbox = match Sandbox::create(driver, &spec).await {
        Ok(sandbox) => sandbox,
        Err(error) => {
            // Whoever makes the next sandbox says it louder.
            tracing::debug!(error = %error, "the image's Python could not be asked");
            return None;
        }
    };
    let code = "import sys; print('.'.join(str(part) for part in sys.version_info[:3]))";
    let request = ExecRequest {
        argv: ["python3", "-I", "-S", "-c", code].map(str::to_owned).to_vec(),
        env: vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())],
        cwd: "/".to_owned(),
        stdin: None,
        timeout: ASKING,
        grace: Limits::GRACE,
        stream_limit: Some(100),
    };
    let outcome = sandbox.exec(&request, &CancellationToken::new(), &mut |_, _| {}).await;
    if let Err(error) = sandbox.destroy().await {
        tracing::warn!(error = %error, "a sandbox is left for the next sweep");
    }
    let outcome = outcome.ok().filter(|outcome| outcome.termination == Termination::Exited(0))?;
    Some(outcome.stdout.head)
}
