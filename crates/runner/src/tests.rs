//! The runner as a whole, on the fake driver, the store in memory and a paused clock.

mod calls;
mod captures;
mod inputs;
mod life;
mod room;
mod shutdown;
mod tool_calls;

use std::{sync::Arc, time::Duration};

use artifact::{ArtifactStore, memory::MemoryStore};
use layer::{Platform, Policy, Resolver, Target};
use sandbox::fake::{FakeDriver, FakeState, Program};
use serde_json::{Value, json};
use skill::{Catalog, Skill};
use tempfile::TempDir;
use tool::ToolCall;

use crate::{CallAnswer, CallError, CallRequest, Config, Declaration, Parts, PendingCall, Runner, TriggerId};

/// A runner with everything around it.
struct Bench {
    runner: Runner,
    driver: FakeDriver,
    store: MemoryStore,
    _cache: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let store = MemoryStore::new();
        Self::on_store(Arc::new(store.clone()), store, change)
    }

    /// With another store before the one in memory.
    fn on_store(front: Arc<dyn ArtifactStore>, store: MemoryStore, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::standard();
        change(&mut config);
        let cache = tempfile::tempdir().unwrap();
        let target =
            Target { version: "3.11".parse().unwrap(), interpreter: None, platform: Platform::host() };
        let mut layers = layer::Config::new(cache.path().to_owned(), target);
        layers.policy = Policy::Offline;
        let driver = FakeDriver::new();
        let parts = Parts {
            driver: Arc::new(driver.clone()),
            store: front,
            catalog: Catalog::from_skills([qr(), notes(), needy(), odd()]),
            layers: Arc::new(Resolver::new(layers)),
        };
        Self { runner: Runner::new(parts, config), driver, store, _cache: cache }
    }

    async fn declare(&self, trigger: &str, skills: &[&str]) {
        let skills = skills.iter().map(|slug| (*slug).to_owned()).collect();
        self.runner.declare(&id(trigger), Declaration { skills, ..Declaration::default() }).await.unwrap();
    }

    async fn submit(&self, trigger: &str, call: ToolCall) -> Result<PendingCall, CallError> {
        self.runner.submit(&id(trigger), CallRequest::new(call)).await
    }

    /// The answer of a call that is taken.
    async fn answer(&self, trigger: &str, call: ToolCall) -> Arc<CallAnswer> {
        self.submit(trigger, call).await.unwrap().await.unwrap()
    }

    /// The result of a call that can be carried out.
    async fn result(&self, trigger: &str, call: ToolCall) -> Value {
        let answer = self.answer(trigger, call).await;
        assert_eq!(answer.answer.result.error, None);
        answer.answer.result.result.clone().unwrap()
    }

    /// Code and sentence of a call that cannot be carried out.
    async fn error(&self, trigger: &str, call: ToolCall) -> (String, String) {
        let answer = self.answer(trigger, call).await;
        assert_eq!(answer.answer.result.result, None);
        (answer.answer.code.unwrap().to_string(), answer.answer.result.error.clone().unwrap())
    }

    /// Everything that was made has been destroyed in order; nothing was merely dropped.
    fn assert_all_destroyed(&self) {
        for sandbox in self.driver.sandboxes() {
            assert_eq!(sandbox.state, FakeState::Destroyed, "{}", sandbox.spec.id);
            assert!(sandbox.max_running <= 1);
        }
        assert_eq!(self.runner.load().sandboxes, 0);
    }
}

fn id(text: &str) -> TriggerId {
    TriggerId::parse(text).unwrap()
}

fn call(id: &str, tool: &str, args: Value) -> ToolCall {
    serde_json::from_value(json!({"toolCallId": id, "toolName": format!("octavus_{tool}"), "args": args}))
        .unwrap()
}

/// `code_run` of a program.
fn code(id: &str, program: &Program) -> ToolCall {
    call(id, "code_run", json!({"language": "bash", "code": program.script()}))
}

fn code_for(id: &str, program: &Program, timeout: u64) -> ToolCall {
    call(id, "code_run", json!({"language": "bash", "code": program.script(), "timeout": timeout}))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn front(name: &str) -> String {
    format!("---\nname: {name}\ndescription: Does {name}. Use it in tests.\n---\n# {name}\n")
}

fn qr() -> Skill {
    let script = Program::new().arguments().environment().working_directory().cat_stdin();
    Skill::from_files([
        ("SKILL.md", front("qr-code").into_bytes()),
        ("scripts/generate.py", script.python().into_bytes()),
        ("scripts/list.sh", Program::new().stdout("listed\n").script().into_bytes()),
        ("references/format.md", b"# Format\n".to_vec()),
        ("assets/logo.png", b"\x89PNG\r\n\x1a\n\x00".to_vec()),
    ])
    .unwrap()
}

fn notes() -> Skill {
    Skill::from_files([("SKILL.md", front("notes"))]).unwrap()
}

fn needy() -> Skill {
    Skill::from_files([("SKILL.md", front("needy")), ("requirements.txt", "qrcode[pil]\n".to_owned())])
        .unwrap()
}

/// A skill whose dependencies are refused whatever the index has.
fn odd() -> Skill {
    Skill::from_files([
        ("SKILL.md", front("odd")),
        ("scripts/a.rb", "puts 1\n".to_owned()),
        ("requirements.txt", "-r /etc/passwd\n".to_owned()),
    ])
    .unwrap()
}
