//! The registry of skills: install a bundle, look, remove, or only validate.

use std::{
    io::{self, Cursor, ErrorKind},
    panic::resume_unwind,
};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest as _, Multipart, Request, State},
    http::StatusCode,
    response::IntoResponse as _,
};
use runner::{PrepareError, SkillEntry};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use skill::{
    BundleError, BundleLimits, CatalogError, Diagnostic, Draft, LoadError, Origin, Profile, Severity,
};
use tokio::task::spawn_blocking;

use crate::{
    app::App,
    body::{self, Received},
    problem::{Answer, Code, Problem, chain},
    routes::{PathOf, QueryOf, json_response},
};

/// Room for what a form has around a bundle.
const AROUND: usize = 64 * 1024;
const ZIP: &str = "application/zip";
const FORM: &str = "multipart/form-data";

/// `GET /v1/skills`
pub(crate) async fn list(State(app): State<App>) -> Answer {
    let skills: Vec<Value> =
        app.runner.skills().list().iter().map(|entry| Value::Object(summary(entry))).collect();
    Ok(json_response(&json!({"skills": skills})))
}

/// `GET /v1/skills/{slug}`
pub(crate) async fn show(State(app): State<App>, PathOf(slug): PathOf<String>) -> Answer {
    let entry = app.runner.skills().get(&slug).ok_or_else(not_found)?;
    let mut members = summary(&entry);
    let skill = entry.skill;
    let files = |files: &mut dyn Iterator<Item = &skill::SkillFile>| -> Value {
        files.map(|file| json!({"path": file.path, "size": file.size})).collect()
    };
    let scripts = skill.scripts().iter().map(|script| {
        let mut shown =
            json!({"path": script.path, "language": script.language.as_str(), "size": script.size});
        if let Some(description) = &script.description {
            shown["description"] = description.as_str().into();
        }
        shown
    });
    members.insert("scripts".into(), scripts.collect());
    members.insert("references".into(), files(&mut skill.references()));
    members.insert("assets".into(), files(&mut skill.assets()));
    members.insert("files".into(), files(&mut skill.files().iter()));
    members.insert("diagnostics".into(), skill.diagnostics().iter().map(shown).collect());
    let reading = skill.clone();
    match blocking(move || reading.digest()).await {
        Ok(digest) => {
            members.insert("digest".into(), format!("sha256:{digest}").into());
        }
        // A built-in skill that was changed under us; it still has everything else.
        Err(error) => tracing::warn!(error = chain(&error), "the files of a skill cannot be read"),
    }
    Ok(json_response(&members))
}

/// `POST /v1/skills`
pub(crate) async fn install(State(app): State<App>, request: Request) -> Answer {
    let Received { value: bundle, permits } = bundle(&app, request).await?;
    let installed = app.runner.skills().install(bundle).await.map_err(refused)?;
    drop(permits);
    let slug = installed.skill.name().to_string();
    tracing::info!(skill.name = slug, created = installed.created, "a skill was installed");
    // Now, so that its first call need not wait. Where that fails the skill is there all the same, and its calls say why.
    let dependencies = match app.runner.prepare_skill(&slug, &|_| {}).await {
        Ok(()) => json!({"state": "ready"}),
        Err(error) => json!({"state": "failed", "error": dependencies_failed(&error)}),
    };
    let body = json!({
        "skillId": slug,
        "slug": slug,
        "created": installed.created,
        "dependencies": dependencies,
        "diagnostics": installed.skill.diagnostics().iter().map(shown).collect::<Vec<_>>(),
    });
    let status = if installed.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, json_response(&body)).into_response())
}

/// `DELETE /v1/skills/{slug}`
pub(crate) async fn remove(State(app): State<App>, PathOf(slug): PathOf<String>) -> Answer {
    let skills = app.runner.skills();
    if skills.remove(&slug).await.map_err(refused)? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Err(match skills.get(&slug) {
        Some(_) => {
            Problem::new(Code::SkillsReadOnly, "this skill is built in; only uploaded skills can be removed")
        }
        None => not_found(),
    })
}

/// `POST /v1/skills/validate`
pub(crate) async fn validate(
    State(app): State<App>,
    QueryOf(query): QueryOf<ValidateQuery>,
    request: Request,
) -> Answer {
    let profile: Profile = match &query.profile {
        Some(name) => name
            .parse()
            .map_err(|error: skill::UnknownProfile| Problem::new(Code::InvalidRequest, error.to_string()))?,
        None => Profile::default(),
    };
    let Received { value: bundle, permits } = bundle(&app, request).await?;
    let checked = blocking(move || {
        let draft = Draft::from_bundle(Cursor::new(bundle), &BundleLimits::default())?;
        let found = ::validate::check(&draft, &::validate::Options { profile, ..Default::default() });
        let slug = draft.frontmatter().and_then(|frontmatter| frontmatter.name());
        let slug = slug.filter(|name| skill::SkillName::parse(name).is_ok()).map(str::to_owned);
        Ok((slug, found))
    })
    .await;
    drop(permits);
    let (slug, findings): (Option<String>, Vec<Value>) = match checked {
        Ok((slug, found)) => (slug, found.iter().map(shown).collect()),
        Err(error) => (None, findings(&error).ok_or_else(|| Problem::internal("validate a bundle", &error))?),
    };
    let of = |severity: &str| -> Vec<&Value> {
        findings.iter().filter(|finding| finding["severity"] == severity).collect()
    };
    let (errors, warnings, infos) = (of("error"), of("warning"), of("info"));
    let mut body = Map::new();
    if let Some(slug) = slug {
        body.insert("slug".into(), slug.into());
    }
    body.insert("valid".into(), errors.is_empty().into());
    body.insert("errors".into(), json!(errors));
    body.insert("warnings".into(), json!(warnings));
    body.insert("infos".into(), json!(infos));
    Ok(json_response(&body))
}

