//! Everything that is kept for triggers in memory, within one bound of bytes.
//!
//! ```text
//!   most ──────────────────────────────────────────────┐
//!   │ held: declarations, calls that wait, readers …   │ kept: results, events, files, remains of ended triggers │
//!   │ refused where there is no room                   │ the oldest of all triggers goes first                   │
//! ```
//!
//! What is *kept* is for whoever asks later, and may go at any time: its holder has a [`Kept`], which then gives nothing.
//! What is *held* is needed until somebody is done with it: it takes the room of what is kept, up to [`HELD_SHARE`], and
//! beyond that is refused, so that a caller can be told before anything is lost.
//!
//! Weights are estimates from above of what a value takes, its overhead included. The lock is held for a look-up, and no
//! value is dropped under it: values may hold further kept ones.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    marker::PhantomData,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

use crate::Shortage;

/// Quarters of all bytes that can be held. The rest is always there for results.
const HELD_SHARE: usize = 3;
/// What an entry costs here, beside its value.
const ENTRY: usize = 100;

/// The one bound. Clones are the same.
#[derive(Clone)]
pub(crate) struct Keep {
    shared: Arc<Shared>,
}

struct Shared {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By age.
    values: BTreeMap<u64, (Arc<dyn Any + Send + Sync>, usize)>,
    next: u64,
    kept: usize,
    held: usize,
    dropped: u64,
}

/// How many bytes are kept for triggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptBytes {
    /// Results, events, files and remains of ended triggers, in bytes.
    pub kept: usize,
    /// Declarations, calls and readers, in bytes.
    pub held: usize,
    /// The bound of both together, in bytes.
    pub most: usize,
    /// Values that had to go before their time, since the start.
    pub dropped: u64,
}

/// A value that may go.
pub(crate) struct Kept<T> {
    keep: Keep,
    number: u64,
    of: PhantomData<fn() -> T>,
}

/// Bytes that stay until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    keep: Keep,
    bytes: usize,
}

impl Keep {
    pub(crate) fn new(most: usize) -> Self {
        Self { shared: Arc::new(Shared { most, state: Mutex::default() }) }
    }

    /// Keeps a value of about this many bytes, in place of the oldest ones.
    pub(crate) fn keep<T: Any + Send + Sync>(&self, value: Arc<T>, bytes: usize) -> Kept<T> {
        let bytes = bytes + ENTRY;
        let value: Arc<dyn Any + Send + Sync> = value;
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.kept += bytes;
        state.values.insert(number, (value, bytes));
        let gone = state.fit(self.shared.most);
        drop(state);
        drop(gone);
        Kept { keep: self.clone(), number, of: PhantomData }
    }

    /// Holds this many bytes.
    ///
    /// # Errors
    /// So much is held already that there is no room.
    pub(crate) fn hold(&self, bytes: usize) -> Result<Held, Shortage> {
        let mut held = Held { keep: self.clone(), bytes: 0 };
        held.grow(bytes)?;
        Ok(held)
    }

    pub(crate) fn bytes(&self) -> KeptBytes {
        let state = self.state();
        KeptBytes { kept: state.kept, held: state.held, most: self.shared.most, dropped: state.dropped }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes out the oldest values until the rest fits; they are dropped by the caller, without the lock.
    fn fit(&mut self, most: usize) -> Vec<Arc<dyn Any + Send + Sync>> {
        let mut gone = Vec::new();
        while self.kept + self.held > most
            && let Some((_, (value, bytes))) = self.values.pop_first()
        {
            self.kept -= bytes;
            self.dropped += 1;
            gone.push(value);
        }
        gone
    }
}

impl<T: Any + Send + Sync> Kept<T> {
    /// The value, where it is still kept.
    pub(crate) fn get(&self) -> Option<Arc<T>> {
        let value = self.keep.state().values.get(&self.number).map(|(value, _)| Arc::clone(value));
        value.and_then(|value| value.downcast().ok())
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        let mut state = self.keep.state();
        let removed = state.values.remove(&self.number);
        if let Some((_, bytes)) = &removed {
            state.kept -= bytes;
        }
        drop(state);
        drop(removed);
    }
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Kept").field(&self.number).finish()
    }
}

impl fmt::Debug for Keep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Keep").field(&self.bytes()).finish()
    }
}

impl Held {
    /// Holds more.
    ///
    /// # Errors
    /// There is no room; what was held before stays so.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), Shortage> {
        let most = self.keep.shared.most;
        let mut state = self.keep.state();
        if state.held.saturating_add(more) > most / 4 * HELD_SHARE {
            return Err(Shortage::Memory { most });
        }
        state.held += more;
        self.bytes += more;
        let gone = state.fit(most);
        drop(state);
        drop(gone);
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.keep.state().held -= self.bytes;
    }
}

/// About the bytes that a JSON value takes in memory.
pub(crate) fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 40,
        Value::String(text) => 40 + text.len(),
        Value::Array(items) => 40 + items.iter().map(weight).sum::<usize>(),
        Value::Object(members) => {
            40 + members.iter().map(|(name, value)| 64 + name.len() + weight(value)).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_all_go_first_and_their_holders_are_told() {
        let keep = Keep::new(1000);
        let kept: Vec<Kept<usize>> = (0..8).map(|n| keep.keep(Arc::new(n), 100)).collect();
        let alive: Vec<Option<usize>> = kept.iter().map(|one| one.get().map(|value| *value)).collect();
        assert_eq!(alive, [None, None, None, Some(3), Some(4), Some(5), Some(6), Some(7)]);
        assert_eq!(keep.bytes(), KeptBytes { kept: 1000, held: 0, most: 1000, dropped: 3 });
        drop(kept);
        assert_eq!(keep.bytes().kept, 0);
    }

    #[test]
    fn what_is_held_takes_the_room_of_what_is_kept_and_leaves_some() {
        let keep = Keep::new(1000);
        let kept: Vec<Kept<usize>> = (0..5).map(|n| keep.keep(Arc::new(n), 100)).collect();
        let mut held = keep.hold(300).unwrap();
        held.grow(450).unwrap();
        assert_eq!(held.grow(1), Err(Shortage::Memory { most: 1000 }));
        assert!(keep.hold(1).is_err());
        assert_eq!(kept.iter().filter(|one| one.get().is_some()).count(), 1);
        drop(held);
        assert_eq!((keep.bytes().held, keep.bytes().kept), (0, 200));
        assert!(keep.hold(750).is_ok());
    }

    /// The value of one holds another, as what is left of a trigger holds its results.
    #[test]
    fn kept_values_may_hold_kept_values() {
        let keep = Keep::new(1000);
        let inner = keep.keep(Arc::new(1), 100);
        let outer = keep.keep(Arc::new(inner), 100);
        let _large: Vec<Kept<usize>> = (0..3).map(|n| keep.keep(Arc::new(n), 800)).collect();
        assert!(outer.get().is_none());
        assert_eq!(keep.bytes().kept, 900);
    }

    #[test]
    fn a_value_that_never_fits_is_not_kept() {
        let keep = Keep::new(1000);
        assert!(keep.keep(Arc::new(0), 1000).get().is_none());
        assert_eq!(keep.bytes().kept, 0);
    }
}
