//! Places for sandboxes: how many may live at once, who gets the next one, and which idle one gives way.
//!
//! A free place goes to the tenant with the fewest, and among its calls to the one that waits longest. Where no place is
//! free, a *parked* sandbox (one whose trigger has nothing to do) is asked to go: of the waiting tenant itself, or of one
//! that has more places; of the tenant with the most first, and there the one that is idle longest. So nobody who shares a
//! runner can take it for himself, and whoever never ends his triggers is in nobody's way, not even in his own.
//!
//! Whoever is asked may be asked in vain, as its next call may come at that moment: then another one is asked.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use crate::Tenant;

/// All places of a runner. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Places that each tenant has, in sum `total`.
    taken: BTreeMap<Tenant, usize>,
    total: usize,
    /// In the order in which they came.
    waiting: Vec<Waiting>,
    /// The one that is idle longest first.
    parked: BTreeMap<u64, Parked>,
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    tenant: Tenant,
    reply: oneshot::Sender<Place>,
}

#[derive(Debug)]
struct Parked {
    tenant: Tenant,
    /// `None` once it was asked.
    ask: Option<oneshot::Sender<()>>,
}

/// One place. Free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    tenant: Tenant,
}

/// An idle sandbox that may be asked to give way, as long as this is not dropped.
#[derive(Debug)]
pub(crate) struct Parking {
    places: Places,
    number: u64,
    asked: oneshot::Receiver<()>,
}

/// Places that somebody gets; sent without the lock, since a place that nobody takes is dropped.
type Grants = Vec<(oneshot::Sender<Place>, Place)>;

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        Self { shared: Arc::new(Shared { most, state: Mutex::default() }) }
    }

    /// Waits for a place, at most this long. Dropping the future gives up.
    pub(crate) async fn take(&self, tenant: &Tenant, patience: Duration) -> Option<Place> {
        let (reply, granted) = oneshot::channel();
        self.change(|state| state.waiting.push(Waiting { tenant: tenant.clone(), reply }));
        timeout(patience, granted).await.ok()?.ok()
    }

    /// The sandbox that has this place is idle from now on.
    pub(crate) fn park(&self, place: &Place) -> Parking {
        let (ask, asked) = oneshot::channel();
        let mut number = 0;
        self.change(|state| {
            number = state.next;
            state.next += 1;
            state.parked.insert(number, Parked { tenant: place.tenant.clone(), ask: Some(ask) });
        });
        Parking { places: self.clone(), number, asked }
    }

    /// Places that are taken.
    pub(crate) fn taken(&self) -> usize {
        self.state().total
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let grants = state.grant(self);
        state.ask();
        drop(state);
        for (reply, place) in grants {
            // Whoever has gone meanwhile gives it back by this.
            drop(reply.send(place));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn of(&self, tenant: &Tenant) -> usize {
        self.taken.get(tenant).copied().unwrap_or_default()
    }

    /// Gives free places to those who wait.
    fn grant(&mut self, places: &Places) -> Grants {
        self.waiting.retain(|waiting| !waiting.reply.is_closed());
        let mut grants = Vec::new();
        while self.total < places.shared.most
            && let Some(at) =
                (0..self.waiting.len()).min_by_key(|at| (self.of(&self.waiting[*at].tenant), *at))
        {
            let Waiting { tenant, reply } = self.waiting.remove(at);
            self.total += 1;
            *self.taken.entry(tenant.clone()).or_default() += 1;
            grants.push((reply, Place { places: places.clone(), tenant }));
        }
        grants
    }

    /// Asks idle ones to go, one for each that waits.
    fn ask(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        // What those that were asked have is as good as free.
        let mut taken = self.taken.clone();
        let mut leaving = 0;
        for parked in self.parked.values().filter(|parked| parked.ask.is_none()) {
            leaving += 1;
            taken.entry(parked.tenant.clone()).and_modify(|taken| *taken = taken.saturating_sub(1));
        }
        let of = |taken: &BTreeMap<Tenant, usize>, tenant: &Tenant| taken.get(tenant).copied().unwrap_or(0);
        let mut order: Vec<&Waiting> = self.waiting.iter().collect();
        order.sort_by_key(|waiting| of(&taken, &waiting.tenant));
        for Waiting { tenant, .. } in order.into_iter().skip(leaving) {
            let own = of(&taken, tenant);
            let gives_way = |parked: &Parked| {
                parked.ask.is_some() && (parked.tenant == *tenant || of(&taken, &parked.tenant) > own)
            };
            let Some(parked) = self
                .parked
                .values_mut()
                .rev()
                .filter(|parked| gives_way(parked))
                .max_by_key(|parked| of(&taken, &parked.tenant))
            else {
                continue;
            };
            let ask = parked.ask.take();
            taken.entry(parked.tenant.clone()).and_modify(|taken| *taken = taken.saturating_sub(1));
            *taken.entry(tenant.clone()).or_default() += 1;
            if let Some(ask) = ask {
                // It may have gone by itself; then its place is given out at once.
                let _ = ask.send(());
            }
        }
    }
}

impl Place {
    /// Whose it is.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.change(|state| {
            state.total -= 1;
            if let Some(taken) = state.taken.get_mut(&self.tenant) {
                *taken -= 1;
                if *taken == 0 {
                    state.taken.remove(&self.tenant);
                }
            }
        });
    }
}

