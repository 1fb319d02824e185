//! Files into a bucket: a thousand small ones and one of a gigabyte, over the client library used plainly for the same
//! work on the same server.
//!
//! The server is Garage, where `make setup` has installed it; without it these rows are left out, and the run says so.
//! The plain client does no more than has to be done: as many requests at once, parts of the same size, no checks.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use artifact::{ArtifactStore, Expected, MediaType, NewArtifact, SpoolOptions, SpooledStore};
use artifact_s3::{Addressing, Credentials, S3Options, S3Store};
use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Credentials as Given, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    },
    primitives::{ByteStream, SdkBody},
    types::{CompletedMultipartUpload, CompletedPart},
};
use bytes::Bytes;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant as Deadline, sleep},
};

use crate::capture::resident;
use crate::report::{self, Row};
use crate::statistics::{Random, median, median_interval};

/// Files of the first row, and bytes of each.
const FILES: usize = 1_000;
const FILE_BYTES: usize = 10 * 1024;
/// Uploads at once, as the runner has them.
const AT_ONCE: usize = 16;
/// Repetitions of the rows.
const SMALL_ROUNDS: usize = 5;
const LARGE_ROUNDS: usize = 3;
/// Bytes of the second row.
const LARGE: usize = 1024 * 1024 * 1024;
/// As our store has them.
const PART: usize = 5 * 1024 * 1024;
const PARTS_AT_ONCE: usize = 4;
/// What one frame of a sandbox carries.
const PIECE: usize = 256 * 1024;
const BUCKET: &str = "bench";

/// All rows; none without a server.
pub(crate) async fn rows(short: bool) -> anyhow::Result<Vec<Row>> {
    let Some(server) = Server::start().await? else {
        report::note("no Garage here (`make setup` installs it): the rows of S3 are left out");
        return Ok(Vec::new());
    };
    let place = tempfile::tempdir()?;
    let bucket: Arc<dyn ArtifactStore> = Arc::new(server.store().await?);
    bucket.check().await?;
    let options = SpoolOptions {
        directory: place.path().to_owned(),
        most_bytes: 1 << 31,
        patience: Duration::from_secs(60),
    };
    let spooled: Arc<dyn ArtifactStore> = Arc::new(SpooledStore::open(options, Arc::clone(&bucket))?);
    let client = server.client();
    let mut rows = vec![small(&spooled, &client).await?];
    if !short {
        rows.extend(large(&bucket, &client).await?);
    }
    spooled.close().await;
    Ok(rows)
}

async fn small(store: &Arc<dyn ArtifactStore>, client: &Client) -> anyhow::Result<Row> {
    let content = Bytes::from(vec![b'x'; FILE_BYTES]);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // The first round warms connections on both sides, and does not count.
    for round in 0..=SMALL_ROUNDS {
        let begun = Instant::now();
        let mut uploads = JoinSet::new();
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        for number in 0..FILES {
            let (store, content, slots) = (Arc::clone(store), content.clone(), Arc::clone(&slots));
            uploads.spawn(async move {
                let _slot = slots.acquire().await?;
                let mut upload = store.begin(new(&format!("{number}.txt"))?).await?;
                upload.write(content).await?;
                upload.finish(Expected { size: FILE_BYTES as u64, sha256: None }).await?;
                anyhow::Ok(())
            });
        }
        all(uploads).await?;
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        let begun = Instant::now();
        let mut uploads = JoinSet::new();
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        for number in 0..FILES {
            let (client, content, slots) = (client.clone(), content.clone(), Arc::clone(&slots));
            uploads.spawn(async move {
                let _slot = slots.acquire().await?;
                let put = client.put_object().bucket(BUCKET).key(format!("plain/{round}/{number}"));
                put.body(ByteStream::new(SdkBody::from(content))).send().await?;
                anyhow::Ok(())
            });
        }
        all(uploads).await?;
        if round > 0 {
            ours.push(took);
            theirs.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
    }
    let name = "1,000 files of 10 KiB into S3, with the spool / plain client";
    Ok(row(name, &ours, &theirs))
}

async fn large(store: &Arc<dyn ArtifactStore>, client: &Client) -> anyhow::Result<Vec<Row>> {
    let content = Bytes::from(vec![b'x'; LARGE]);
    let (mut ours, mut theirs, mut extra) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..LARGE_ROUNDS {
        let before = resident()?;
        let mut most = before;
        let begun = Instant::now();
        let mut upload = store.begin(new("large.bin")?).await?;
        for at in (0..LARGE).step_by(PIECE) {
            // Pieces of their own, as they come from a sandbox.
            upload.write(Bytes::copy_from_slice(&content[at..at + PIECE])).await?;
            if at.is_multiple_of(64 * PIECE) {
                most = most.max(resident()?);
            }
        }
        let stored = upload.finish(Expected { size: LARGE as u64, sha256: None }).await?;
        ours.push(begun.elapsed().as_secs_f64() * 1000.0);
        extra.push(most - before);
        store.remove(&stored.id).await?;
        let key = format!("plain/large-{round}");
        let begun = Instant::now();
        multipart(client, &key, &content).await?;
        theirs.push(begun.elapsed().as_secs_f64() * 1000.0);
        client.delete_object().bucket(BUCKET).key(&key).send().await?;
    }
    let name = "1 GiB into S3 / plain client, same parts";
    let memory = Row::figure("memory that this upload takes", median(&extra) / 1024.0, "MiB", Some(32.0));
    Ok(vec![row(name, &ours, &theirs), memory])
}

async fn multipart(client: &Client, key: &str, content: &Bytes) -> anyhow::Result<()> {
    let created = client.create_multipart_upload().bucket(BUCKET).key(key).send().await?;
    let upload_id = created.upload_id.context("no upload id")?;
    let slots = Arc::new(Semaphore::new(PARTS_AT_ONCE));
    let mut uploads = JoinSet::new();
    for (index, at) in (0..content.len()).step_by(PART).enumerate() {
        let number = i32::try_from(index + 1)?;
        let body = content.slice(at..content.len().min(at + PART));
        let (client, slots) = (client.clone(), Arc::clone(&slots));
        let (key, upload_id) = (key.to_owned(), upload_id.clone());
        uploads.spawn(async move {
            let _slot = slots.acquire().await?;
            let part = client.upload_part().bucket(BUCKET).key(key).upload_id(upload_id).part_number(number);
            let sent = part.body(ByteStream::new(SdkBody::from(body))).send().await?;
            anyhow::Ok(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build())
        });
    }
    let mut parts = all(uploads).await?;
    parts.sort_by_key(CompletedPart::part_number);
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = client.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(upload_id);
    complete.multipart_upload(parts).send().await?;
    Ok(())
}

async fn all<T: Send + 'static>(mut tasks: JoinSet<anyhow::Result<T>>) -> anyhow::Result<Vec<T>> {
    let mut done = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        done.push(joined??);
    }
    Ok(done)
}

