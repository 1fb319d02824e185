//! A trigger's hold on its sandbox: how it is made, found dead, filled with skills, and destroyed.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use layer::{CompileError, LayerError};
use sandbox::{
    DriverErrorKind, FileErrorKind, Limits, Owner, Sandbox, SandboxError, SandboxId, SandboxPath,
    SandboxSpec, layout,
};
use skill::Skill;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep, timeout},
};
use tool::{INVENTORY_BYTES, Inventory, OutputFile, ToolError};

use crate::{
    CallError, CallReport, PrepareError, SandboxReport, TriggerId,
    capture::{Destination, Seen, capture},
    environment::Packages,
    fault::chain,
    progress::{ProgressKind, ProgressLog},
    runner::Core,
    skills::Prepared,
    trigger::{Job, LAST_CAPTURE, Stop},
};

/// How long a creation may go on after its call was cancelled. Creation is quick, and a sandbox that is there can be kept
/// or destroyed in order; only a driver that hangs is dropped in the middle.
const CREATION_GRACE: Duration = Duration::from_secs(1);

/// A living sandbox and what the runner knows of it. Every way out ends in [`Lease::retire`].
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) sandbox: Sandbox,
    pub(crate) limits: Limits,
    pub(crate) lifetime: Duration,
    /// What `/output` had when it was last captured.
    pub(crate) seen: Seen,
    /// Whether something may be in `/output` that was not captured.
    pub(crate) dirty: bool,
    /// It took the place of another, and no result has said so yet.
    pub(crate) restart_untold: bool,
    /// Names the code files of this sandbox.
    pub(crate) codes: u64,
    id: SandboxId,
    ends: Instant,
    /// Slugs of the skills that are in it.
    placed: Vec<String>,
    /// Mounted layers with the slug of each one's skill, in the order of the skills.
    layers: Vec<(String, layer::Layer)>,
    /// The skill whose script ran last.
    last_skill: Option<String>,
    /// Whether the layers of all skills are united for code.
    united: bool,
    /// What its image says it has, once that was asked for.
    image: Option<Inventory>,
    _permit: OwnedSemaphorePermit,
}

/// Why a sandbox is destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Ended,
    TimeOver,
    Broken,
    Shutdown,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::TimeOver => "time-over",
            Self::Broken => "broken",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Name and end of the living sandbox, for whoever asks while a job has it.
#[derive(Clone, Default)]
pub(crate) struct View(Arc<Mutex<Option<(SandboxId, Instant)>>>);

impl View {
    pub(crate) fn get(&self) -> Option<(SandboxId, Instant)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn set(&self, id: SandboxId, ends: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, ends));
    }
}

impl fmt::Debug for View {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("View").field(&self.get().map(|(id, _)| id)).finish()
    }
}

/// The trigger's sandbox, with all of its skills in place: the one that it has, or a new one in place of one that is over
/// or dead, or its first.
pub(crate) async fn acquire<'slot>(
    job: &mut Job,
    slot: &'slot mut Option<Lease>,
    report: &mut CallReport,
) -> Result<&'slot mut Lease, Stop> {
    if let Some(mut lease) = slot.take() {
        if lease.sandbox.remaining().is_zero() {
            job.retire(lease, Reason::TimeOver).await;
        } else if !lease.is_alive().await {
            tracing::warn!(sandbox.id = %lease.id, "a sandbox was found dead and is replaced");
            job.retire(lease, Reason::Broken).await;
        } else {
            *slot = Some(lease);
        }
    }
    let (lease, created_in) = match slot.take() {
        Some(lease) => (lease, None),
        None => {
            let (lease, took) = create(job).await?;
            job.had_sandbox = true;
            (lease, Some(took))
        }
    };
    let restarted = lease.restart_untold;
    let driver = job.core.driver.name();
    report.sandbox = Some(SandboxReport { id: lease.id.clone(), driver, created_in, restarted });
    tracing::Span::current().record("sandbox.id", lease.id.as_str());
    let lease = slot.insert(lease);
    lease.place_missing(job).await?;
    Ok(lease)
}

