//! One backend of a link: how it stands, what it has to do, and its connections.

use crate::pool::Pool;
use dsc_wire::{BackendId, BackendState, Light};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::time::{Duration, Instant};

/// A backend that failed gets nothing for so long, unless there is no other: by then its light has changed, or it is well.
pub const SUSPECT: Duration = Duration::from_secs(2);

const RED: u8 = 1;
const DRAINING: u8 = 2;
const DISABLED: u8 = 4;

/// A backend.
pub struct Backend {
    /// Its number in the configuration.
    pub id: BackendId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share of requests, relative to the service's others; at least 1.
    pub weight: u32,
    standing: AtomicU8,
    active: AtomicU32,
    suspect: Mutex<Option<Instant>>,
    pub(crate) pool: Pool,
}

impl Backend {
    /// One that nothing bad is known of, for so many workers.
    pub fn new(id: BackendId, address: SocketAddr, weight: u32, workers: usize) -> Backend {
        Backend {
            id,
            address,
            weight: weight.max(1),
            standing: AtomicU8::new(0),
            active: AtomicU32::new(0),
            suspect: Mutex::new(None),
            pool: Pool::new(workers),
        }
    }

    /// What the cluster found and what operators said.
    pub fn stands(&self, light: Light, state: BackendState) {
        let red = if light == Light::Red { RED } else { 0 };
        let state = match state {
            BackendState::Enabled => 0,
            BackendState::Draining => DRAINING,
            BackendState::Disabled => DISABLED,
        };
        let before = self.standing.swap(red | state, Ordering::Relaxed);
        if before & RED != 0 && red == 0 {
            *lock(&self.suspect) = None;
        }
    }

    /// May it be given requests?
    pub fn is_open(&self) -> bool {
        self.standing.load(Ordering::Relaxed) == 0
    }

    /// Would it be given requests, but for its light?
    pub fn is_enabled(&self) -> bool {
        self.standing.load(Ordering::Relaxed) & !RED == 0
    }

    /// Should what it has go on elsewhere?
    pub fn has_failed(&self) -> bool {
        self.standing.load(Ordering::Relaxed) & (RED | DISABLED) != 0
    }

    /// May it have nothing, not even what it has?
    pub fn is_disabled(&self) -> bool {
        self.standing.load(Ordering::Relaxed) & DISABLED != 0
    }

    /// It failed just now.
    pub fn suspect(&self, now: Instant) {
        *lock(&self.suspect) = Some(now + SUSPECT);
    }

    /// Did it fail a short time ago?
    pub fn is_suspect(&self, now: Instant) -> bool {
        let mut suspect = lock(&self.suspect);
        *suspect = suspect.filter(|until| *until > now);
        suspect.is_some()
    }

    /// Requests that it is answering.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// Counts a request until the value is dropped.
    pub fn begin(self: &Arc<Backend>) -> Active {
        self.active.fetch_add(1, Ordering::Relaxed);
        Active(self.clone())
    }
}

/// A request that a backend has.
pub struct Active(Arc<Backend>);

impl Active {
    /// Whose.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.0
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a thread that panicked held is whole: each change is one call.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
