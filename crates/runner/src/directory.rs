//! Which triggers there are, and how their tasks are reached.
//!
//! A table behind a lock that is held for a lookup and never across an await. Each entry has a generation, so that a task
//! that ends late never touches the entry of a later trigger with the same id.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::mpsc;

use crate::{TriggerId, progress::ProgressLog, trigger::Message};

/// How a trigger's task is reached.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) inbox: mpsc::Sender<Message>,
    pub(crate) progress: ProgressLog,
}

/// There are too many triggers.
#[derive(Debug)]
pub(crate) struct Full;

/// All triggers of a runner.
#[derive(Debug)]
pub(crate) struct Directory {
    table: Mutex<Table>,
    most_live: usize,
    most_ended: usize,
}

#[derive(Debug, Default)]
struct Table {
    triggers: HashMap<TriggerId, Slot>,
    /// Ended triggers that are still answered, the oldest first.
    ended: VecDeque<(TriggerId, u64)>,
    live: usize,
    last_generation: u64,
}

#[derive(Debug)]
struct Slot {
    entry: Entry,
    generation: u64,
    ended: bool,
}

impl Directory {
    pub(crate) fn new(most_live: usize, most_ended: usize) -> Self {
        Self { table: Mutex::default(), most_live, most_ended }
    }

    pub(crate) fn find(&self, id: &TriggerId) -> Option<Entry> {
        self.table().triggers.get(id).map(|slot| slot.entry.clone())
    }

    /// The trigger with this id, or what `start` makes; it gets the new generation.
    pub(crate) fn find_or_start(
        &self,
        id: &TriggerId,
        start: impl FnOnce(u64) -> Entry,
    ) -> Result<Entry, Full> {
        let mut table = self.table();
        if let Some(slot) = table.triggers.get(id)
            && !slot.entry.inbox.is_closed()
        {
            return Ok(slot.entry.clone());
        }
        // A closed inbox is that of a task which is just going; it finds its generation gone.
        table.remove(id);
        if table.live >= self.most_live {
            return Err(Full);
        }
        table.live += 1;
        table.last_generation += 1;
        let generation = table.last_generation;
        let entry = start(generation);
        table.triggers.insert(id.clone(), Slot { entry: entry.clone(), generation, ended: false });
        Ok(entry)
    }

    /// The trigger takes no more calls but may still be asked. The oldest of too many are forgotten: their tasks end
    /// when nobody can reach them.
    pub(crate) fn mark_ended(&self, id: &TriggerId, generation: u64) {
        let mut table = self.table();
        let Some(slot) =
            table.triggers.get_mut(id).filter(|slot| slot.generation == generation && !slot.ended)
        else {
            return;
        };
        slot.ended = true;
        table.live -= 1;
        table.ended.push_back((id.clone(), generation));
        while table.ended.len() > self.most_ended {
            let Some((oldest, generation)) = table.ended.pop_front() else { break };
            if table.triggers.get(&oldest).is_some_and(|slot| slot.generation == generation) {
                table.triggers.remove(&oldest);
            }
        }
    }

    /// Forgets a trigger whose task is going.
    pub(crate) fn forget(&self, id: &TriggerId, generation: u64) {
        let mut table = self.table();
        if table.triggers.get(id).is_some_and(|slot| slot.generation == generation) {
            table.remove(id);
        }
    }

    /// The triggers that have not ended, in the order of their ids.
    pub(crate) fn list_live(&self) -> Vec<TriggerId> {
        let table = self.table();
        let live = table.triggers.iter().filter(|(_, slot)| !slot.ended);
        let mut ids: Vec<TriggerId> = live.map(|(id, _)| id.clone()).collect();
        ids.sort_unstable();
        ids
    }

    /// Triggers that have not ended.
    pub(crate) fn live(&self) -> usize {
        self.table().live
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // `start` may panic under the lock; the table is whole nevertheless, but for a count that is too high by one.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn remove(&mut self, id: &TriggerId) {
        if let Some(slot) = self.triggers.remove(id) {
            if slot.ended {
                self.ended.retain(|(_, generation)| *generation != slot.generation);
            } else {
                self.live -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> TriggerId {
        TriggerId::parse(text).unwrap()
    }

    fn start(directory: &Directory, name: &str) -> Result<(u64, mpsc::Receiver<Message>), Full> {
        let mut started = None;
        directory.find_or_start(&id(name), |generation| {
            let (inbox, receiver) = mpsc::channel(1);
            started = Some((generation, receiver));
            Entry { inbox, progress: ProgressLog::new(1, 1) }
        })?;
        Ok(started.unwrap())
    }

    #[test]
    fn too_many_live_ones_are_refused_and_ended_ones_make_room() {
        let directory = Directory::new(1, 10);
        let (generation, _inbox) = start(&directory, "a").unwrap();
        assert!(start(&directory, "b").is_err());
        directory.mark_ended(&id("a"), generation);
        directory.mark_ended(&id("a"), generation);
        assert_eq!(directory.live(), 0);
        let _b = start(&directory, "b").unwrap();
        assert!(directory.find(&id("a")).is_some());
    }

    #[test]
    fn the_oldest_of_too_many_ended_ones_is_forgotten() {
        let directory = Directory::new(10, 2);
        let mut inboxes = Vec::new();
        for name in ["a", "b", "c"] {
            let (generation, inbox) = start(&directory, name).unwrap();
            directory.mark_ended(&id(name), generation);
            inboxes.push(inbox);
        }
        assert!(directory.find(&id("a")).is_none());
        assert!(inboxes[0].try_recv().is_err_and(|error| error == mpsc::error::TryRecvError::Disconnected));
        assert!(directory.find(&id("b")).is_some() && directory.find(&id("c")).is_some());
    }

    #[test]
    fn a_late_task_does_not_touch_its_successor() {
        let directory = Directory::new(10, 10);
        let (old, inbox) = start(&directory, "a").unwrap();
        drop(inbox);
        let (_new, _inbox) = start(&directory, "a").unwrap();
        directory.mark_ended(&id("a"), old);
        directory.forget(&id("a"), old);
        assert!(directory.find(&id("a")).is_some());
        assert_eq!(directory.live(), 1);
    }
}