/// How a bundle is looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ValidateQuery {
    profile: Option<String>,
}

fn summary(entry: &SkillEntry) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("slug".into(), entry.skill.name().as_str().into());
    members.insert("description".into(), entry.skill.description().into());
    let origin = match entry.origin {
        Origin::BuiltIn => "builtin",
        Origin::Uploaded => "uploaded",
    };
    members.insert("origin".into(), origin.into());
    if entry.shadows {
        members.insert("shadowsBuiltin".into(), true.into());
    }
    members
}

/// The bundle in a body: the body itself, or the field `file` of a form.
async fn bundle(app: &App, request: Request) -> Result<Received<Bytes>, Problem> {
    let form = match body::media_type(request.headers()).as_deref() {
        Some(ZIP) => false,
        Some(FORM) => true,
        _ => {
            let detail = "send the bundle as application/zip, or as the field `file` of multipart/form-data";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
    };
    body::check_type(request.headers(), if form { FORM } else { ZIP })?;
    let (parts, body) = request.into_parts();
    let limit = app.config.bundle_bytes;
    if !form {
        return body::read(app, body, limit).await;
    }
    let Received { value: bytes, permits } = body::read(app, body, limit + AROUND).await?;
    let request = Request::from_parts(parts, Body::from(bytes));
    let broken = |_| Problem::new(Code::BadRequest, "the form cannot be read");
    let mut form = Multipart::from_request(request, app)
        .await
        .map_err(|_| Problem::new(Code::BadRequest, "the form has no boundary"))?;
    while let Some(field) = form.next_field().await.map_err(broken)? {
        if field.name() == Some("file") {
            let value = field.bytes().await.map_err(broken)?;
            return Ok(Received { value, permits });
        }
    }
    Err(Problem::new(Code::InvalidRequest, "the form has no field `file` with the bundle"))
}

/// Why a skill is not installed or removed.
fn refused(error: CatalogError) -> Problem {
    match &error {
        CatalogError::Load(load) => {
            if let Some(findings) = findings(load) {
                return Problem::new(Code::InvalidSkill, chain(load)).with("diagnostics", findings);
            }
            match load {
                LoadError::Bundle(BundleError::Write { source, .. }) => disk(source, &error),
                _ => Problem::internal("install a skill", &error),
            }
        }
        CatalogError::ReadOnly => Problem::new(Code::SkillsReadOnly, error.to_string()),
        CatalogError::Io { source, .. } => disk(source, &error),
        _ => Problem::internal("change the skills", &error),
    }
}

fn disk(source: &io::Error, error: &CatalogError) -> Problem {
    let problem = Problem::internal("write a skill", error);
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Problem::new(Code::StorageFull, "the runner has no space left for skills")
        }
        _ => problem,
    }
}

/// What is wrong with a bundle; `None` where the bundle is not to blame.
fn findings(error: &LoadError) -> Option<Vec<Value>> {
    match error {
        LoadError::Invalid { diagnostics } => Some(diagnostics.iter().map(shown).collect()),
        LoadError::Bundle(bundle) => {
            let mut finding =
                json!({"rule": bundle.rule()?.code(), "severity": "error", "message": chain(bundle)});
            if let Some(help) = bundle.help() {
                finding["help"] = help.into();
            }
            Some(vec![finding])
        }
        LoadError::Folder(_) | LoadError::Read(_) => {
            Some(vec![json!({"severity": "error", "message": chain(error)})])
        }
        _ => None,
    }
}

fn shown(diagnostic: &Diagnostic) -> Value {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    let mut members = json!({
        "rule": diagnostic.rule.code(),
        "severity": severity,
        "message": diagnostic.message,
        "path": diagnostic.location.file,
    });
    if let Some(span) = diagnostic.location.span {
        members["line"] = span.start.line.into();
        members["column"] = span.start.column.into();
    }
    if let Some(help) = &diagnostic.help {
        members["help"] = help.as_str().into();
    }
    members
}

/// For whoever uploaded the skill where it is the skill's fault; else only that it failed.
fn dependencies_failed(error: &PrepareError) -> String {
    match error {
        PrepareError::Dependencies { source, .. } if source.is_fault_of_skill() => chain(source),
        _ => {
            tracing::error!(error = chain(error), "a skill cannot be made ready");
            error.to_string()
        }
    }
}

fn not_found() -> Problem {
    Problem::new(Code::NotFound, "there is no such skill; GET /v1/skills lists all")
}

/// Work on files, away from the threads that serve connections.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        // The runtime is going away, and this request with it.
        Err(_) => std::future::pending().await,
    }
}