async fn create(job: &Job) -> Result<(Lease, Duration), Stop> {
    let core = &job.core;
    let mut skills = Vec::new();
    for skill in job.plan.skills.iter() {
        skills.push((Arc::clone(skill), prepare(job, skill).await?));
    }
    let permit = timeout(core.config.sandbox_wait, Arc::clone(&core.sandboxes).acquire_owned());
    let permit = tokio::select! {
        biased;
        () = job.cancel.cancelled() => return Err(ToolError::cancelled().into()),
        permit = permit => permit,
    };
    let busy = || {
        Stop::Refused(CallError::Busy { what: "sandboxes are in use", retry_after: core.config.retry_after })
    };
    let Ok(Ok(permit)) = permit else { return Err(busy()) };
    let id = SandboxId::new(format!("sb-{}", uuid::Uuid::new_v4().simple()))
        .ok_or_else(|| Stop::fault(ToolError::sandbox_start_failed(), "a sandbox id was not valid"))?;
    let layers: Vec<(String, layer::Layer)> = skills
        .iter()
        .filter_map(|(skill, prepared)| Some((skill.name().to_string(), prepared.layer.clone()?)))
        .collect();
    // Skills with the same dependencies share a layer.
    let mut mounts: Vec<sandbox::Layer> = Vec::new();
    for (_, layer) in &layers {
        if mounts.iter().all(|mount| mount.digest != layer.digest) {
            mounts.push(sandbox::Layer { digest: layer.digest.clone(), directory: layer.directory.clone() });
        }
    }
    let resolved = &job.plan.resolved;
    let spec = SandboxSpec {
        id: id.clone(),
        limits: resolved.limits.clone(),
        lifetime: resolved.lifetime,
        layers: mounts,
    };
    job.progress.push(ProgressKind::SandboxCreating { sandbox: id.to_string() });
    let begin = Instant::now();
    let given_up = async {
        job.cancel.cancelled().await;
        sleep(CREATION_GRACE).await;
    };
    let created = tokio::select! {
        created = Sandbox::create(&*core.driver, &spec) => created,
        () = given_up => return Err(ToolError::cancelled().into()),
    };
    let sandbox = created.map_err(|error| match &error {
        SandboxError::Driver { source, .. } if source.kind == DriverErrorKind::Busy => busy(),
        _ => Stop::fault(ToolError::sandbox_start_failed(), chain(&error)),
    })?;
    let mut lease = Lease {
        ends: begin + resolved.lifetime,
        id: id.clone(),
        sandbox,
        limits: spec.limits,
        lifetime: resolved.lifetime,
        seen: Seen::default(),
        dirty: false,
        restart_untold: job.had_sandbox,
        codes: 0,
        placed: Vec::new(),
        layers,
        last_skill: None,
        united: false,
        image: None,
        _permit: permit,
    };
    job.view.set(id.clone(), lease.ends);
    let filled = async {
        for (skill, prepared) in &skills {
            lease.place(skill, prepared).await?;
        }
        lease.put_inputs(job).await
    };
    if let Err(stop) = filled.await {
        job.retire(lease, Reason::Broken).await;
        return Err(stop);
    }
    let took = begin.elapsed();
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    job.progress.push(ProgressKind::SandboxCreated { sandbox: id.to_string(), duration_ms });
    Ok((lease, took))
}

/// What the sandbox needs of a skill. A dependency that cannot be had is the fault of the skill, or ours.
async fn prepare(job: &Job, skill: &Arc<Skill>) -> Result<Arc<Prepared>, Stop> {
    let slug = skill.name().to_string();
    let progress = |event: layer::Event<'_>| {
        let step = match event.step {
            layer::Step::Waiting => "waiting",
            layer::Step::Resolving => "resolving",
            layer::Step::Installing => "installing",
            layer::Step::Compiling => "compiling",
            layer::Step::Ready => "ready",
        };
        let packages = event.packages.to_vec();
        job.progress.push(ProgressKind::DependenciesPreparing { skill: slug.clone(), step, packages });
    };
    let prepared = tokio::select! {
        biased;
        () = job.cancel.cancelled() => return Err(ToolError::cancelled().into()),
        prepared = job.core.skills.prepare(skill, &progress) => prepared,
    };
    prepared.map_err(|error| {
        let fault = chain(&error);
        match error {
            PrepareError::Dependencies {
                source: LayerError::Compile { source: CompileError::Busy }, ..
            } => Stop::Refused(CallError::Busy {
                what: "sandboxes are in use",
                retry_after: job.core.config.retry_after,
            }),
            PrepareError::Dependencies { source, .. } if source.is_fault_of_skill() => {
                Stop::fault(ToolError::dependencies_failed(&slug, &source.to_string()), fault)
            }
            _ => Stop::fault(ToolError::sandbox_start_failed(), fault),
        }
    })
}

