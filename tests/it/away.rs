//! A bucket that is away when the server starts, and what `/metrics` says of it.

use std::{net::TcpListener, path::PathBuf, time::Duration};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    s3::{files, options, waiting},
    support::{
        proxy::{Fault, Proxy},
        require::require,
        s3::{Access, S3s},
        serve::{Options, Serve, bash},
        wait::until,
    },
};

/// How long a file may take from the end of an outage, and the server to notice it.
const ARRIVAL: Duration = Duration::from_secs(60);

/// The value of one line of `/metrics`.
fn metric(server: &Serve, series: &str) -> u64 {
    let answer = server.request("GET", "/metrics").send();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let line = answer.text().lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series}: {}", answer.text())).parse().unwrap()
}

/// What a killed server left on its disk and what the next one captures wait side by side, and both arrive.
#[test]
fn a_server_starts_while_the_bucket_is_away_and_is_ready_when_it_is_back() {
    if !require("native") || !require("s3") {
        return;
    }
    for fault in [Fault::Refuse, Fault::Status { code: 503, times: usize::MAX }, Fault::Hang] {
        let (s3, spool) = (S3s::start(), TempDir::new().unwrap());
        let proxy = Proxy::start(&s3.access.endpoint);
        let access = Access { endpoint: proxy.endpoint(), ..s3.access.clone() };
        let mut server = Serve::with(&options(&access, spool.path(), &[]));
        proxy.set(fault);
        let first = server.result("first", &bash("echo first > /output/first.txt"));
        assert_eq!(files(&first)[0]["error"], "Upload failed", "{first}");
        assert_eq!(metric(&server, "skillbox_uploads_total{outcome=\"deferred\"}"), 1);
        server.kill();
        let server = Serve::with(&Options { unready: true, ..options(&access, spool.path(), &[]) });
        assert!(server.log().contains("output files are kept until the store is back"), "{}", server.log());
        until("the server is not ready for the store's sake alone", ARRIVAL, || {
            let told = server.request("GET", "/readyz").send().expect(503);
            (told["reasons"] == json!(["the artifact store does not take files"])).then_some(())
        });
        let second = server.result("second", &bash("echo second > /output/second.txt"));
        let file = &files(&second)[0];
        assert_eq!((&file["error"], file["id"].is_string()), (&json!("Upload failed"), true), "{file}");
        assert_eq!(metric(&server, "skillbox_uploads_total{outcome=\"deferred\"}"), 1);
        assert_eq!(metric(&server, "skillbox_uploads_total{outcome=\"stored\"}"), 0);
        assert_eq!(metric(&server, "skillbox_spool_files"), 2);
        assert!(metric(&server, "skillbox_spool_bytes") >= 13);
        assert_eq!(metric(&server, "skillbox_sandboxes"), 1);
        proxy.set(Fault::None);
        until("the server is ready", ARRIVAL, || {
            (server.request("GET", "/readyz").send().status == 200).then_some(())
        });
        until("both files arrive", ARRIVAL, || waiting(spool.path()).is_empty().then_some(()));
        assert_eq!(s3.keys().len(), 2, "{:?}", s3.keys());
        // A file leaves the disk a moment before it is counted as gone.
        until("both are counted", ARRIVAL, || {
            let counts = ["skillbox_spool_files", "skillbox_spool_delivered_total"];
            (counts.map(|series| metric(&server, series)) == [0, 2]).then_some(())
        });
    }
}

#[test]
fn a_server_starts_where_nobody_listens_yet() {
    if !require("native") || !require("s3") {
        return;
    }
    let (s3, spool) = (S3s::start(), TempDir::new().unwrap());
    // A port that nobody has: it was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let access = Access { endpoint: format!("http://127.0.0.1:{port}"), ..s3.access.clone() };
    let server = Serve::with(&Options { unready: true, ..options(&access, spool.path(), &[]) });
    assert_eq!(server.request("GET", "/readyz").send().status, 503);
    let result = server.result("t", &bash("echo kept > /output/kept.txt"));
    assert_eq!(files(&result)[0]["error"], "Upload failed", "{result}");
    assert_ne!(waiting(spool.path()), Vec::<PathBuf>::new());
}
