//! Output files in a bucket: the real executable against real S3 servers, and what happens when the bucket is away.
//!
//! The server is `s3s-fs` in every run, and Garage where it is installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    client::Request,
    proxy::{Fault, Proxy},
    require::require,
    s3::{Access, BUCKET, Garage, S3s},
    serve::{Options, Serve, bash, call, python},
    skillbox::command,
    wait::until,
};

/// How long a file may take from the end of an outage.
const ARRIVAL: Duration = Duration::from_secs(60);

fn environment(access: &Access) -> Vec<(String, String)> {
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        set("AWS_ACCESS_KEY_ID", &access.key),
        set("AWS_SECRET_ACCESS_KEY", &access.secret),
        set("AWS_EC2_METADATA_DISABLED", "true"),
    ]
}

/// How to serve from this bucket, with the spool in a directory that outlives the server.
pub(crate) fn options(access: &Access, spool: &Path, more: &[&str]) -> Options {
    let mut args: Vec<String> = Vec::new();
    for (name, value) in [
        ("--s3-endpoint", access.endpoint.as_str()),
        ("--s3-region", &access.region),
        ("--spool", spool.to_str().unwrap()),
    ] {
        args.extend([name.to_owned(), value.to_owned()]);
    }
    args.extend(more.iter().map(|word| (*word).to_owned()));
    Options {
        args,
        env: environment(access),
        store: Some(format!("s3://{BUCKET}/outputs")),
        ..Options::default()
    }
}

/// A link as anybody opens it: status, headers in lower case, body.
fn curl(url: &str) -> (u16, String, Vec<u8>) {
    let directory = TempDir::new().unwrap();
    let (head, body) = (directory.path().join("head"), directory.path().join("body"));
    let mut fetch = Command::new("curl");
    fetch
        .args(["--silent", "--show-error", "--max-time", "60", "--dump-header"])
        .arg(&head)
        .arg("--output")
        .arg(&body);
    let done = fetch.args(["--write-out", "%{http_code}"]).arg(url).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let status = String::from_utf8(done.stdout).unwrap().parse().unwrap();
    let head = fs::read_to_string(head).unwrap().to_ascii_lowercase();
    (status, head, fs::read(body).unwrap_or_default())
}

pub(crate) fn files(result: &Value) -> &Vec<Value> {
    result["outputFiles"].as_array().unwrap_or_else(|| panic!("{result}"))
}

/// Files that wait in a spool.
pub(crate) fn waiting(spool: &Path) -> Vec<PathBuf> {
    let Ok(places) = fs::read_dir(spool) else { return Vec::new() };
    let places = places.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = places.filter_map(|place| fs::read_dir(place).ok()).flatten();
    files.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| !path.ends_with("lock")).collect()
}

const MADE: &str = r"
open('/output/table.csv', 'w').write('a,b\n')
open('/output/page.html', 'w').write('<!doctype html><script>alert(1)</script>')
open('/output/größe 1.bin', 'wb').write(bytes(range(256)) * 20000)
";

