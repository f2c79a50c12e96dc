//! A link on loopback between scripted backends and a client that believes nothing: used by the tests beside it.

pub mod backend;
pub mod client;
pub mod http2;
pub mod hyper_client;
pub mod object;
pub mod tls;

use backend::Backend;
use dsc_conf::{Link, Speaks};
use dsc_link::counters::Counters;
use dsc_link::downloads::Downloads;
use dsc_link::service::{BackendPlan, Service};
use dsc_link::workers::{Ear, Workers};
use dsc_wire::BackendId;
use http2::Http2Backend;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait for anything.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A link that runs.
pub struct Running {
    pub address: SocketAddr,
    pub service: Arc<Service>,
    pub ear: Arc<Ear>,
    workers: Option<Workers>,
}

/// What is usual, but less patient.
pub fn link() -> Link {
    let mut link = Link::of(Speaks::Http);
    link.silence = Duration::from_millis(300);
    link.connect = Duration::from_millis(300);
    link.head = Duration::from_secs(1);
    link.idle = Duration::from_secs(8);
    link
}

pub fn plans(backends: &[&Backend]) -> Vec<BackendPlan> {
    plans_of(backends.iter().map(|b| b.address))
}

pub fn plans_of(addresses: impl Iterator<Item = SocketAddr>) -> Vec<BackendPlan> {
    let plan = |(id, address)| BackendPlan { id: BackendId(id), address, weight: 1 };
    (0..).zip(addresses).map(plan).collect()
}

impl Running {
    /// In front of these backends.
    pub fn start(link: Link, backends: &[&Backend]) -> Running {
        Running::of_plans(link, &plans(backends))
    }

    /// In front of these, which speak HTTP/2.
    pub fn over_http2(mut link: Link, backends: &[&Http2Backend]) -> Running {
        link.backend_http2 = true;
        // They begin when their one thread comes to it.
        link.connect = LIMIT;
        Running::of_plans(link, &plans_of(backends.iter().map(|b| b.address)))
    }

    pub fn of_plans(link: Link, plans: &[BackendPlan]) -> Running {
        Running::on(TcpListener::bind("127.0.0.1:0").expect("a port"), link, plans)
    }

    /// At a socket that may have had connections before.
    pub fn on(socket: TcpListener, link: Link, plans: &[BackendPlan]) -> Running {
        let workers = Workers::start(2).expect("threads");
        let counters = Arc::new(Counters::default());
        let downloads = Arc::new(Downloads::default());
        let service = Service::new("shop", link, plans, workers.count(), counters, downloads);
        let service = Arc::new(service);
        socket.set_nonblocking(true).expect("a socket");
        let address = socket.local_addr().expect("an address");
        let ear = Ear::new(socket, service.clone());
        workers.hear(&ear).expect("workers");
        Running { address, service, ear, workers: Some(workers) }
    }

    /// A counter of this link.
    pub fn count(&self, name: &str) -> u64 {
        let list = self.service.counters.list();
        let found = list.iter().find(|(n, _)| *n == name);
        found.unwrap_or_else(|| panic!("no counter {name}")).1
    }
}

impl Running {
    /// Ends the workers, and whatever they serve.
    pub fn end(self) {}
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(workers) = self.workers.take() {
            workers.end();
        }
    }
}

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