impl Parking {
    /// Waits until the place is needed by somebody else.
    pub(crate) async fn asked(&mut self) {
        if (&mut self.asked).await.is_err() {
            // The other end is only dropped with ourselves.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Parking {
    fn drop(&mut self) {
        self.places.change(|state| {
            state.parked.remove(&self.number);
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const LONG: Duration = Duration::from_secs(1000);

    fn tenant(name: &str) -> Tenant {
        Tenant::new(name)
    }

    async fn take(places: &Places, name: &str) -> Place {
        places.take(&tenant(name), LONG).await.unwrap()
    }

    fn is_asked(parking: &mut Parking) -> bool {
        parking.asked().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_bounded_and_come_back() {
        let places = Places::new(2);
        let (one, _two) = (take(&places, "a").await, take(&places, "a").await);
        assert!(places.take(&tenant("a"), Duration::from_secs(10)).await.is_none());
        assert_eq!(places.taken(), 2);
        drop(one);
        assert_eq!(places.taken(), 1);
        let _three = take(&places, "a").await;
        assert_eq!(places.taken(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_free_place_goes_to_whoever_has_the_fewest() {
        let places = Places::new(3);
        let mut taken = vec![take(&places, "a").await, take(&places, "a").await, take(&places, "a").await];
        let (a, b) = (tenant("a"), tenant("b"));
        let mut first = Box::pin(places.take(&a, LONG));
        let mut second = Box::pin(places.take(&b, LONG));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        drop(taken.pop());
        assert!(first.as_mut().now_or_never().is_none());
        let _b = second.await.unwrap();
        drop(taken.pop());
        let _a = first.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_is_idle_longest_gives_way() {
        let places = Places::new(2);
        let (one, two) = (take(&places, "a").await, take(&places, "a").await);
        let (mut old, mut new) = (places.park(&one), places.park(&two));
        let a = tenant("a");
        let mut third = Box::pin(places.take(&a, LONG));
        assert!(third.as_mut().now_or_never().is_none());
        assert!(is_asked(&mut old) && !is_asked(&mut new));
        // Its next call came: another one is asked.
        drop(old);
        assert!(is_asked(&mut new));
        drop((two, new));
        let _third = third.await.unwrap();
        drop(one);
    }

    #[tokio::test(start_paused = true)]
    async fn only_those_who_have_more_give_way_to_others() {
        let places = Places::new(4);
        let a = [take(&places, "a").await, take(&places, "a").await, take(&places, "a").await];
        let b = take(&places, "b").await;
        let mut idle_b = places.park(&b);
        let mut idle_a = places.park(&a[0]);
        // Its own, although another's is idle for longer.
        let (of_a, of_c) = (tenant("a"), tenant("c"));
        let mut more = Box::pin(places.take(&of_a, LONG));
        assert!(more.as_mut().now_or_never().is_none());
        assert!(is_asked(&mut idle_a) && !is_asked(&mut idle_b));
        drop(more);
        let mut second_a = places.park(&a[1]);
        let mut new = Box::pin(places.take(&of_c, LONG));
        assert!(new.as_mut().now_or_never().is_none());
        // One is going already, and that is enough for one that waits.
        assert!(!is_asked(&mut idle_b) && !is_asked(&mut second_a));
        let (b2, c2) = (tenant("b"), tenant("c"));
        let mut two = [Box::pin(places.take(&b2, LONG)), Box::pin(places.take(&c2, LONG))];
        assert!(two.iter_mut().all(|waiting| waiting.as_mut().now_or_never().is_none()));
        assert!(is_asked(&mut second_a));
    }
}
