//! Who may be connected: a bound on all connections and on those of one address, and who has to go for a new one.
//!
//! A connection costs a stranger nothing, so it must not cost others their service. What strangers can hold are connections
//! that wait for a request: the head of one, or the next one. Of these the one that has waited longest goes when there is
//! no seat for a new connection; first of the new one's own address, where that has all that it may have, else of the
//! address that has the most. Who sends a request at once always gets to send it, however many others stay silent.
//!
//! Where every seat is busy with a request there are a few reserved ones, in which only health is answered. Beyond those a
//! connection is closed at once.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

/// Seats beyond the bound, for health.
const RESERVED: usize = 16;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    /// A unix socket: its owner.
    Unix,
    /// An address; of IPv6 the network that one machine may have to itself.
    Address(IpAddr),
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Seats {
    table: Mutex<Table>,
    most: usize,
    most_of_peer: usize,
}

#[derive(Debug, Default)]
struct Table {
    taken: HashMap<u64, Taken>,
    peers: HashMap<Peer, OfPeer>,
    last_id: u64,
    last_turn: u64,
}

#[derive(Debug)]
struct Taken {
    peer: Peer,
    /// Its place among those that wait for a request; `None` while one is carried out.
    waits_since: Option<u64>,
    evicted: CancellationToken,
}

#[derive(Debug, Default)]
struct OfPeer {
    count: usize,
    /// Those that wait for a request, by when they began to.
    waiting: BTreeMap<u64, u64>,
}

/// What may be asked in a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Everything.
    Whole,
    /// All seats are taken; it is one of the reserved ones.
    HealthOnly,
}

/// The seat of one connection. Free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    id: u64,
    service: Service,
    waits: AtomicBool,
    begun: AtomicU64,
    evicted: CancellationToken,
}

/// A request is being carried out: its connection is not among those that have to go.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Seat>);

impl Peer {
    /// The peer at the other end of a TCP connection.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl Seats {
    pub(crate) fn new(most: usize, most_of_peer: usize) -> Self {
        Self { table: Mutex::default(), most, most_of_peer: most_of_peer.min(most) }
    }

    /// A seat for a new connection, which waits for its first request; `None` where it cannot be kept.
    pub(crate) fn take(self: &Arc<Self>, peer: Peer) -> Option<Arc<Seat>> {
        let mut table = self.table();
        let of_peer = table.peers.get(&peer).map_or(0, |peer| peer.count);
        let mut service = Service::Whole;
        if of_peer >= self.most_of_peer && !table.evict_of(peer) {
            service = Service::HealthOnly;
        }
        if table.taken.len() >= self.most && !table.evict_of_largest() {
            service = Service::HealthOnly;
        }
        let taken = table.taken.len();
        if service == Service::HealthOnly && taken >= self.most + RESERVED {
            return None;
        }
        table.last_id += 1;
        let (id, evicted) = (table.last_id, CancellationToken::new());
        table.taken.insert(id, Taken { peer, waits_since: None, evicted: evicted.clone() });
        table.peers.entry(peer).or_default().count += 1;
        table.wait(id);
        Some(Arc::new(Seat {
            seats: Arc::clone(self),
            id,
            service,
            waits: AtomicBool::new(true),
            begun: AtomicU64::new(0),
            evicted,
        }))
    }

    /// Lets one connection go that waits for a request: the system has no descriptors left. Whether there was one.
    pub(crate) fn make_room(&self) -> bool {
        self.table().evict_of_largest()
    }

