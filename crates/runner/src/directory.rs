//! Which triggers there are, how their tasks are reached, and which have ended.
//!
//! A table behind a lock that is held for a lookup and never across an await. Each entry has a generation, so that a task
//! that ends late never touches the entry of a later trigger with the same id.
//!
//! An ended trigger has no task any more. Its id stays for [`crate::Config::ended_retention`], whatever happens to what is
//! kept of it: a platform that comes late is told that it ended, and never starts it anew.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    Shortage, TriggerId, TriggerState,
    keep::Kept,
    progress::ProgressLog,
    trigger::{Message, Remains},
};

/// How a trigger's task is reached.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) inbox: mpsc::Sender<Message>,
    pub(crate) progress: ProgressLog,
    pub(crate) glance: watch::Receiver<Glance>,
}

/// What can be told of a trigger without asking its task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glance {
    pub(crate) state: TriggerState,
    /// When it came into it.
    pub(crate) since: Instant,
}

/// What is known of an id.
#[derive(Debug)]
pub(crate) enum Found {
    /// A task.
    Live(Entry),
    /// It has ended; `None` where nothing of it is kept any more.
    Ended(Option<Arc<Remains>>),
}

/// All triggers of a runner.
#[derive(Debug)]
pub(crate) struct Directory {
    table: Mutex<Table>,
    most_live: usize,
    most_ended: usize,
    retention: Duration,
}

#[derive(Debug, Default)]
struct Table {
    triggers: HashMap<TriggerId, Slot>,
    /// Ended triggers that are still known, the oldest first.
    ended: VecDeque<(TriggerId, u64, Instant)>,
    live: usize,
    last_generation: u64,
}

#[derive(Debug)]
struct Slot {
    generation: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Live(Entry),
    Ended(Kept<Remains>),
}

impl Directory {
    pub(crate) fn new(most_live: usize, most_ended: usize, retention: Duration) -> Self {
        Self { table: Mutex::default(), most_live, most_ended, retention }
    }

    pub(crate) fn find(&self, id: &TriggerId) -> Option<Found> {
        let table = self.table();
        Some(match &table.triggers.get(id)?.state {
            State::Live(entry) => Found::Live(entry.clone()),
            State::Ended(remains) => Found::Ended(remains.get()),
        })
    }

    /// The trigger with this id, or what `start` makes; it gets the new generation.
    pub(crate) fn find_or_start(
        &self,
        id: &TriggerId,
        start: impl FnOnce(u64) -> Entry,
    ) -> Result<Found, Shortage> {
        let mut table = self.table();
        match table.triggers.get(id).map(|slot| &slot.state) {
            Some(State::Ended(remains)) => return Ok(Found::Ended(remains.get())),
            Some(State::Live(entry)) if !entry.inbox.is_closed() => return Ok(Found::Live(entry.clone())),
            // The task broke off, and is just going; it finds its generation gone.
            Some(State::Live(_)) => table.remove(id),
            None => {}
        }
        if table.live >= self.most_live {
            return Err(Shortage::Triggers { most: self.most_live });
        }
        table.live += 1;
        table.last_generation += 1;
        let generation = table.last_generation;
        let entry = start(generation);
        table.triggers.insert(id.clone(), Slot { generation, state: State::Live(entry.clone()) });
        Ok(Found::Live(entry))
    }

    /// The trigger takes no more calls; this is left of it.
    pub(crate) fn mark_ended(&self, id: &TriggerId, generation: u64, remains: Kept<Remains>) {
        let mut table = self.table();
        let Some(slot) = table.triggers.get_mut(id).filter(|slot| slot.generation == generation) else {
            return;
        };
        slot.state = State::Ended(remains);
        table.live -= 1;
        table.ended.push_back((id.clone(), generation, Instant::now() + self.retention));
        while table.ended.len() > self.most_ended {
            table.forget_oldest();
        }
    }

    /// Forgets a trigger whose task broke off.
    pub(crate) fn forget(&self, id: &TriggerId, generation: u64) {
        let mut table = self.table();
        if table.triggers.get(id).is_some_and(|slot| slot.generation == generation && slot.is_live()) {
            table.remove(id);
        }
    }

