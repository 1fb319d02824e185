//! A trigger's hold on its sandbox: how it is made, found dead, filled with skills, and destroyed.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sandbox::{
    DriverErrorKind, FileErrorKind, Limits, Owner, Sandbox, SandboxError, SandboxId, SandboxPath,
    SandboxSpec, layout,
};
use skill::Skill;
use tokio::time::{Instant, sleep, timeout};
use tool::{INVENTORY_BYTES, Inventory, OutputFile, ToolError};

use crate::{
    CallError, CallReport, PrepareError, SandboxReport, Shortage, TriggerId,
    capture::{Destination, Seen, capture},
    fault::chain,
    places::{Parking, Place},
    progress::{ProgressKind, ProgressLog},
    runner::Core,
    skills::Prepared,
    trigger::{Job, LAST_CAPTURE, Stop},
};

/// How long a creation may go on after its call was cancelled. Creation is quick, and a sandbox that is there can be kept
/// or destroyed in order; only a driver that hangs is dropped in the middle.
const CREATION_GRACE: Duration = Duration::from_secs(1);

/// How long a creation may take at all. A driver, or the daemon behind it, that takes longer does not answer.
const CREATION: Duration = Duration::from_secs(60);
/// How long an idle init may take to answer.
const ALIVE: Duration = Duration::from_secs(5);
/// How long a destruction may take before its trigger goes on without it. The driver does it in the background, or reaps.
const DESTRUCTION: Duration = Duration::from_secs(15);

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
    /// What its image says it has, once that was asked for.
    image: Option<Inventory>,
    place: Place,
}

/// Why a sandbox is destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Ended,
    TimeOver,
    /// Another trigger needs its place.
    RoomNeeded,
    Broken,
    Shutdown,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::TimeOver => "time-over",
            Self::RoomNeeded => "room-needed",
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
    let place = tokio::select! {
        biased;
        () = job.cancel.cancelled() => return Err(ToolError::cancelled().into()),
        place = core.places.take(&job.tenant, core.config.sandbox_wait) => place,
    };
    let busy = |shortage| Stop::Refused(CallError::Busy { shortage, retry_after: core.config.retry_after });
    let Some(place) = place else { return Err(busy(Shortage::Sandboxes { most: core.config.sandboxes })) };
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
        created = timeout(CREATION, Sandbox::create(&*core.driver, &spec)) => created,
        () = given_up => return Err(ToolError::cancelled().into()),
    };
    let Ok(created) = created else {
        let fault = format!("the driver did not make a sandbox within {CREATION:?}");
        return Err(Stop::fault(ToolError::sandbox_start_failed(), fault));
    };
    let sandbox = created.map_err(|error| match &error {
        SandboxError::Driver { source, .. } if source.kind == DriverErrorKind::Busy => busy(Shortage::Driver),
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
        image: None,
        place,
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

    /// Offers its place to others until that is dropped.
    pub(crate) fn park(&self) -> Parking {
        self.place.places().park(&self.place)
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

    /// Where Python finds the layers: that of `first` before all others.
    pub(crate) fn python_path(&self, first: Option<&str>) -> Vec<String> {
        python_path(&self.layers, first)
    }

    /// Asks init something cheap. A sandbox that died since the last call shows here, before anything runs in it.
    async fn is_alive(&mut self) -> bool {
        let Ok(root) = SandboxPath::readable(layout::WORKSPACE) else { return false };
        // It is a directory, so the answer is that it cannot be read; any answer will do.
        if !self.sandbox.is_usable() {
            return false;
        }
        let answered = timeout(ALIVE, self.sandbox.read(&root, 0, 0)).await;
        answered.is_ok_and(|answer| answer.is_ok()) && self.sandbox.is_usable()
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
            collected: &core.collected,
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
        let Self { sandbox, id, place: _place, .. } = self;
        match timeout(DESTRUCTION, sandbox.destroy()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(sandbox.id = %id, error = chain(&error), "a sandbox could not be destroyed");
            }
            Err(_) => tracing::error!(sandbox.id = %id, "the driver did not destroy a sandbox in time"),
        }
        progress.push(ProgressKind::SandboxDestroyed { sandbox: id.to_string(), reason: reason.as_str() });
    }
}

/// Where a skill is in a sandbox.
pub(crate) fn skill_directory(skill: &Skill) -> String {
    format!("{}/{}", layout::SKILLS, skill.name())
}

fn python_path(layers: &[(String, layer::Layer)], first: Option<&str>) -> Vec<String> {
    let own = layers.iter().filter(|(slug, _)| Some(slug.as_str()) == first);
    let others = layers.iter().filter(|(slug, _)| Some(slug.as_str()) != first);
    let mut path: Vec<String> = Vec::new();
    for (_, layer) in own.chain(others) {
        let mount = format!("{}/{}", layout::LAYERS, layer.digest);
        if !path.contains(&mount) {
            path.push(mount);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skill_finds_its_own_layer_first_and_each_layer_once() {
        let layer = |digest: &str| layer::Layer {
            digest: digest.to_owned(),
            directory: "/cache".into(),
            packages: Vec::new(),
        };
        let layers =
            [("a".to_owned(), layer("1")), ("b".to_owned(), layer("2")), ("c".to_owned(), layer("1"))];
        assert_eq!(python_path(&layers, None), ["/layers/1", "/layers/2"]);
        assert_eq!(python_path(&layers, Some("b")), ["/layers/2", "/layers/1"]);
        assert_eq!(python_path(&[], Some("b")), Vec::<String>::new());
    }
}
