//! The links of a configuration as they run: one service each, and a listening socket for each end. It opens and closes them as
//! the configuration changes, and knows nothing of what is spoken.

use dsc_conf::Config;
use dsc_link::counters::Counters;
use dsc_link::downloads::Downloads;
use dsc_link::service::{BackendPlan, Service};
use dsc_link::workers::{Ear, Workers};
use dsc_sys::listen::listen;
use dsc_wire::health::finding;
use dsc_wire::local::{LinkService, View};
use dsc_wire::{BackendId, BackendState, Light};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

/// One service.
struct Row {
    service: Arc<Service>,
    ends: Vec<SocketAddr>,
    ears: HashMap<SocketAddr, Arc<Ear>>,
    /// Its backends, and the states that the configuration gives them.
    states: Vec<(BackendId, BackendState)>,
    /// Why an end is not listened at, told once.
    told: HashMap<SocketAddr, String>,
}

impl Row {
    fn stop(&mut self) {
        self.ears.drain().for_each(|(_, ear)| ear.stop());
        self.service.close();
    }
}

/// All of them.
pub struct Links {
    workers: Workers,
    rows: Vec<Row>,
    /// Out of the configuration, but with connections.
    gone: Vec<Row>,
    digest: u64,
    /// From the process whose place was taken, by the address.
    inherited: HashMap<SocketAddr, TcpListener>,
}

impl Links {
    /// None yet, for these workers; `inherited` sockets are used before others are opened.
    pub fn new(workers: Workers, inherited: Vec<TcpListener>) -> Links {
        let by_address = |s: TcpListener| s.local_addr().ok().map(|a| (a, s));
        Links {
            workers,
            rows: Vec::new(),
            gone: Vec::new(),
            digest: 0,
            inherited: inherited.into_iter().filter_map(by_address).collect(),
        }
    }

    /// The digest of the configuration that they are of.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Goes on with another configuration: what is the same in both stays as it is.
    pub fn change(&mut self, config: &Config) {
        self.digest = config.digest();
        let mut before = std::mem::take(&mut self.rows);
        for service in config.services.values() {
            let Some(link) = &service.link else { continue };
            let vip =
                |id: &dsc_wire::VipId| SocketAddr::new(config.vips[*id].address, service.port);
            let ends: Vec<SocketAddr> = service.vips.iter().map(vip).collect();
            let plan = |id: &BackendId| {
                let backend = &config.backends[*id];
                BackendPlan { id: *id, address: backend.address, weight: backend.weight }
            };
            let plans: Vec<BackendPlan> = service.backends.iter().map(plan).collect();
            let state = |id: &BackendId| (*id, config.backends[*id].state);
            let states: Vec<_> = service.backends.iter().map(state).collect();
            let old = before.iter().position(|row| *row.service.name == *service.name);
            let mut row = match old {
                Some(at) => {
                    let row = before.swap_remove(at);
                    row.service.change(link.clone(), &plans);
                    row
                }
                None => self.new_row(&service.name, link.clone(), &plans),
            };
            // One that is known stands as it stood, until a view says otherwise.
            for (id, state) in states.iter().filter(|s| !row.states.contains(s)) {
                row.service.stands(*id, Light::Yellow, *state);
            }
            (row.ends, row.states) = (ends, states);
            self.rows.push(row);
        }
        for mut row in before {
            row.stop();
            self.gone.push(row);
        }
        self.listen();
        self.inherited.clear();
    }

    fn new_row(&self, name: &str, link: dsc_conf::Link, plans: &[BackendPlan]) -> Row {
        let workers = self.workers.count();
        let (counters, downloads) = (Arc::<Counters>::default(), Arc::<Downloads>::default());
        let service = Service::new(name, link, plans, workers, counters, downloads);
        let service = Arc::new(service);
        let (ears, told) = (HashMap::new(), HashMap::new());
        Row { service, ends: Vec::new(), ears, states: Vec::new(), told }
    }

    /// Listens at every end, as far as it can; what cannot be had now is tried again the next time.
    pub fn listen(&mut self) {
        for row in &mut self.rows {
            let ends = &row.ends;
            row.ears.retain(|end, ear| {
                let stays = ends.contains(end);
                if !stays {
                    ear.stop();
                }
                stays
            });
            for end in ends {
                if row.ears.contains_key(end) {
                    continue;
                }
                let socket = match self.inherited.remove(end) {
                    Some(socket) => Ok(socket),
                    None => listen(*end),
                };
                let heard = socket.map_err(|e| e.to_string()).and_then(|socket| {
                    let ear = Ear::new(socket, row.service.clone());
                    self.workers.hear(&ear).map(|()| ear)
                });
                let name = &row.service.name;
                match heard {
                    Ok(ear) => {
                        tracing::info!("{name}: listening at {end}");
                        row.told.remove(end);
                        row.ears.insert(*end, ear);
                    }
                    Err(e) => {
                        if row.told.insert(*end, e.clone()).as_ref() != Some(&e) {
                            tracing::error!("{name}: cannot listen at {end}: {e}");
                        }
                    }
                }
            }
        }
        self.gone.retain(|row| !row.service.is_over());
    }

    /// The ring's view is new: how backends stand.
    pub fn follow(&self, view: &View) {
        if view.config_digest != self.digest {
            return;
        }
        for row in &self.rows {
            for (id, state) in &row.states {
                let given = view.backends.iter().find(|b| b.id == *id).map(|b| b.state);
                let light = finding(&view.health, *id).light;
                row.service.stands(*id, light, given.unwrap_or(*state));
            }
        }
    }

    /// Reads files again that have changed, or anyhow if `again`.
    pub fn refresh(&self, again: bool) {
        self.rows.iter().for_each(|row| row.service.refresh(again));
    }

    /// All services, and what they count; those of the configuration first.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.rows.iter().chain(&self.gone).map(|row| &row.service)
    }

    /// The sockets, to be handed on.
    pub fn sockets(&self) -> Vec<RawFd> {
        let ears = self.rows.iter().flat_map(|row| row.ears.values());
        ears.map(|ear| ear.socket().as_raw_fd()).collect()
    }

    /// Accepts no more; what runs comes to its end.
    pub fn close(&mut self) {
        self.rows.iter_mut().for_each(Row::stop);
    }

    /// Connections of clients.
    pub fn connections(&self) -> u64 {
        self.services().map(|s| u64::from(s.connections())).sum()
    }

    /// Is nothing left of them? False for ever unless they are closed.
    pub fn is_over(&self) -> bool {
        self.services().all(|s| s.is_over())
    }

    /// Ends the workers, and all that they serve.
    pub fn end(self) {
        self.workers.end();
    }
}

/// What a service has counted.
pub fn counted(service: &Service) -> LinkService {
    let counters = &service.counters;
    let running = service.downloads.all();
    LinkService {
        name: service.name.to_string(),
        connections: service.connections().into(),
        running: running.len() as u64,
        accepted: counters.connections.get(),
        refused: counters.connections_refused.get(),
        requests: counters.requests.get(),
        bytes: counters.bytes.get() + running.iter().map(|d| d.bytes()).sum::<u64>(),
        resumes: counters.bodies_resumed.get(),
        broken: counters.bodies_cut.get(),
    }
}