    /// Triggers that have not ended, by id.
    pub(crate) fn glances(&self) -> Vec<(TriggerId, Glance)> {
        let table = self.table();
        let live = table.triggers.iter().filter_map(|(id, slot)| match &slot.state {
            State::Live(entry) => Some((id.clone(), *entry.glance.borrow())),
            State::Ended(_) => None,
        });
        let mut live: Vec<_> = live.collect();
        drop(table);
        live.sort_unstable_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
        live
    }

    /// Triggers that have not ended.
    pub(crate) fn live(&self) -> usize {
        self.table().live
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // `start` may panic under the lock; the table is whole nevertheless, but for a count that is too high by one.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while table.ended.front().is_some_and(|(_, _, until)| *until <= now) {
            table.forget_oldest();
        }
        table
    }
}

impl Slot {
    fn is_live(&self) -> bool {
        matches!(self.state, State::Live(_))
    }
}

impl Table {
    /// Removes a trigger that has not ended.
    fn remove(&mut self, id: &TriggerId) {
        if self.triggers.remove(id).is_some() {
            self.live -= 1;
        }
    }

    fn forget_oldest(&mut self) {
        let Some((oldest, generation, _)) = self.ended.pop_front() else { return };
        if self.triggers.get(&oldest).is_some_and(|slot| slot.generation == generation) {
            self.triggers.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::keep::Keep;

    const KNOWN: Duration = Duration::from_secs(600);

    fn id(text: &str) -> TriggerId {
        TriggerId::parse(text).unwrap()
    }

    fn start(directory: &Directory, name: &str) -> Result<(u64, mpsc::Receiver<Message>), Shortage> {
        let mut started = None;
        directory.find_or_start(&id(name), |generation| {
            let (inbox, receiver) = mpsc::channel(1);
            started = Some((generation, receiver));
            let glance = watch::channel(Glance { state: TriggerState::Idle, since: Instant::now() }).1;
            Entry { inbox, progress: ProgressLog::new(&Keep::new(1000), 1, 1), glance }
        })?;
        Ok(started.expect("it is new"))
    }

    fn end(directory: &Directory, name: &str, generation: u64) {
        let keep = Keep::new(100_000);
        let remains = Remains::nothing(&keep);
        directory.mark_ended(&id(name), generation, keep.keep(Arc::new(remains), 1));
    }

    fn is_known(directory: &Directory, name: &str) -> bool {
        directory.find(&id(name)).is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_live_ones_are_refused_and_ended_ones_make_room() {
        let directory = Directory::new(1, 10, KNOWN);
        let (generation, _inbox) = start(&directory, "a").unwrap();
        assert_eq!(start(&directory, "b").err(), Some(Shortage::Triggers { most: 1 }));
        end(&directory, "a", generation);
        assert_eq!(directory.live(), 0);
        let _b = start(&directory, "b").unwrap();
        assert!(is_known(&directory, "a"));
        assert_eq!(directory.glances().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn ended_ones_are_forgotten_by_time_and_the_oldest_of_too_many() {
        let directory = Directory::new(10, 2, KNOWN);
        for name in ["a", "b", "c"] {
            let (generation, _inbox) = start(&directory, name).unwrap();
            end(&directory, name, generation);
            advance(Duration::from_secs(1)).await;
        }
        assert!(!is_known(&directory, "a") && is_known(&directory, "b") && is_known(&directory, "c"));
        advance(KNOWN - Duration::from_secs(2)).await;
        assert!(!is_known(&directory, "b") && is_known(&directory, "c"));
        advance(Duration::from_secs(1)).await;
        assert!(!is_known(&directory, "c"));
        assert!(start(&directory, "c").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_task_does_not_touch_its_successor() {
        let directory = Directory::new(10, 10, KNOWN);
        let (old, inbox) = start(&directory, "a").unwrap();
        drop(inbox);
        let (_new, _inbox) = start(&directory, "a").unwrap();
        end(&directory, "a", old);
        directory.forget(&id("a"), old);
        assert!(matches!(directory.find(&id("a")), Some(Found::Live(_))));
        assert_eq!(directory.live(), 1);
    }
}
