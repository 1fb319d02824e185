//! `skillbox inspect`: what is in a skill.

use std::{fs, path::Path};

use serde_json::{Map, Value, json};
use skill::{Digest, Skill, SkillFile, estimate_tokens};

use crate::{
    args::Inspect,
    error::{CommandError, Kind},
    escape,
    exit::Exit,
    output::{self, DIM, Output},
    units::show_size,
};

/// What has to be read for it beside the skill itself.
struct Measured {
    /// Of paths and contents.
    digest: Digest,
    /// Of each file, in the skill's order.
    files: Vec<Digest>,
    /// Of the bundle, when it is one.
    bundle: Option<Digest>,
    /// About how many tokens each reference has; `None` for what is no text.
    references: Vec<Option<usize>>,
}

pub(crate) fn execute(command: &Inspect, output: Output) -> Result<Exit, CommandError> {
    let skill = Skill::load(&command.path)?;
    let measured = measure(&skill, &command.path)?;
    if output.json {
        output.print_json(&document(&skill, &measured))?;
    } else {
        output::print(&text(&skill, &measured, command.files))?;
    }
    Ok(Exit::OK)
}

fn measure(skill: &Skill, path: &Path) -> Result<Measured, CommandError> {
    let unreadable = |error| CommandError::of(Kind::User, "SKILL_UNREADABLE", &error);
    let files = skill.files().iter().map(|file| skill.file_digest(file)).collect::<Result<_, _>>();
    let is_file =
        path.is_file() && path.file_name().is_some_and(|name| !name.eq_ignore_ascii_case("SKILL.md"));
    let bundle = if is_file {
        let failed = |error| CommandError::io(format!("cannot read `{}`", path.display()), &error);
        // It was just taken for a bundle, so it is not larger than one may be.
        Some(Digest::of(fs::read(path).map_err(failed)?))
    } else {
        None
    };
    let references = skill.references().map(|file| {
        let text = skill.read_text(&file.path).ok().filter(|text| !text.contains('\0'))?;
        Some(estimate_tokens(&text))
    });
    Ok(Measured {
        digest: skill.digest().map_err(unreadable)?,
        files: files.map_err(unreadable)?,
        bundle,
        references: references.collect(),
    })
}

fn document(skill: &Skill, measured: &Measured) -> Value {
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
    put("digest", json!(measured.digest.to_string()));
    if let Some(bundle) = measured.bundle {
        put("bundleSha256", json!(bundle.to_string()));
    }
    let files = skill.files().iter().zip(&measured.files).map(|(entry, digest)| {
        let mut entry_document = file(entry);
        entry_document["executable"] = json!(entry.executable);
        entry_document["sha256"] = json!(digest.to_string());
        entry_document
    });
    put("files", files.collect());
    let scripts = skill.scripts().iter().map(|script| {
        let mut entry =
            json!({"path": script.path, "language": script.language.as_str(), "size": script.size});
        if let Some(description) = &script.description {
            entry["description"] = json!(description);
        }
        if let Some(usage) = &script.usage {
            entry["usage"] = json!(usage);
        }
        entry
    });
    put("scripts", scripts.collect());
    let references = skill.references().zip(&measured.references).map(|(reference, tokens)| {
        let mut entry = file(reference);
        if let Some(tokens) = tokens {
            entry["tokens"] = json!(tokens);
        }
        entry
    });
    put("references", references.collect());
    put("assets", skill.assets().map(file).collect());
    put(
        "requirements",
        requirements(skill)
            .into_iter()
            .map(|(path, line)| json!({"path": path, "requirement": line}))
            .collect(),
    );
    let pythons = skill.requirements().scripts.iter().filter_map(|script| {
        Some(json!({"path": script.path, "requiresPython": script.requires_python.as_ref()?}))
    });
    put("pythonVersions", pythons.collect());
    put(
        "tokens",
        json!({
            "description": estimate_tokens(skill.description()),
            "body": estimate_tokens(skill.body()),
            "references": measured.references.iter().flatten().sum::<usize>(),
        }),
    );
    put("findings", json!(skill.diagnostics().len()));
    Value::Object(document)
}

fn text(skill: &Skill, measured: &Measured, all_files: bool) -> String {
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
    fact("digest", &measured.digest.to_string());
    if let Some(bundle) = measured.bundle {
        fact("bundle sha256", &bundle.to_string());
    }
    fact("files", &format!("{}, {}", skill.files().len(), show_size(total)));
    let (description, body) = (estimate_tokens(skill.description()), estimate_tokens(skill.body()));
    fact("tokens", &format!("about {description} for the description, about {body} for the body"));
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
        let usage = script.usage.as_deref().map(|usage| format!("  usage: {usage}"));
        let line =
            format!("{}  {}  {}{about}", script.path, script.language.as_str(), show_size(script.size));
        std::iter::once(line).chain(usage)
    });
    list(&mut text, "scripts", scripts.flatten().collect());
    let references = skill.references().zip(&measured.references).map(|(reference, tokens)| {
        let tokens = tokens.map(|tokens| format!("  about {tokens} tokens")).unwrap_or_default();
        format!("{}{tokens}", file(reference))
    });
    list(&mut text, "references", references.collect());
    list(&mut text, "assets", skill.assets().map(file).collect());
    let needs = requirements(skill).into_iter().map(|(path, line)| format!("{line}  ({path})"));
    list(&mut text, "requirements", needs.collect());
    let pythons = skill
        .requirements()
        .scripts
        .iter()
        .filter_map(|script| Some(format!("{}  ({})", script.requires_python.as_ref()?, script.path)));
    list(&mut text, "Python version", pythons.collect());
    if all_files {
        let files = skill.files().iter().zip(&measured.files).map(|(entry, digest)| {
            let executable = if entry.executable { "  executable" } else { "" };
            format!("{digest}  {}{executable}", file(entry))
        });
        list(&mut text, "files", files.collect());
    }
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
