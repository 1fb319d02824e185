//! `skillbox inspect`: what is in a skill.

use serde_json::{Map, Value, json};
use skill::{Skill, SkillFile};

use crate::{
    args::Inspect,
    error::{CommandError, Kind},
    escape,
    exit::Exit,
    output::{self, DIM, Output},
    units::show_size,
};

pub(crate) fn execute(command: &Inspect, output: Output) -> Result<Exit, CommandError> {
    let skill = Skill::load(&command.path)?;
    let digest =
        skill.digest().map_err(|error| CommandError::of(Kind::User, "SKILL_UNREADABLE", &error))?.to_string();
    if output.json {
        output.print_json(&document(&skill, &digest))?;
    } else {
        output::print(&text(&skill, &digest))?;
    }
    Ok(Exit::OK)
}

fn document(skill: &Skill, digest: &str) -> Value {
    let frontmatter = skill.frontmatter();
    let file = |file: &SkillFile| json!({"path": file.path, "size": file.size});
    let mut document = Map::new();
    let mut put = |key: &str, value: Value| document.insert(key.to_owned(), value);
    put("schemaVersion", json!(1));
    put("slug", json!(skill.name().as_str()));
    put("description", json!(skill.description()));
    let optional = [
        ("license", frontmatter.license()),
        ("compatibility", frontmatter.compatibility()),
        ("version", frontmatter.version()),
        ("author", frontmatter.author()),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            put(key, json!(value));
        }
    }
    let tools = frontmatter.allowed_tools();
    if !tools.is_empty() {
        put("allowedTools", json!(tools));
    }
    let metadata: Map<String, Value> =
        frontmatter.metadata().map(|(key, value)| (key.to_owned(), json!(value))).collect();
    put("metadata", Value::Object(metadata));
    put("digest", json!(digest));
    put("files", skill.files().iter().map(file).collect());
    let scripts = skill.scripts().iter().map(|script| {
        let mut entry =
            json!({"path": script.path, "language": script.language.as_str(), "size": script.size});
        if let Some(description) = &script.description {
            entry["description"] = json!(description);
        }
        entry
    });
    put("scripts", scripts.collect());
    put("references", skill.references().map(file).collect());
    put("assets", skill.assets().map(file).collect());
    put(
        "requirements",
        requirements(skill)
            .into_iter()
            .map(|(path, line)| json!({"path": path, "requirement": line}))
            .collect(),
    );
    put("findings", json!(skill.diagnostics().len()));
    Value::Object(document)
}

fn text(skill: &Skill, digest: &str) -> String {
    let frontmatter = skill.frontmatter();
    let mut text = format!("{}\n  {}\n\n", skill.name(), escape::line(skill.description()));
    let total: u64 = skill.files().iter().map(|file| file.size).sum();
    let mut fact = |name: &str, value: &str| {
        text.push_str(&format!("{DIM}{name:<14}{DIM:#}{}\n", escape::line(value)));
    };
    let optional = [
        ("version", frontmatter.version()),
        ("author", frontmatter.author()),
        ("license", frontmatter.license()),
        ("compatibility", frontmatter.compatibility()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            fact(name, value);
        }
    }
    fact("digest", digest);
    fact("files", &format!("{}, {}", skill.files().len(), show_size(total)));
    let list = |text: &mut String, title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            text.push_str(&format!("\n{title}\n"));
            for line in lines {
                text.push_str(&format!("  {}\n", escape::line(&line)));
            }
        }
    };
    let file = |file: &SkillFile| format!("{}  {}", file.path, show_size(file.size));
    let scripts = skill.scripts().iter().map(|script| {
        let about = script.description.as_deref().map(|about| format!("  {about}")).unwrap_or_default();
        format!("{}  {}  {}{about}", script.path, script.language.as_str(), show_size(script.size))
    });
    list(&mut text, "scripts", scripts.collect());
    list(&mut text, "references", skill.references().map(file).collect());
    list(&mut text, "assets", skill.assets().map(file).collect());
    let needs = requirements(skill).into_iter().map(|(path, line)| format!("{line}  ({path})"));
    list(&mut text, "requirements", needs.collect());
    text
}

/// What the skill needs, and where that stands.
fn requirements(skill: &Skill) -> Vec<(String, String)> {
    let declared = skill.requirements();
    let files =
        declared.files.iter().flat_map(|file| file.lines().map(|line| (file.path.clone(), line.to_owned())));
    let scripts = declared
        .scripts
        .iter()
        .flat_map(|script| script.dependencies.iter().map(|line| (script.path.clone(), line.clone())));
    files.chain(scripts).collect()
}
