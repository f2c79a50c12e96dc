//! A ring daemon without a ring: it serves the view that the test wants and keeps the facts it is told.

use dsc_conf::Config;
use dsc_sys::local::{Access, Asker, Context, Server};
use dsc_wire::local::{Facts, Reply, Request, View, socket};
use dsc_wire::{NodeId, SubnetId, SubnetSet};
use serde_json::json;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

struct State {
    view: View,
    facts: Option<Facts>,
    stop: bool,
}

fn config() -> Config {
    Config::read(Path::new("/mnt/dsc.toml")).unwrap()
}

pub struct Ringd {
    state: Arc<Mutex<State>>,
}

impl Ringd {
    pub fn start(run_dir: &Path, me: NodeId, macs: &[[u8; 6]]) -> Ringd {
        let config = config();
        let state = State { view: view(&config, me, macs), facts: None, stop: false };
        let state = Arc::new(Mutex::new(state));
        let (shared, run_dir) = (state.clone(), run_dir.to_owned());
        thread::spawn(move || serve(&run_dir, &shared));
        Ringd { state }
    }

    /// A new view, as after a token that changed something.
    pub fn publish(&self) {
        self.change(|_| ());
    }

    pub fn change(&self, change: impl FnOnce(&mut View)) {
        let mut state = self.state.lock().unwrap();
        change(&mut state.view);
        state.view.number += 1;
    }

    pub fn forget_facts(&self) {
        self.state.lock().unwrap().facts = None;
    }

    pub fn facts(&self) -> Option<Facts> {
        self.state.lock().unwrap().facts.clone()
    }

    /// Where dsc-fwd has said that the kernel is ready for the configuration as it is now.
    pub fn ready_on(&self) -> SubnetSet {
        match self.facts() {
            Some(Facts::Fwd { config_digest, ready, .. }) if config_digest == config().digest() => {
                ready
            }
            _ => SubnetSet::EMPTY,
        }
    }

    /// Is it on all subnets?
    pub fn ready(&self) -> bool {
        let subnets = (0u8..).map(SubnetId).take(config().subnets.bound());
        self.ready_on() == subnets.collect()
    }
}

impl Drop for Ringd {
    fn drop(&mut self) {
        self.state.lock().unwrap().stop = true;
    }
}

/// As JSON, so that fields that are added with a default do not concern this test.
fn view(config: &Config, me: NodeId, macs: &[[u8; 6]]) -> View {
    let nodes: Vec<_> = (0..macs.len())
        .map(|i| {
            json!({"id": i, "member": true, "duty": "open", "able": 1, "macs": [macs[i]],
                   "load": {"cpu_permille": 0, "bytes_per_s": [0]}})
        })
        .collect();
    let vips: Vec<_> = (0..config.vips.bound())
        .map(|i| {
            json!({"id": i, "host": null, "heir": null, "next": null, "fence_ms": 0,
                   "preferred": null, "persistence": 1, "past": [], "moves": 0})
        })
        .collect();
    let view = json!({
        "number": 1, "incarnation": 7, "me": me, "state": "member",
        "key": {"epoch": {"counter": 1, "proposer": 0, "incarnation": 7}, "seq": 1},
        "members": [0, 1], "quorum": true, "partition": "serve", "lease_end": 0, "lease_ms": 95,
        "rotation_us": 20_000, "nodes": nodes, "vips": vips, "config_digest": config.digest(),
    });
    serde_json::from_value(view).expect("the view has a new field without a default")
}

fn serve(run_dir: &Path, state: &Mutex<State>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let context = Context::new();
        let path = |name| run_dir.join(name);
        let mut status = Server::open(&context, &path(socket::STATUS), Access::Read).unwrap();
        let mut facts = Server::open(&context, &path(socket::FACTS), Access::Root).unwrap();
        let mut waiting: Vec<(Asker, u64)> = Vec::new();
        loop {
            while let Some((asker, question)) = status.take().unwrap() {
                let Request::View { after, .. } = serde_json::from_slice(&question).unwrap() else {
                    panic!("dsc-fwd asks for something else")
                };
                waiting.push((asker, after));
            }
            while let Some((_, told)) = facts.take().unwrap() {
                state.lock().unwrap().facts = Some(serde_json::from_slice(&told).unwrap());
            }
            let (view, stop) = {
                let state = state.lock().unwrap();
                (state.view.clone(), state.stop)
            };
            if stop {
                return;
            }
            waiting.retain(|(asker, after)| {
                let news = *after != view.number;
                if news {
                    let reply = Reply::View { view: Box::new(view.clone()) };
                    status.answer(asker, serde_json::to_vec(&reply).unwrap());
                }
                !news
            });
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
}
