//! Skills that change while they are served: one version for each trigger, the newest one for the next.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    require::require,
    serve::{Options, Serve, call},
    wait::until,
};

/// How long a change may take to be found.
const FOUND: Duration = Duration::from_secs(30);

fn write(skills: &Path, version: &str) {
    let folder = skills.join("teller");
    fs::create_dir_all(folder.join("scripts")).unwrap();
    let text = format!("---\nname: teller\ndescription: Tells {version}.\n---\nThis is {version}.\n");
    fs::write(folder.join("scripts/tell.sh"), format!("echo {version}\n")).unwrap();
    fs::write(folder.join("SKILL.md"), text).unwrap();
}

/// What a trigger reads, and what it runs.
fn told(server: &Serve, trigger: &str) -> (String, String) {
    let ask = |tool: &str, args: Value| {
        let answer = server.call(trigger, &["teller"], &[call(tool, &args)]);
        answer["toolResults"][0]["result"].clone()
    };
    let read = ask("skill_read", json!({"skill": "teller"}));
    let ran = ask("skill_run", json!({"skill": "teller", "script": "tell.sh"}));
    (read["content"].as_str().unwrap().to_owned(), ran["stdout"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_trigger_has_one_version_of_a_skill_and_the_next_one_has_the_newest() {
    if !require("native") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let skills = directory.path().join("skills");
    write(&skills, "one");
    let server = Serve::with(&Options { skills: Some(skills.clone()), ..Options::default() });
    assert!(told(&server, "early").0.contains("This is one."));
    let description = || {
        let listed = server.request("GET", "/v1/skills").send().expect(200);
        listed["skills"].as_array().unwrap().iter().find(|skill| skill["slug"] == "teller").cloned()
    };
    write(&skills, "two");
    until("the change is taken up", FOUND, || {
        let now = server.request("GET", "/v1/skills/teller").send().expect(200);
        (now["description"] == "Tells two.").then_some(())
    });
    // The folder may have been seen between its two files; what is served in the end is whole.
    let mut looks = 0;
    until("both files are taken up", FOUND, || {
        looks += 1;
        let trigger = format!("late-{looks}");
        let (read, ran) = told(&server, &trigger);
        server.end(&trigger);
        (read.contains("This is two.") && ran == "two\n").then_some(())
    });
    let (read, ran) = told(&server, "early");
    assert!(read.contains("This is one.") && ran == "one\n", "{read} {ran}");
    // A broken one is said, and its last good version goes on.
    fs::write(skills.join("teller/SKILL.md"), "broken").unwrap();
    until("the problem is logged", FOUND, || server.log().contains("teller` is not loaded").then_some(()));
    assert_eq!(told(&server, "broken").1, "two\n");
    // One that is gone is gone, but not for those who have it.
    fs::remove_dir_all(skills.join("teller")).unwrap();
    until("it is gone", FOUND, || description().is_none().then_some(()));
    let (read, ran) = told(&server, "broken");
    assert!(read.contains("This is two.") && ran == "two\n", "{read} {ran}");
}
