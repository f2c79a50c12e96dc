//! A link as it runs: what the configuration says of it now, its backends, and what its workers share.

use crate::access_log::AccessLog;
use crate::backend::{Backend, lock};
use crate::balance::{Turns, choose};
use crate::certificates::Certificates;
use crate::counters::Counters;
use crate::downloads::Downloads;
use dsc_conf::Link;
use dsc_wire::{BackendId, BackendState, Light};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// A backend as it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendPlan {
    /// Its number.
    pub id: BackendId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share of requests; at least 1.
    pub weight: u32,
}

/// What holds for all that begins now.
pub struct Setup {
    /// The configuration's words.
    pub link: Link,
    /// The backends.
    pub backends: Vec<Arc<Backend>>,
    /// With any, clients speak TLS.
    pub certificates: Option<Arc<Certificates>>,
    /// Where requests are logged.
    pub log: Option<Arc<AccessLog>>,
    turns: Turns,
}

impl Setup {
    /// The backend for a request that these were tried for.
    pub fn choose(&self, tried: &[usize]) -> Option<usize> {
        choose(self.link.balance, &self.backends, &self.turns, tried)
    }
}

/// A link.
pub struct Service {
    /// Its name.
    pub name: Arc<str>,
    /// Counts.
    pub counters: Arc<Counters>,
    /// Responses on their way.
    pub downloads: Arc<Downloads>,
    workers: usize,
    setup: Mutex<Arc<Setup>>,
    /// Tasks that accept, or are to begin with it.
    accepting: AtomicU32,
    connections: AtomicU32,
    closing: AtomicBool,
    /// Wakes every connection, once, when the service closes.
    pub(crate) closed: Notify,
}

impl Service {
    /// A link for so many workers.
    pub fn new(
        name: &str,
        link: Link,
        backends: &[BackendPlan],
        workers: usize,
        counters: Arc<Counters>,
        downloads: Arc<Downloads>,
    ) -> Service {
        let name: Arc<str> = name.into();
        let setup = setup(&name, link, backends, None, workers);
        Service {
            name,
            counters,
            downloads,
            workers,
            setup: Mutex::new(Arc::new(setup)),
            accepting: AtomicU32::new(0),
            connections: AtomicU32::new(0),
            closing: AtomicBool::new(false),
            closed: Notify::new(),
        }
    }

    /// What holds now.
    pub fn setup(&self) -> Arc<Setup> {
        lock(&self.setup).clone()
    }

    /// Another configuration; what runs goes on as it began, and a backend that is the same in both keeps its connections.
    pub fn change(&self, link: Link, backends: &[BackendPlan]) {
        let mut now = lock(&self.setup);
        *now = Arc::new(setup(&self.name, link, backends, Some(&now), self.workers));
    }

    /// Reads the certificates again if their files have changed. If `again`, it reads them anyhow, and opens its log again.
    pub fn refresh(&self, again: bool) {
        let setup = self.setup();
        refresh(&self.name, &setup, again);
        if let Some(log) = setup.log.as_ref().filter(|_| again) {
            log.reopen();
        }
    }

    /// What the cluster found of a backend, and what operators said.
    pub fn stands(&self, backend: BackendId, light: Light, state: BackendState) {
        for own in self.setup().backends.iter().filter(|b| b.id == backend) {
            own.stands(light, state);
        }
    }

    /// Takes no more requests; those that run come to their end.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.closed.notify_waiters();
    }

    /// Does it take no more?
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Connections of clients.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Are there no connections, and will there be none? True once its ears are stopped and all that they accepted has ended.
    pub fn is_over(&self) -> bool {
        // A connection is counted before the task that accepted it ends: in the other order one could be missed.
        self.accepting.load(Ordering::Acquire) == 0 && self.connections.load(Ordering::Acquire) == 0
    }

    /// Counts a task that accepts until the value is dropped.
    pub(crate) fn accept(self: &Arc<Service>) -> Accepting {
        self.accepting.fetch_add(1, Ordering::Relaxed);
        Accepting(self.clone())
    }

    /// Counts a connection until the value is dropped; none if there are too many.
    pub(crate) fn connect(self: &Arc<Service>) -> Option<Connected> {
        let most = self.setup().link.connections;
        if self.connections.fetch_add(1, Ordering::Relaxed) >= most {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            self.counters.connections_refused.add();
            return None;
        }
        self.counters.connections.add();
        Some(Connected(self.clone()))
    }
}

fn setup(
    name: &str,
    link: Link,
    plans: &[BackendPlan],
    before: Option<&Setup>,
    workers: usize,
) -> Setup {
    let one = |plan: &BackendPlan| {
        let is_same =
            |b: &&Arc<Backend>| (b.id, b.address, b.weight) == (plan.id, plan.address, plan.weight);
        let new = || Arc::new(Backend::new(plan.id, plan.address, plan.weight, workers));
        let known = before.and_then(|b| b.backends.iter().find(is_same));
        known.cloned().unwrap_or_else(new)
    };
    let backends = plans.iter().map(one).collect();
    let old = before.and_then(|b| b.certificates.as_ref());
    let certificates = match &link.certificates[..] {
        [] => None,
        files => Some(match old {
            Some(old) if old.files() == files => old.clone(),
            _ => Arc::new(Certificates::new(files, old.map(|o| &**o))),
        }),
    };
    let log = link.access_log.as_ref().map(|path| {
        let old = before.and_then(|b| b.log.as_ref()).filter(|log| log.path() == path);
        old.cloned().unwrap_or_else(|| Arc::new(AccessLog::new(path)))
    });
    let turns = Turns::new(plans.len());
    let setup = Setup { link, backends, certificates, log, turns };
    refresh(name, &setup, false);
    setup
}

/// Reads the certificates again if their files have changed, or anyhow if `again`.
fn refresh(name: &str, setup: &Setup, again: bool) {
    match setup.certificates.as_ref().and_then(|c| c.refresh(again)) {
        Some(Ok(())) => tracing::info!("{name}: the certificates were read"),
        Some(Err(e)) => tracing::error!("{name}: the certificates stay as they were: {e}"),
        None => {}
    }
}

/// A task that accepts.
pub(crate) struct Accepting(Arc<Service>);

impl Drop for Accepting {
    fn drop(&mut self) {
        // What it counted before is seen by whoever sees this.
        self.0.accepting.fetch_sub(1, Ordering::Release);
    }
}

/// A connection of a client.
pub(crate) struct Connected(Arc<Service>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