/// All six tools, with their files in the bucket and harmless behind their links.
fn six_tools(access: &Access) {
    let spool = TempDir::new().unwrap();
    let server = Serve::with(&options(access, spool.path(), &[]));
    let calls = [
        call("skill_read", &json!({"skill": "qr-code"})),
        call("skill_list", &json!({"skill": "qr-code"})),
        python(MADE),
        bash("echo from bash > /output/bash.txt"),
        call("file_write", &json!({"path": "/output/written.txt", "content": "written"})),
        call("file_read", &json!({"path": "/output/written.txt"})),
    ];
    let answer = server.call("s", &["qr-code"], &calls);
    let results = answer["toolResults"].as_array().unwrap();
    assert!(results.iter().all(|result| result.get("error").is_none()), "{answer}");
    let stored: Vec<&Value> =
        results.iter().filter_map(|result| result["files"].as_array()).flatten().collect();
    assert_eq!(stored.len(), 5, "{answer}");
    for file in stored {
        let (name, url) = (file["filename"].as_str().unwrap(), file["url"].as_str().unwrap());
        assert!(url.starts_with(&access.endpoint) && !url.contains("gr%C3"), "{url}");
        let (status, head, body) = curl(url);
        assert_eq!((status, body.len() as u64), (200, file["size"].as_u64().unwrap()), "{name}: {head}");
        assert!(head.contains("content-disposition: attachment;"), "{name}: {head}");
        let active = ["text/html", "svg", "xml", "javascript"];
        let content_type = head.lines().find(|line| line.starts_with("content-type:")).unwrap();
        assert!(!active.iter().any(|active| content_type.contains(active)), "{name}: {content_type}");
        match name {
            "table.csv" => assert!(content_type.contains("text/csv") && body == b"a,b\n", "{content_type}"),
            "page.html" => assert!(content_type.contains("application/octet-stream"), "{content_type}"),
            "bash.txt" => assert_eq!(body, b"from bash\n"),
            "written.txt" => assert_eq!(body, b"written"),
            big => {
                assert_eq!(big, "größe 1.bin");
                assert!(head.contains("filename*=utf-8''gr%c3%b6"), "{head}");
                assert!(body.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 256));
            }
        }
        // Links in an old chat are over; the id is not.
        let id = file["id"].as_str().unwrap();
        let moved = server.request("GET", &format!("/v1/files/{id}")).send();
        assert_eq!(moved.status, 302, "{}", moved.text());
        assert_eq!(curl(moved.header("location").unwrap()).0, 200);
        // A link with another key, or none, opens nothing.
        assert_eq!(curl(url.split('?').next().unwrap()).0, 403, "{url}");
    }
    // A file of the bucket as an input of another trigger.
    let url = &results[2]["files"][0]["url"];
    let declared = json!({"skills": [], "inputs": [{"path": "/workspace/in", "url": url}]});
    server.request("PUT", "/v1/triggers/next").json(&declared).send().expect(200);
    let read = server.result("next", &bash("wc -c < /workspace/in"));
    assert_eq!(read["exitCode"], 0, "{read}");
    assert_eq!(server.request("GET", "/readyz").send().expect(200)["storeBacklog"]["waitingFiles"], 0);
    drop(server);
    assert_eq!(waiting(spool.path()), Vec::<PathBuf>::new());
}

#[test]
fn six_tools_with_their_files_in_a_bucket() {
    if !require("native") || !require("s3") || !require("curl") {
        return;
    }
    let s3 = S3s::start();
    six_tools(&s3.access);
    // Nothing of a user is in a key, and a trigger's files are together.
    let keys = s3.keys();
    assert_eq!(keys.len(), 5, "{keys:?}");
    let of_trigger = keys[0].rsplit_once('/').unwrap().0.to_owned();
    assert!(keys.iter().all(|key| key.starts_with("outputs/") && key.starts_with(&of_trigger)), "{keys:?}");
    assert!(s3.unfinished().is_empty());
}

#[test]
fn six_tools_with_their_files_in_garage() {
    if !require("native") || !require("garage") || !require("curl") {
        return;
    }
    six_tools(&Garage::start().access);
}

#[test]
fn links_to_a_bucket_expire() {
    if !require("native") || !require("s3") || !require("curl") {
        return;
    }
    let (s3, spool) = (S3s::start(), TempDir::new().unwrap());
    let server = Serve::with(&options(&s3.access, spool.path(), &["--link-lifetime", "2s"]));
    let result = server.result("s", &bash("echo x > /output/x.txt"));
    let url = files(&result)[0]["url"].as_str().unwrap().to_owned();
    until("the link expires", Duration::from_secs(30), || (curl(&url).0 == 403).then_some(()));
}