    /// How many connections there are.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.table().taken.len()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No code panics while it holds the lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn wait(&mut self, id: u64) {
        self.last_turn += 1;
        let turn = self.last_turn;
        // One that has been let go is not in the table any more.
        let Some(taken) = self.taken.get_mut(&id) else { return };
        taken.waits_since = Some(turn);
        self.peers.entry(taken.peer).or_default().waiting.insert(turn, id);
    }

    fn work(&mut self, id: u64) {
        let Some(taken) = self.taken.get_mut(&id) else { return };
        if let (Some(turn), Some(peer)) = (taken.waits_since.take(), self.peers.get_mut(&taken.peer)) {
            peer.waiting.remove(&turn);
        }
    }

    fn remove(&mut self, id: u64) -> Option<Taken> {
        self.work(id);
        let taken = self.taken.remove(&id)?;
        if let Some(peer) = self.peers.get_mut(&taken.peer) {
            peer.count -= 1;
            if peer.count == 0 {
                self.peers.remove(&taken.peer);
            }
        }
        Some(taken)
    }

    fn evict_of(&mut self, peer: Peer) -> bool {
        let oldest = self.peers.get(&peer).and_then(|peer| peer.waiting.values().next().copied());
        let evicted = oldest.and_then(|oldest| self.remove(oldest));
        evicted.is_some_and(|taken| {
            taken.evicted.cancel();
            true
        })
    }

    fn evict_of_largest(&mut self) -> bool {
        let waiting = self.peers.iter().filter(|(_, peer)| !peer.waiting.is_empty());
        let largest = waiting.max_by_key(|(_, peer)| peer.count).map(|(peer, _)| *peer);
        largest.is_some_and(|peer| self.evict_of(peer))
    }
}

impl Seat {
    /// From now on a request is carried out, until what comes back is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.seats.table().work(self.id);
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.waits.store(false, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Whether the connection waits for a request.
    pub(crate) fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// Requests that were begun on the connection.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// What may be asked in it.
    pub(crate) fn service(&self) -> Service {
        self.service
    }

    /// Waits until it has to go.
    pub(crate) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.table().remove(self.id);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.waits.store(true, Ordering::Relaxed);
        self.0.seats.table().wait(self.0.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> Peer {
        Peer::of([10, 0, 0, last].into())
    }

    fn gone(seat: &Seat) -> bool {
        seat.evicted.is_cancelled()
    }

    #[test]
    fn who_has_waited_longest_goes_and_who_works_stays() {
        let seats = Arc::new(Seats::new(3, 3));
        let [a, b, c] = [1, 1, 1].map(|last| seats.take(peer(last)).unwrap());
        let working = a.begin();
        let d = seats.take(peer(1)).unwrap();
        assert_eq!([&a, &b, &c, &d].map(|seat| gone(seat)), [false, true, false, false]);
        // It begins to wait only now, so it is the youngest of those that wait.
        drop(working);
        let e = seats.take(peer(2)).unwrap();
        assert_eq!([&a, &c, &d, &e].map(|seat| gone(seat)), [false, true, false, false]);
        assert_eq!(seats.taken(), 3);
        drop((b, c));
        assert_eq!(seats.taken(), 3, "one that was let go has no seat to give back");
        drop((a, d, e));
        assert_eq!(seats.taken(), 0);
        assert!(seats.table().peers.is_empty());
    }

    #[test]
    fn an_address_pays_for_itself_and_the_largest_for_all() {
        let seats = Arc::new(Seats::new(4, 2));
        let one = seats.take(peer(1)).unwrap();
        let many = [2, 2, 2].map(|last| seats.take(peer(last)).unwrap());
        assert_eq!(many.each_ref().map(|seat| gone(seat)), [true, false, false]);
        let other = [3, 4].map(|last| seats.take(peer(last)).unwrap());
        assert!(!gone(&one) && gone(&many[1]) && !other.iter().any(|seat| gone(seat)));
    }

    #[test]
    fn where_all_work_health_is_still_answered_and_then_nobody() {
        let seats = Arc::new(Seats::new(2, 2));
        let working = [1, 2].map(|last| seats.take(peer(last)).unwrap().begin());
        let reserved: Vec<_> = (0..RESERVED)
            .map(|_| {
                let seat = seats.take(peer(3)).unwrap();
                assert_eq!(seat.service(), Service::HealthOnly);
                seat.begin()
            })
            .collect();
        assert!(seats.take(peer(3)).is_none());
        drop(working);
        drop(reserved);
        assert_eq!(seats.taken(), 0);
        assert_eq!(seats.take(peer(3)).unwrap().service(), Service::Whole);
    }

    #[test]
    fn a_machine_with_many_addresses_is_one_peer() {
        let of = |text: &str| Peer::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1:2:3"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
