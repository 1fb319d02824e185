//! What programs save, and what becomes of it.

use std::sync::Arc;

use artifact::{
    ArtifactId, ArtifactMetadata, ArtifactStore, Content, NewArtifact, SignedUrl, SpoolOptions, SpooledStore,
    StoreError, StoreErrorKind, Swept, Upload, memory::MemoryStore,
};
use async_trait::async_trait;
use sandbox::fake::{Fault, Program, Request};
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt as _,
    time::{Instant, sleep},
};

use super::{Bench, call, code, id, seconds};
use crate::ProgressKind;

/// A store that takes nothing and never says so.
#[derive(Debug)]
struct Hanging(MemoryStore);

#[async_trait]
impl ArtifactStore for Hanging {
    async fn begin(&self, _new: NewArtifact) -> Result<Box<dyn Upload>, StoreError> {
        std::future::pending().await
    }

    async fn url(&self, id: &ArtifactId) -> Result<SignedUrl, StoreError> {
        self.0.url(id).await
    }

    async fn metadata(&self, id: &ArtifactId) -> Result<ArtifactMetadata, StoreError> {
        self.0.metadata(id).await
    }

    async fn open(&self, id: &ArtifactId) -> Result<Option<Content>, StoreError> {
        self.0.open(id).await
    }

    async fn remove(&self, id: &ArtifactId) -> Result<(), StoreError> {
        self.0.remove(id).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.0.check().await
    }

    async fn sweep(&self) -> Result<Swept, StoreError> {
        self.0.sweep().await
    }
}

fn hanging() -> Bench {
    let store = MemoryStore::new();
    Bench::on_store(Arc::new(Hanging(store.clone())), store, |_| {})
}

