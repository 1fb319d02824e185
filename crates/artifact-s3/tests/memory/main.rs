//! What an upload costs in memory. A program of its own, so that nothing else is in the figure but the server, which
//! streams to its disk.

#[cfg(test)]
#[path = "../../../../tests/it/support/s3.rs"]
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod s3;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use artifact::{ArtifactStore as _, Expected, MediaType, NewArtifact};
    use artifact_s3::{Addressing, Credentials, S3Options, S3Store};
    use bytes::Bytes;
    use tokio::time::Instant;

    use crate::s3::{BUCKET, S3s};

    const MIB: usize = 1024 * 1024;
    /// Five times what an upload may hold.
    const SIZE: usize = 160 * MIB;
    /// Five parts of 5 MiB, and what the server and both ends of the connections hold.
    const MOST: usize = 64 * MIB;

    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() * 1024
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_upload_takes_as_little_memory_however_large_it_is() {
        let server = S3s::start();
        let options = S3Options {
            location: format!("s3://{BUCKET}").parse().unwrap(),
            endpoint: Some(server.access.endpoint.clone()),
            public_endpoint: None,
            region: Some(server.access.region.clone()),
            addressing: Addressing::Path,
            credentials: Credentials::Key {
                id: server.access.key.clone(),
                secret: server.access.secret.clone(),
            },
            link_lifetime: Duration::from_secs(60),
        };
        let store = S3Store::connect(options).await.unwrap();
        store.check().await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(300);
        let new = NewArtifact::new("t", "a.bin", MediaType::OCTET_STREAM, deadline).unwrap();
        let before = resident();
        let mut most = before;
        let mut upload = store.begin(new).await.unwrap();
        for _ in 0..SIZE / (256 * 1024) {
            upload.write(Bytes::from(vec![b'x'; 256 * 1024])).await.unwrap();
            most = most.max(resident());
        }
        let stored = upload.finish(Expected { size: SIZE as u64, sha256: None }).await.unwrap();
        assert_eq!(stored.size, SIZE as u64);
        let extra = most.max(resident()) - before;
        println!("{} MiB for an upload of {} MiB", extra / MIB, SIZE / MIB);
        assert!(extra <= MOST, "{} MiB", extra / MIB);
    }
}