fn new(name: &str) -> anyhow::Result<NewArtifact> {
    let deadline = Deadline::now() + Duration::from_secs(600);
    Ok(NewArtifact::new("bench", name, MediaType::detect(b"x", name), deadline)?)
}

fn row(name: &str, ours: &[f64], theirs: &[f64]) -> Row {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    let (ratio, low, high) = median_interval(&ratios, &mut Random::new());
    Row::ratio(name, ratio, (low, high), Some(1.2), (median(ours), median(theirs)), false)
}

/// Garage in a directory of its own. Ends with this.
struct Server {
    child: Child,
    address: SocketAddr,
    key: String,
    secret: String,
    _directory: tempfile::TempDir,
}

impl Server {
    async fn start() -> anyhow::Result<Option<Self>> {
        let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
        let program = cache.map(|cache| cache.join("skillbox-test/garage/bin/garage"));
        let Some(program) = program.filter(|program| program.exists()) else { return Ok(None) };
        let directory = tempfile::tempdir()?;
        let (address, rpc) = (free_address()?, free_address()?);
        let at = |name: &str| directory.path().join(name).display().to_string();
        let config = format!(
            "metadata_dir = \"{}\"\ndata_dir = \"{}\"\ndb_engine = \"sqlite\"\nreplication_factor = 1\n\
             rpc_bind_addr = \"{rpc}\"\nrpc_public_addr = \"{rpc}\"\nrpc_secret = \"{}\"\n\
             [s3_api]\ns3_region = \"garage\"\napi_bind_addr = \"{address}\"\n",
            at("meta"),
            at("data"),
            "5a".repeat(32),
        );
        std::fs::write(at("garage.toml"), config)?;
        let (key, secret) = (format!("GK{}", "7e".repeat(12)), "3c".repeat(32));
        let mut command = Command::new(program);
        command.arg("-c").arg(at("garage.toml")).args(["server", "--single-node", "--default-bucket"]);
        command.env("GARAGE_DEFAULT_ACCESS_KEY", &key).env("GARAGE_DEFAULT_SECRET_KEY", &secret);
        command.env("GARAGE_DEFAULT_BUCKET", BUCKET);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let server = Self { child, address, key, secret, _directory: directory };
        let since = Instant::now();
        let client = server.client();
        while client.head_bucket().bucket(BUCKET).send().await.is_err() {
            ensure!(since.elapsed() < Duration::from_secs(30), "Garage is not ready");
            sleep(Duration::from_millis(50)).await;
        }
        Ok(Some(server))
    }

    fn client(&self) -> Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(format!("http://{}", self.address))
            .region(Region::new("garage"))
            .credentials_provider(Given::new(&self.key, &self.secret, None, None, "bench"))
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        Client::from_conf(config.build())
    }

    async fn store(&self) -> anyhow::Result<S3Store> {
        let options = S3Options {
            location: format!("s3://{BUCKET}/ours").parse()?,
            endpoint: Some(format!("http://{}", self.address)),
            public_endpoint: None,
            region: Some("garage".to_owned()),
            addressing: Addressing::Path,
            credentials: Credentials::Key { id: self.key.clone(), secret: self.secret.clone() },
            link_lifetime: Duration::from_secs(60),
        };
        Ok(S3Store::connect(options).await?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