fn names(result: &Value) -> Vec<&str> {
    let files = result.get("outputFiles").and_then(Value::as_array);
    files.into_iter().flatten().map(|file| file["name"].as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn stored_files_have_the_bytes_and_a_part() {
    let bench = Bench::new();
    let program = Program::new()
        .write("/output/a b.png", b"\x89PNG\r\n\x1a\n\x00".as_slice())
        .fill("/output/sub/big.bin", 3 << 20)
        .write("/output/empty.csv", "");
    let answer = bench.answer("t", code("1", &program)).await;
    let result = answer.answer.result.result.as_ref().unwrap();
    assert_eq!(names(result), ["a b.png", "empty.csv", "sub/big.bin"]);
    assert_eq!(result["outputFiles"][0]["mediaType"], "image/png");
    assert_eq!(result["outputFiles"][0]["path"], "/output/a b.png");
    assert_eq!(result["outputFiles"][1]["mediaType"], "text/csv");
    let events: Vec<Value> =
        answer.answer.events.iter().map(|event| serde_json::to_value(event).unwrap()).collect();
    assert_eq!(events[0]["type"], "tool-output-available");
    assert_eq!((&events[1]["type"], &events[1]["toolCallId"]), (&json!("file-available"), &json!("1")));
    assert_eq!(events.len(), 4);
    let sizes = [9, 0, 3 << 20];
    for (file, size) in answer.answer.result.files.iter().zip(sizes) {
        let content = bench.store.open(&file.id.parse().unwrap()).await.unwrap().unwrap();
        let mut bytes = Vec::new();
        tokio::pin!(content);
        content.body.as_mut().read_to_end(&mut bytes).await.unwrap();
        assert_eq!((bytes.len(), content.metadata.trigger.as_str()), (size, "t"));
    }
    assert_eq!(bench.store.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn only_new_and_changed_files_are_listed() {
    let bench = Bench::new();
    let first = Program::new().write("/output/a", "1").write("/output/b", "2");
    assert_eq!(names(&bench.result("t", code("1", &first)).await), ["a", "b"]);
    assert!(names(&bench.result("t", code("2", &Program::new())).await).is_empty());
    // Rewritten with the same content: nothing new for the user. With another: a new artifact.
    let again = Program::new().write("/output/a", "1").write("/output/b", "3").fill("/output/c", 2 << 20);
    assert_eq!(names(&bench.result("t", code("3", &again)).await), ["b", "c"]);
    let again = Program::new().fill("/output/c", 2 << 20);
    assert!(names(&bench.result("t", code("4", &again)).await).is_empty());
    assert_eq!(bench.store.count(), 4);
    let files = bench.runner.status(&id("t")).await.unwrap().files;
    let made: Vec<_> =
        files.iter().map(|file| (file.tool_call_id.as_deref(), file.file.name.as_str())).collect();
    assert_eq!(made, [(Some("1"), "a"), (Some("1"), "b"), (Some("3"), "b"), (Some("3"), "c")]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_does_not_fail_the_call_and_the_files_come_later() {
    let bench = Bench::new();
    bench.store.fail_with(Some(StoreErrorKind::Unavailable));
    let program = Program::new().stdout("ok").write("/output/a", "1").fill("/output/b", 2 << 20);
    let answer = bench.answer("t", code("1", &program)).await;
    let result = answer.answer.result.result.as_ref().unwrap();
    assert_eq!((&result["stdout"], &result["exitCode"]), (&json!("ok"), &json!(0)));
    for file in result["outputFiles"].as_array().unwrap() {
        assert_eq!((&file["error"], file.get("url")), (&json!("Upload failed"), None));
    }
    assert!(answer.answer.result.files.is_empty() && answer.answer.events.len() == 1);
    bench.store.fail_with(None);
    bench.runner.end(&id("t")).await;
    assert_eq!(bench.store.count(), 2);
    let files = bench.runner.status(&id("t")).await.unwrap().files;
    assert_eq!(files.iter().filter(|file| file.tool_call_id.is_none()).count(), 2);
    bench.assert_all_destroyed();
}

/// With a spool before the store: the entry says what to ask for, nothing is uploaded twice, and followers hear of it.
#[tokio::test(start_paused = true)]
async fn a_file_that_is_kept_for_later_is_announced_and_not_sent_again() {
    let (place, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let options = SpoolOptions {
        directory: place.path().to_owned(),
        most_bytes: 64 << 20,
        patience: std::time::Duration::from_secs(5),
    };
    let spooled = SpooledStore::open(options, Arc::new(store.clone())).unwrap();
    let bench = Bench::on_store(Arc::new(spooled), store, |_| {});
    bench.store.fail_with(Some(StoreErrorKind::Unavailable));
    let program = Program::new().stdout("ok").write("/output/a", "1").fill("/output/b", 2 << 20);
    let result = bench.result("t", code("1", &program)).await;
    let deferred = result["outputFiles"].as_array().unwrap();
    assert_eq!(deferred.len(), 2);
    for file in deferred {
        assert_eq!((&file["error"], file.get("url")), (&json!("Upload failed"), None));
        assert!(file["id"].as_str().unwrap().parse::<ArtifactId>().is_ok(), "{file}");
    }
    // Neither another call nor the last capture sends again what is kept.
    assert!(names(&bench.result("t", code("2", &program)).await).is_empty());
    let mut progress = bench.runner.progress(&id("t"), None).unwrap();
    bench.store.fail_with(None);
    let mut arrived = Vec::new();
    while arrived.len() < 2 {
        if let ProgressKind::FileAvailable { tool_call_id, file } = &*progress.next().await.unwrap().kind {
            assert_eq!(tool_call_id.as_deref(), Some("1"));
            assert!(file["url"].is_string() && file.get("error").is_none(), "{file}");
            arrived.push(file["name"].clone());
        }
    }
    bench.runner.end(&id("t")).await;
    assert_eq!(bench.store.count(), 2);
    assert_eq!(bench.runner.status(&id("t")).await.unwrap().files.len(), 2);
    bench.assert_all_destroyed();
}

#[tokio::test(start_paused = true)]
async fn what_is_left_out_is_named_with_the_reason() {
    let bench = Bench::new();
    let program = Program::new()
        .symlink("/etc/passwd", "/output/link")
        .fifo("/output/pipe")
        .set_length("/output/huge", 200 << 20)
        .write("/workspace/own", "x")
        .hard_link("/workspace/own", "/output/hard")
        .write("/output/good", "x");
    let result = bench.result("t", code("1", &program)).await;
    assert_eq!(names(&result), ["good", "hard", "huge", "link", "pipe"]);
    let errors: Vec<bool> =
        result["outputFiles"].as_array().unwrap().iter().map(|file| file.get("error").is_some()).collect();
    assert_eq!(errors, [false, true, true, true, true]);
    assert_eq!(result["outputFiles"][2]["error"], "File is larger than the limit of 10 MB");
    assert_eq!(bench.store.count(), 1);
    assert!(names(&bench.result("t", code("2", &Program::new())).await).is_empty(), "told once");
}

#[tokio::test(start_paused = true)]
async fn floods_of_files_are_bounded_and_counted() {
    let bench = Bench::with(|config| config.output_entries = 500);
    let result = bench.result("t", code("1", &Program::new().many_files("/output/many", 600))).await;
    assert_eq!(names(&result).len(), 40);
    assert_eq!(bench.store.count(), 20);
    let hint = result["hint"].as_str().unwrap();
    assert!(
        hint.contains("460 more entries of /output were left out") && hint.contains("more than 500"),
        "{hint}"
    );
}

#[tokio::test(start_paused = true)]
async fn many_files_come_in_batches() {
    let bench = Bench::with(|config| {
        config.output.files = 1_000;
        config.output.total_bytes = 1 << 30;
    });
    let program =
        Program::new().many_files("/output/many", 600).fill("/output/x", 9 << 20).fill("/output/y", 9 << 20);
    let result = bench.result("t", code("1", &program)).await;
    assert_eq!((names(&result).len(), bench.store.count()), (602, 602));
}

#[tokio::test(start_paused = true)]
async fn odd_names_are_data() {
    let bench = Bench::new();
    let program = Program::new().write(b"/output/a\n\xff\x1b[31m".as_slice(), "x");
    let result = bench.result("t", code("1", &program)).await;
    assert_eq!(names(&result), [r"a\n\xff\u{1b}[31m"]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_program_keeps_its_files() {
    let bench = Bench::new();
    let program = Program::new().write("/output/a", "1").stdout("Error: no data").exit(1);
    let result = bench.result("t", code("1", &program)).await;
    assert_eq!((&result["exitCode"], names(&result)), (&json!(1), vec!["a"]));
    let killed = Program::new().write("/output/b", "1").out_of_memory();
    let answer = bench.answer("t", code("2", &killed)).await;
    let result = answer.answer.result.result.as_ref().unwrap();
    assert_eq!((&result["exitCode"], &result["oomKilled"]), (&json!(137), &json!(true)));
    assert_eq!(names(result), ["b"]);
    assert!(result["hint"].as_str().unwrap().contains("the limit is 512 MB"), "{result}");
    assert_eq!(answer.report.program.unwrap().exit_code, 137);
}

#[tokio::test(start_paused = true)]
async fn a_written_output_file_is_captured_at_once() {
    let bench = Bench::new();
    let write =
        |call_id: &str, path: &str| call(call_id, "file_write", json!({"path": path, "content": "a,b\n"}));
    let result = bench.result("t", write("1", "/output/t.csv")).await;
    assert_eq!((&result["path"], &result["size"]), (&json!("/output/t.csv"), &json!(4)));
    assert_eq!(names(&result), ["t.csv"]);
    let result = bench.result("t", write("2", "t.csv")).await;
    assert_eq!((&result["path"], result.get("outputFiles")), (&json!("/workspace/t.csv"), None));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_costs_bounded_time() {
    let bench = hanging();
    let program = Program::new().stdout("ok").write("/output/a", "1").fill("/output/b", 2 << 20);
    let begin = Instant::now();
    let result = bench.result("t", code("1", &program)).await;
    assert_eq!(
        (&result["stdout"], &result["outputFiles"][1]["error"]),
        (&json!("ok"), &json!("Upload failed"))
    );
    assert!(begin.elapsed() <= seconds(61), "{:?}", begin.elapsed());
    let begin = Instant::now();
    bench.runner.end(&id("t")).await;
    assert!(begin.elapsed() <= seconds(11), "{:?}", begin.elapsed());
    bench.assert_all_destroyed();
}

#[tokio::test(start_paused = true)]
async fn ending_does_not_wait_for_a_sandbox_or_a_store_that_hangs() {
    for (request, most) in [(None, 13), (Some(Request::Exec), 3), (Some(Request::ListOutput), 13)] {
        let bench = if request.is_none() { hanging() } else { Bench::new() };
        if let Some(request) = request {
            bench.driver.fail_next(request, Fault::Silent);
        }
        let program = Program::new().write("/output/a", "1");
        let pending = bench.submit("t", code("1", &program)).await.unwrap();
        sleep(seconds(1)).await;
        let begin = Instant::now();
        bench.runner.end(&id("t")).await;
        assert!(begin.elapsed() <= seconds(most), "{request:?}: {:?}", begin.elapsed());
        assert!(pending.await.unwrap().answer.code.is_some());
        bench.assert_all_destroyed();
    }
}
