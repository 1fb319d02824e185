//! A running `skillbox serve` with its own store and skills, and a client that knows its token.

use std::{
    fs::{self, File, Permissions},
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    client::{Address, Request, Streaming},
    require::missing_walls,
    skillbox::{self, repository},
    wait::{until, within},
};

/// The token that the servers of the tests take.
pub(crate) const TOKEN: &str = "a-token-of-the-tests-0123456789abcdef";

/// How long a server may take to be ready. Its first start on a machine may have to prepare things.
const START: Duration = Duration::from_secs(60);

/// How a server is to be started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// More arguments.
    pub(crate) args: Vec<String>,
    /// More of the environment.
    pub(crate) env: Vec<(String, String)>,
    /// Another store than the directory of this server.
    pub(crate) store: Option<String>,
    /// Another directory of skills than the examples.
    pub(crate) skills: Option<PathBuf>,
    /// The directory with store and log of an earlier server, to go on with.
    pub(crate) directory: Option<PathBuf>,
    /// It is enough that it answers: it will not be ready.
    pub(crate) unready: bool,
}

/// A running server. Dropping it ends it.
pub(crate) struct Serve {
    child: Child,
    address: Address,
    directory: PathBuf,
    _own: Option<TempDir>,
}

impl Serve {
    /// A server with the example skills.
    pub(crate) fn start() -> Self {
        Self::with(&Options::default())
    }