impl Lease {
    /// When its lifetime is over.
    pub(crate) fn ends(&self) -> Instant {
        self.ends
    }

    /// What programs find without bringing it along: what the image says it has, and the mounted layers.
    ///
    /// The image's word is asked for once, through init, and only names are kept of it. An image without a list, or one
    /// that cannot be read, has nothing to say.
    pub(crate) async fn inventory(&mut self) -> Inventory {
        if self.image.is_none() {
            let answer = self.sandbox.read(&SandboxPath::packages(), 0, INVENTORY_BYTES).await;
            let text = answer.ok().and_then(Result::ok).map(|range| range.bytes).unwrap_or_default();
            self.image = Some(Inventory::parse(&text));
        }
        let mut inventory = self.image.clone().unwrap_or_default();
        let layers = self.layers.iter().flat_map(|(_, layer)| &layer.packages);
        inventory.python.extend(layers.map(|package| package.name.clone()));
        inventory.python.sort_unstable();
        inventory.python.dedup();
        inventory
    }

    /// Where a program finds packages: a skill's script its own skill's alone, code those of all skills.
    ///
    /// Code of a trigger whose skills want different versions of something gets those of the skill that ran last, since
    /// no program could have both.
    pub(crate) async fn packages(&mut self, skill: Option<&str>) -> Result<Packages, SandboxError> {
        let mut layers: Vec<&layer::Layer> = Vec::new();
        match skill {
            Some(slug) => {
                self.last_skill = Some(slug.to_owned());
                layers.extend(self.layers.iter().find(|(known, _)| known == slug).map(|(_, layer)| layer));
            }
            None => layers = of_code(&self.layers, self.last_skill.as_deref()),
        }
        let mount = |layer: &layer::Layer| format!("{}/{}", layout::LAYERS, layer.digest);
        let commands = layers.iter().map(|layer| format!("{}/bin", mount(layer))).collect();
        let base = match &layers[..] {
            [] => None,
            [layer] => Some(mount(layer)),
            [first, ..] => {
                let lines: String =
                    layers.iter().map(|layer| format!("{}/{}\n", mount(layer), layer.site)).collect();
                let path = SandboxPath::united(&first.site);
                if !self.united {
                    // Where it cannot be written, the disk is full, and the program will say so.
                    self.united = self.sandbox.write(&path, lines.as_bytes()).await?.is_ok();
                }
                Some(layout::UNITED.to_owned())
            }
        };
        Ok(Packages { base, commands, path: Vec::new() })
    }

    /// Asks init something cheap. A sandbox that died since the last call shows here, before anything runs in it.
    async fn is_alive(&mut self) -> bool {
        let Ok(root) = SandboxPath::readable(layout::WORKSPACE) else { return false };
        // It is a directory, so the answer is that it cannot be read; any answer will do.
        self.sandbox.is_usable() && self.sandbox.read(&root, 0, 0).await.is_ok() && self.sandbox.is_usable()
    }

    /// Puts skills in that were enabled after the sandbox was made.
    async fn place_missing(&mut self, job: &Job) -> Result<(), Stop> {
        for skill in job.plan.skills.iter() {
            if self.placed.iter().any(|slug| slug == skill.name().as_str()) {
                continue;
            }
            let prepared = prepare(job, skill).await?;
            self.place(skill, &prepared).await?;
        }
        Ok(())
    }

    async fn place(&mut self, skill: &Skill, prepared: &Prepared) -> Result<(), Stop> {
        let directory = skill_directory(skill);
        let put = self.sandbox.put(&directory, &prepared.tar, Owner::Init).await;
        let put = put.map_err(|error| chain(&error)).and_then(|put| put.map_err(|error| chain(&error)));
        put.map_err(|fault| {
            Stop::fault(
                ToolError::sandbox_start_failed(),
                format!("skill `{}` was not put: {fault}", skill.name()),
            )
        })?;
        self.placed.push(skill.name().to_string());
        Ok(())
    }