/// An outage in the middle of a trigger's life: the calls work, say which files are not there, and they come.
#[test]
fn calls_work_while_the_bucket_is_away_and_their_files_come_later() {
    if !require("native") || !require("s3") || !require("curl") {
        return;
    }
    let (s3, spool) = (S3s::start(), TempDir::new().unwrap());
    let proxy = Proxy::start(&s3.access.endpoint);
    let access = Access { endpoint: proxy.endpoint(), ..s3.access.clone() };
    let server = Serve::with(&options(&access, spool.path(), &[]));
    for (name, fault) in [
        ("refused", Fault::Refuse),
        ("503", Fault::Status { code: 503, times: usize::MAX }),
        ("403", Fault::Status { code: 403, times: usize::MAX }),
        ("corrupted", Fault::Corrupt { times: usize::MAX }),
        ("hanging", Fault::Hang),
    ] {
        proxy.set(fault);
        let code = format!("echo {name}; echo {name} > /output/{name}.txt");
        let answer = server.call(name, &[], &[bash(&code)]);
        let result = &answer["toolResults"][0]["result"];
        assert_eq!(
            (&result["stdout"], &result["exitCode"]),
            (&json!(format!("{name}\n")), &json!(0)),
            "{answer}"
        );
        let file = &files(result)[0];
        assert_eq!((&file["error"], file.get("url")), (&json!("Upload failed"), None), "{name}: {file}");
        assert!(answer["toolResults"][0].get("files").is_none(), "{answer}");
        let id = file["id"].as_str().unwrap_or_else(|| panic!("{file}")).to_owned();
        let pending = server.request("GET", &format!("/v1/files/{id}")).send();
        assert_eq!(pending.expect(503)["code"], "FILE_PENDING", "{name}");
        // The same content again is not a second file.
        let again = server.result(name, &bash(&code));
        assert!(again.get("outputFiles").is_none(), "{name}: {again}");
        proxy.set(Fault::None);
        let events =
            server.request("GET", &format!("/v1/triggers/{name}/events")).stream().until("file-available");
        assert!(events.contains(&id), "{name}: {events}");
        let moved = server.request("GET", &format!("/v1/files/{id}")).send();
        assert_eq!(moved.status, 302, "{name}");
        assert_eq!(curl(moved.header("location").unwrap()).2, format!("{name}\n").into_bytes());
        let shown = server.status(name);
        assert_eq!(
            (&shown["files"][0]["id"], shown["files"].as_array().unwrap().len()),
            (&json!(id), 1),
            "{shown}"
        );
        assert!(shown["files"][0]["url"].is_string(), "{shown}");
    }
    let backlog = server.request("GET", "/readyz").send().expect(200)["storeBacklog"].clone();
    assert_eq!((&backlog["waitingFiles"], &backlog["deliveredLater"]), (&json!(0), &json!(5)), "{backlog}");
    assert_eq!(s3.keys().len(), 5, "{:?}", s3.keys());
    assert_eq!(waiting(spool.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_stumbling_bucket_is_not_noticed() {
    if !require("native") || !require("s3") {
        return;
    }
    let (s3, spool) = (S3s::start(), TempDir::new().unwrap());
    let proxy = Proxy::start(&s3.access.endpoint);
    let access = Access { endpoint: proxy.endpoint(), ..s3.access.clone() };
    let server = Serve::with(&options(&access, spool.path(), &[]));
    for (number, fault) in [
        Fault::Status { code: 500, times: 2 },
        Fault::Status { code: 503, times: 1 },
        Fault::Cut { times: 1 },
        Fault::Corrupt { times: 1 },
        Fault::LoseAnswer { times: 1 },
    ]
    .into_iter()
    .enumerate()
    {
        proxy.set(fault);
        let result = server.result("s", &bash(&format!("echo {number} > /output/{number}.txt")));
        assert!(files(&result)[0]["url"].is_string(), "{fault:?}: {result}");
        assert!(proxy.faults() > 0, "{fault:?} did not happen");
    }
    assert_eq!(s3.keys().len(), 5, "{:?}", s3.keys());
}

/// Killed while files are on their way: the bucket hangs, so nothing of them is there. The next runner sends them, once.
#[test]
fn a_killed_runner_loses_no_file() {
    if !require("native") || !require("s3") {
        return;
    }
    let (s3, spool) = (S3s::start(), TempDir::new().unwrap());
    let proxy = Proxy::start(&s3.access.endpoint);
    let access = Access { endpoint: proxy.endpoint(), ..s3.access.clone() };
    let mut server = Serve::with(&options(&access, spool.path(), &[]));
    proxy.set(Fault::Hang);
    let made = "head -c 9000000 /dev/zero > /output/large.bin; echo small > /output/small.txt";
    let connection = server.send_only("k", &[bash(made)]);
    // Both are captured, with their manifests, and at least one is being sent.
    until("the files are in the spool", Duration::from_secs(30), || {
        let manifests =
            waiting(spool.path()).iter().filter(|path| path.extension().is_some_and(|e| e == "json")).count();
        (manifests == 2 && proxy.faults() > 0).then_some(())
    });
    server.kill();
    drop(connection);
    assert_eq!(s3.keys(), Vec::<String>::new());
    let mut ids: Vec<String> = waiting(spool.path())
        .iter()
        .filter(|path| path.extension().is_none())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    ids.sort();
    proxy.set(Fault::None);
    let next = Serve::with(&options(&access, spool.path(), &[]));
    until("the files arrive", ARRIVAL, || waiting(spool.path()).is_empty().then_some(()));
    let mut keys: Vec<String> =
        s3.keys().iter().map(|key| key.rsplit('/').next().unwrap().to_owned()).collect();
    keys.sort();
    assert_eq!(keys, ids, "exactly the captured files, each once");
    for id in ids {
        assert_eq!(next.request("GET", &format!("/v1/files/{id}")).send().status, 302, "{id}");
    }
    assert!(s3.unfinished().is_empty(), "{:?}", s3.unfinished());
}

/// What an operator gets wrong ends the start with what to do about it, and not with a runner that stores nothing.
#[test]
fn a_bucket_that_cannot_be_used_is_refused_at_the_start() {
    if !require("native") || !require("s3") {
        return;
    }
    let (s3, place) = (S3s::start(), TempDir::new().unwrap());
    let serve = |store: &str, env: &[(&str, &str)]| {
        let mut serve = command();
        serve.args(["serve", "--listen"]).arg(format!("unix:{}", place.path().join("socket").display()));
        serve.args([
            "--store",
            store,
            "--s3-endpoint",
            &s3.access.endpoint,
            "--allow-missing",
            "cgroup,uids,landlock",
        ]);
        serve.arg("--spool").arg(place.path().join("spool")).envs(environment(&s3.access));
        let done = serve.envs(env.iter().copied()).output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        // The reason is the last line of the log, or plain text where the command line is not understood.
        let last = said.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok());
        let hint = last.and_then(|event| Some(format!("hint: {}\n", event["hint"].as_str()?)));
        (done.status.code(), hint.unwrap_or(said))
    };
    let (code, said) = serve("s3://nothing-here", &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("hint: there is no bucket `nothing-here`"), "{said}");
    let (code, said) = serve("s3://outputs", &[("AWS_SECRET_ACCESS_KEY", "wrong")]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("hint:") && !said.contains("wrong\n"), "{said}");
    let nobody = [
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("AWS_CONFIG_FILE", "/dev/null"),
    ];
    let (code, said) = serve("s3://outputs", &nobody);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("hint: set AWS_ACCESS_KEY_ID"), "{said}");
    let (code, said) = serve("s3://outputs", &[("SKILLBOX_S3_PUBLIC_ENDPOINT", "files.example.com")]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("hint: an endpoint is"), "{said}");
    let (code, said) = serve("s3://Bad_Name", &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("expected s3://BUCKET"), "{said}");
}

/// Whoever has no token gets no link, whatever store stands behind.
#[test]
fn ids_alone_open_nothing() {
    if !require("native") || !require("s3") {
        return;
    }
    let (s3, spool) = (S3s::start(), TempDir::new().unwrap());
    let server = Serve::with(&options(&s3.access, spool.path(), &[]));
    let answer = server.call("s", &[], &[bash("echo x > /output/x.txt")]);
    let id = answer["toolResults"][0]["files"][0]["id"].as_str().unwrap();
    assert_eq!(Request::new(server.address(), "GET", &format!("/v1/files/{id}")).send().status, 401);
    // The runner does not serve what the bucket does.
    assert_eq!(
        server.request("GET", &format!("/v1/files/{id}/content?exp=9999999999&sig=a.b")).send().status,
        404
    );
}