    pub(crate) fn with(options: &Options) -> Self {
        let own = options.directory.is_none().then(|| TempDir::new().unwrap());
        let directory = options.directory.clone().unwrap_or_else(|| own.as_ref().unwrap().path().to_owned());
        let token = directory.join("token");
        fs::write(&token, format!("{TOKEN}\n")).unwrap();
        fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
        let log = directory.join("log");
        let mut command: Command = skillbox::command();
        command.args(["serve", "--listen", "127.0.0.1:0", "--store"]);
        let own_store = || format!("file:{}", directory.join("store").display());
        command.arg(options.store.clone().unwrap_or_else(own_store));
        command.envs(options.env.iter().map(|(name, value)| (name, value)));
        let skills = options.skills.clone().unwrap_or_else(|| repository().join("skills-examples"));
        command.arg("--skills").arg(skills);
        command.arg("--uploaded-skills").arg(directory.join("skills"));
        command.arg("--token-file").arg(token);
        // An ordinary user may lack some; what the tests want to know is what holds all the same.
        for wall in missing_walls() {
            command.args(["--allow-missing", wall]);
        }
        command.args(&options.args);
        command.envs(options.env.iter().map(|(name, value)| (name, value)));
        let file = File::create(&log).unwrap();
        let mut child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        let address = until("the server says where it listens", START, || {
            let text = fs::read_to_string(&log).unwrap();
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the server ended with {status}:\n{text}");
            }
            let events = events_of(&text);
            let listening = events.iter().find(|event| event["message"] == "listening")?;
            Some(Address::Tcp(listening["address"].as_str()?.strip_prefix("http://")?.to_owned()))
        });
        let this = Self { child, address, directory, _own: own };
        let path = if options.unready { "/healthz" } else { "/readyz" };
        until("the server is ready", START, || {
            (this.request("GET", path).send().status == 200).then_some(())
        });
        this
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap()
    }

    /// The lines of its log so far, each of which must be a JSON object.
    pub(crate) fn events(&self) -> Vec<Value> {
        events_of(&self.log())
    }

    pub(crate) fn url(&self) -> String {
        match &self.address {
            Address::Tcp(address) => format!("http://{address}"),
            Address::Unix(path) => panic!("{} has no URL", path.display()),
        }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// A request with the token.
    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        Request::new(&self.address, method, path).header("Authorization", &format!("Bearer {TOKEN}"))
    }

    fn tool_calls(&self, trigger: &str, skills: &[&str], calls: &[Value]) -> Request {
        let mut body = json!({"toolCalls": calls});
        if !skills.is_empty() {
            body["skills"] = json!(skills);
        }
        self.request("POST", &format!("/v1/triggers/{trigger}/tool-calls")).json(&body)
    }

    /// Carries calls out; the answer must be a success.
    #[track_caller]
    pub(crate) fn call(&self, trigger: &str, skills: &[&str], calls: &[Value]) -> Value {
        self.tool_calls(trigger, skills, calls).send().expect(200)
    }

    /// Carries one call out and returns its `result`.
    #[track_caller]
    pub(crate) fn result(&self, trigger: &str, call: &Value) -> Value {
        let answer = self.call(trigger, &[], std::slice::from_ref(call));
        let result = answer["toolResults"][0]["result"].clone();
        assert!(!result.is_null(), "{answer}");
        result
    }

    /// Carries calls out with their events as they happen.
    pub(crate) fn stream(&self, trigger: &str, skills: &[&str], calls: &[Value]) -> Streaming {
        self.tool_calls(trigger, skills, calls).header("Accept", "text/event-stream").stream()
    }

    /// Sends calls and does not wait for anything; the connection is what comes back.
    pub(crate) fn send_only(&self, trigger: &str, calls: &[Value]) -> impl Sized + use<> {
        self.tool_calls(trigger, &[], calls).send_only()
    }

    pub(crate) fn status(&self, trigger: &str) -> Value {
        self.request("GET", &format!("/v1/triggers/{trigger}")).send().expect(200)
    }

    pub(crate) fn end(&self, trigger: &str) {
        self.request("DELETE", &format!("/v1/triggers/{trigger}")).send().expect(204);
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        until("the server ends", limit, || self.child.try_wait().unwrap())
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        assert_eq!(self.wait(Duration::from_secs(5)).signal(), Some(9));
    }

    /// Keeps the directory for a server that comes after.
    pub(crate) fn keep_directory(&mut self) -> TempDir {
        self._own.take().expect("this server made its directory itself")
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_some() {
            return;
        }
        self.signal(Signal::TERM);
        if within(Duration::from_secs(30), || self.child.try_wait().unwrap()).is_some() {
            return;
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The events in a log; a line without its end may not be whole yet.
pub(crate) fn events_of(log: &str) -> Vec<Value> {
    let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let events = lines.map(|line| match serde_json::from_str::<Value>(line) {
        Ok(event) if event.is_object() => event,
        _ => panic!("a line of the log is no JSON object: {line}"),
    });
    events.collect()
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A call of a tool, with an id that no other call has.
pub(crate) fn call(tool: &str, args: &Value) -> Value {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    json!({"toolCallId": format!("call-{number}"), "toolName": format!("octavus_{tool}"), "args": args})
}

pub(crate) fn python(code: &str) -> Value {
    call("code_run", &json!({"language": "python", "code": code}))
}

pub(crate) fn bash(code: &str) -> Value {
    call("code_run", &json!({"language": "bash", "code": code}))
}

/// Each of the six tools once, in one trigger, with what must come back under every driver. Returns the result of the
/// code, which has saved `b.bin`.
#[track_caller]
pub(crate) fn six_tools(server: &Serve, trigger: &str) -> Value {
    let skill = json!({"skill": "text-report"});
    let args = json!({"skill": "text-report", "script": "report.sh", "args": ["/workspace/a.txt"]});
    let calls = [
        call("skill_read", &skill),
        call("skill_list", &skill),
        call("file_write", &json!({"path": "a.txt", "content": "Ein Satz. Noch einer!"})),
        call("skill_run", &args),
        python("print(open('a.txt').read().upper()); open('/output/b.bin', 'wb').write(bytes(range(256)))"),
        call("file_read", &json!({"path": "/output/b.bin"})),
    ];
    let answer = server.call(trigger, &["text-report"], &calls);
    let results: Vec<&Value> =
        answer["toolResults"].as_array().unwrap().iter().map(|result| &result["result"]).collect();
    let [read, list, write, run, code, file] = results.as_slice() else { panic!("{answer}") };
    assert!(read["content"].as_str().unwrap().starts_with("---\nname: text-report\n"), "{read}");
    assert_eq!(read["directory"], "/skills/text-report");
    assert_eq!(list["scripts"][1]["path"], "scripts/report.sh");
    assert_eq!(**write, json!({"path": "/workspace/a.txt", "size": 21}));
    assert_eq!(run["exitCode"], 0, "{run}");
    assert_eq!(run["outputFiles"].as_array().unwrap().len(), 3, "{run}");
    assert_eq!(code["stdout"], "EIN SATZ. NOCH EINER!\n");
    // Only what is new since the call before.
    assert_eq!(code["outputFiles"].as_array().unwrap().len(), 1, "{code}");
    assert_eq!(code["outputFiles"][0]["name"], "b.bin");
    assert_eq!((&file["encoding"], &file["size"]), (&json!("base64"), &json!(256)));
    (*code).clone()
}