    async fn put_inputs(&mut self, job: &Job) -> Result<(), Stop> {
        for (path, content) in &job.plan.resolved.inputs {
            let failed = |fault: String| Stop::fault(ToolError::sandbox_start_failed(), fault);
            match self.sandbox.write(path, content).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) if error.kind == FileErrorKind::NoSpace => {
                    return Err(ToolError::no_space(path.as_str()).into());
                }
                Ok(Err(error)) => return Err(failed(chain(&error))),
                Err(error) => return Err(failed(chain(&error))),
            }
        }
        Ok(())
    }

    /// What a trigger that ends has not captured yet.
    pub(crate) async fn last_capture(
        &mut self,
        core: &Core,
        trigger: &TriggerId,
        progress: &ProgressLog,
    ) -> Vec<OutputFile> {
        if !self.dirty || !self.sandbox.is_usable() {
            return Vec::new();
        }
        let to = Destination {
            store: &*core.store,
            counts: &core.counts,
            trigger: trigger.as_str(),
            limits: core.config.output,
            entries: core.config.output_entries,
            deadline: Instant::now() + LAST_CAPTURE,
        };
        let mut on_file = |file: &OutputFile| {
            let file = serde_json::to_value(file).unwrap_or_default();
            progress.push(ProgressKind::File { tool_call_id: None, file });
        };
        let captured = capture(&mut self.sandbox, &mut self.seen, &to, &mut on_file).await;
        if let Some(error) = &captured.broken {
            tracing::warn!(trigger.id = %trigger, sandbox.id = %self.id, error = chain(error), "the last capture failed");
        }
        captured.files
    }

    /// Destroys the sandbox. What cannot be removed is logged, and reaped later.
    pub(crate) async fn retire(self, reason: Reason, progress: &ProgressLog) {
        let Self { sandbox, id, _permit, .. } = self;
        if let Err(error) = sandbox.destroy().await {
            tracing::error!(sandbox.id = %id, error = chain(&error), "a sandbox could not be destroyed");
        }
        progress.push(ProgressKind::SandboxDestroyed { sandbox: id.to_string(), reason: reason.as_str() });
    }
}

/// Where a skill is in a sandbox.
pub(crate) fn skill_directory(skill: &Skill) -> String {
    format!("{}/{}", layout::SKILLS, skill.name())
}

/// The layers for code: all, or those of one skill where they contradict each other.
fn of_code<'a>(layers: &'a [(String, layer::Layer)], last: Option<&str>) -> Vec<&'a layer::Layer> {
    let mut distinct: Vec<&layer::Layer> = Vec::new();
    for (_, layer) in layers {
        if distinct.iter().all(|known| known.digest != layer.digest) {
            distinct.push(layer);
        }
    }
    let mut versions: HashMap<&str, &str> = HashMap::new();
    let agree = distinct
        .iter()
        .flat_map(|layer| &layer.packages)
        .all(|package| *versions.entry(&package.name).or_insert(&package.version) == package.version);
    if agree {
        return distinct;
    }
    let own = layers.iter().find(|(slug, _)| Some(slug.as_str()) == last).or(layers.first());
    own.map(|(_, layer)| layer).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_has_all_layers_that_agree() {
        let layer = |digest: &str, version: &str| layer::Layer {
            digest: digest.to_owned(),
            directory: "/cache".into(),
            site: "lib/python3.11/site-packages".to_owned(),
            packages: vec![layer::Package { name: "kit".to_owned(), version: version.to_owned() }],
        };
        let digests = |layers: &[(String, layer::Layer)], last: Option<&str>| {
            of_code(layers, last).iter().map(|layer| layer.digest.clone()).collect::<Vec<_>>()
        };
        let agreeing = [
            ("a".to_owned(), layer("1", "1.0")),
            ("b".to_owned(), layer("2", "1.0")),
            ("c".to_owned(), layer("1", "1.0")),
        ];
        assert_eq!(digests(&agreeing, Some("b")), ["1", "2"]);
        let contrary = [("a".to_owned(), layer("1", "1.0")), ("b".to_owned(), layer("2", "2.0"))];
        assert_eq!(digests(&contrary, None), ["1"]);
        assert_eq!(digests(&contrary, Some("b")), ["2"]);
        // A skill without packages has run last.
        assert_eq!(digests(&contrary, Some("z")), ["1"]);
        assert!(digests(&[], None).is_empty());
    }
}
