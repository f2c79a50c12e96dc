//! The loop: a view, a change of interfaces, a claim, a question, an announcement that is due. Each brings the kernel in line
//! with what is known now; nothing is undone at the end, because the kernel goes on without the daemon.

mod facts;
mod questions;
mod reload;
mod settle;
mod share;
mod states;

pub use reload::{Ended, Files};

use self::reload::Pending;
use crate::addresses::Keeper;
use crate::announce::{self, Announcer};
use crate::balance::{Given, Tables};
use crate::conflicts::Conflicts;
use crate::flows::Flows;
use crate::gratuitous::Voice;
use crate::held::Waiting;
use crate::prompts::Prompts;
use crate::rates::Rates;
use crate::signs::Signs;
use crate::{balance, ground, sources};
use dsc_bpf::{Claims, Datapath, Hook, LeaseMap, Opened, Walk};
use dsc_conf::Config;
use dsc_fwd::share::Sharing;
use dsc_sys::clock::{self, Alarm};
use dsc_sys::keyfile::KeyFile;
use dsc_sys::link::Links;
use dsc_sys::local::{Access, Context, Server, Teller, Views};
use dsc_sys::notify::{self, Watchdog};
use dsc_sys::readiness::Edge;
use dsc_wire::local::{HostState, Mac, View, socket};
use dsc_wire::{NodeId, SubnetId, Time, VipId};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

/// How often the ring daemon hears that this one lives.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at claims: a flood of them costs one look each time.
const CLAIMS_INTERVAL: Duration = Duration::from_millis(100);

/// Most changes of interfaces that are answered by one look: while they go on for good, there is one now and then.
const CHANGES_MAX: usize = 1000;

/// Takes the changes that wait: whoever changes a thousand filters costs one look at them, not a thousand.
async fn drain(links: &mut Links) -> Result<(), String> {
    for _ in 0..CHANGES_MAX {
        tokio::select! {
            biased;
            changed = links.changed() => {
                changed.map_err(|e| format!("cannot watch interfaces: {e}"))?;
            }
            () = std::future::ready(()) => break,
        }
    }
    Ok(())
}

/// Waits until peers may have told of flows; for ever if nobody does.
async fn readable(sharing: &Option<Sharing>) -> std::io::Result<()> {
    match sharing {
        Some(sharing) => sharing.readable().await,
        None => std::future::pending().await,
    }
}

/// Where frames are to meet the programs.
pub struct Places {
    /// In the stack.
    pub hook: Hook,
    /// In the drivers too.
    pub early: bool,
}

/// Everything that is open.
pub struct Daemon {
    config: Config,
    me: NodeId,
    vips: Vec<(VipId, IpAddr, SubnetId)>,
    datapath: Datapath,
    claims: Claims,
    flows: Flows,
    waiting: Waiting,
    prompts: Prompts,
    /// None without nat services: there are no flows to share.
    sharing: Option<Sharing>,
    /// The keys of what peers are told.
    key_file: Option<KeyFile>,
    /// The copies that peers take: where the walk of each is.
    gifts: BTreeMap<NodeId, (u64, Walk)>,
    /// There was a table when it started.
    inherited: bool,
    /// Hosted VIPs then: what an earlier daemon left in the table counts as known until the copy is whole.
    adopted: bool,
    /// What each backend is given, by its number: in the kernel, and as the ring says.
    given: Given,
    wanted: Given,
    /// The services' tables as the kernel has them.
    tables: Tables,
    /// Has the ring said it? Until then the ring daemon is told nothing, and what it heard last stands.
    informed: bool,
    /// Who hosts each VIP, by its number, as the ring says.
    hosts: Vec<Option<NodeId>>,
    lease: LeaseMap,
    keeper: Keeper,
    voices: Vec<Voice>,
    macs: BTreeMap<(NodeId, SubnetId), Mac>,
    missing: Vec<SubnetId>,
    /// Why an interface that is there does not serve its subnet.
    faults: BTreeMap<SubnetId, String>,
    /// Why an interface's driver does not do what is wanted of it.
    slow: BTreeMap<SubnetId, String>,
    announcer: Announcer,
    conflicts: Conflicts,
    rates: Rates,
    signs: Signs,
    files: Files,
    pending: Pending,
    unsent: u64,
    number: u64,
    trouble: Option<String>,
    teller: Teller,
    server: Server,
    views: Option<Views>,
}

impl Daemon {
    /// Brings the kernel in line with the configuration, adopting what an earlier daemon left. The addresses come last:
    /// before them nothing here could answer for a VIP.
    ///
    /// # Errors
    /// What could not be opened; what was in force before still is.
    pub async fn open(
        config: Config,
        me: NodeId,
        files: Files,
        places: Places,
        bpf_dir: &Path,
        run_dir: &Path,
    ) -> Result<Daemon, String> {
        let context = Context::new();
        let server = Server::open(&context, &run_dir.join(socket::FWD), Access::Read)
            .map_err(|e| e.to_string())?;
        let teller =
            Teller::new(&context, &run_dir.join(socket::FACTS)).map_err(|e| e.to_string())?;
        let lease = LeaseMap::open(bpf_dir).map_err(|e| e.to_string())?;
        let (max, hold) = (balance::flows_max(&config), config.flows.hold);
        let opened = Datapath::open(bpf_dir, me, places.hook, max, config.flows.routing);
        let Opened { mut datapath, claims, flows, inherited, news, held } =
            opened.map_err(|e| e.to_string())?;
        datapath.want_early(places.early);
        let vips = ground::vips(&config, me);
        datapath.set_vips(&vips).map_err(|e| e.to_string())?;
        let (count, timeouts) = (config.backends.bound(), config.flows.timeouts);
        let mut flows = Flows::new(flows, news, count, max, timeouts, clock::now());
        let views = Views::new(&context, run_dir);
        let (views, said) = states::first(&config, views).await;
        let informed = said.is_some() || config.backends.is_empty();
        let given = said.unwrap_or_else(|| Given::of_file(&config));
        let mut tables = Tables::default();
        let signs = Signs::new(&config, clock::now());
        let (services, backends) = balance::rows(&config, &given, &mut tables);
        let mut prompts = Prompts::open()?;
        prompts.ending(clock::now(), balance::ending(&config, &given));
        let zones = sources::zones(&config);
        flows.know(&vips, &backends, &zones)?;
        datapath.set_services(&services, &backends).map_err(|e| e.to_string())?;
        let mut daemon = Daemon {
            keeper: Keeper::open()?,
            config,
            me,
            vips,
            datapath,
            claims,
            flows,
            waiting: Waiting::open(held, hold)?,
            prompts,
            sharing: None,
            key_file: None,
            gifts: BTreeMap::new(),
            inherited,
            adopted: false,
            wanted: given.clone(),
            given,
            tables,
            informed,
            hosts: Vec::new(),
            lease,
            voices: Vec::new(),
            macs: BTreeMap::new(),
            missing: Vec::new(),
            faults: BTreeMap::new(),
            slow: BTreeMap::new(),
            announcer: Announcer::default(),
            conflicts: Conflicts::default(),
            rates: Rates::default(),
            signs,
            files,
            pending: Pending::default(),
            unsent: 0,
            number: 0,
            trouble: None,
            teller,
            server,
            views: Some(views),
        };
        daemon.share()?;
        daemon.set_sources()?;
        let watched = daemon.programs()?;
        if let Some(fault) = daemon.faults.values().next() {
            return Err(fault.clone());
        }
        daemon.addresses(watched)?;
        Ok(daemon)
    }

    /// Runs until a signal asks to stop, or a configuration needs everything opened anew.
    ///
    /// # Errors
    /// A source of news that failed for good.
    pub async fn run(mut self) -> Result<Ended, String> {
        let unwatched = |e| format!("cannot wait for signals: {e}");
        let mut terminate = signal(SignalKind::terminate()).map_err(unwatched)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(unwatched)?;
        let mut links = Links::open().map_err(|e| format!("cannot watch interfaces: {e}"))?;
        let claims = self.claims.as_fd().try_clone_to_owned().and_then(Edge::new);
        let claims = claims.map_err(|e| format!("cannot watch claims: {e}"))?;
        let news = self.flows.as_fd().try_clone_to_owned().and_then(Edge::new);
        let news = news.map_err(|e| format!("cannot watch flows: {e}"))?;
        let held = self.waiting.as_fd().try_clone_to_owned().and_then(Edge::new);
        let held = held.map_err(|e| format!("cannot watch replies: {e}"))?;
        let mut alarm = Alarm::new().map_err(|e| format!("cannot make a timer: {e}"))?;
        let mut seconds = tokio::time::interval(INTERVAL);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watchdog = Watchdog::new(clock::now());
        let views = self.views.take().ok_or("views are asked for already")?;
        let mut asked = Box::pin(views.next());
        // Claims may wait from before; the kernel reports only new ones.
        let mut claims_due = Some(clock::now());
        let mut questions = true;
        Self::told(notify::ready("attached"));
        loop {
            self.flow_turn(clock::now())?;
            if let Some((config, me)) = self.pending.anew.take() {
                return Ok(Ended::Anew(config, me));
            }
            let due = self.announcer.deadline().min(claims_due.unwrap_or(Time::NEVER));
            let due = due.min(self.flows.deadline()).min(self.waiting.deadline());
            let due = due.min(self.prompts.deadline()).min(self.signs.deadline());
            let due = due.min(self.sharing.as_ref().map_or(Time::NEVER, Sharing::deadline));
            let due = due.min(self.pending.deadline());
            alarm.set(due).map_err(|e| format!("cannot set a timer: {e}"))?;
            tokio::select! {
                (views, result) = &mut asked => {
                    match result {
                        Ok(view) => self.view(&view),
                        Err(e) => tracing::debug!("no view: {e}"),
                    }
                    asked = Box::pin(views.next());
                }
                changed = links.changed() => {
                    changed.map_err(|e| format!("cannot watch interfaces: {e}"))?;
                    drain(&mut links).await?;
                    self.settle();
                }
                result = news.next() => result.map_err(|e| format!("cannot watch flows: {e}"))?,
                result = readable(&self.sharing) => {
                    result.map_err(|e| format!("cannot wait for the peers' flows: {e}"))?;
                }
                result = held.next() => result.map_err(|e| format!("cannot watch replies: {e}"))?,
                result = claims.next(), if claims_due.is_none() => {
                    result.map_err(|e| format!("cannot watch claims: {e}"))?;
                    claims_due = Some(clock::now() + CLAIMS_INTERVAL);
                }
                result = alarm.rang() => {
                    result.map_err(|e| format!("cannot wait for a timer: {e}"))?;
                    let now = clock::now();
                    if claims_due.is_some_and(|due| due <= now) {
                        self.read_claims(now);
                        claims_due = None;
                    }
                    self.announce(now);
                    self.look_at_signs(now);
                    self.look_for_config(now);
                }
                result = self.server.news(), if !questions => {
                    result.map_err(|e| format!("cannot wait for questions: {e}"))?;
                    questions = true;
                }
                () = std::future::ready(()), if questions => questions = self.answer()?,
                _ = seconds.tick() => {
                    let now = clock::now();
                    watchdog.turn(now);
                    self.look_at_hosts(now);
                    self.look_at_rates(now);
                    self.look_at_keys();
                    // What was in the way may go without an event.
                    if self.trouble.is_some() || !self.faults.is_empty() {
                        self.settle();
                    }
                    self.tell();
                }
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        Self::told(notify::stopping("the kernel goes on"));
        Ok(Ended::Asked)
    }

    fn subnet(&self, subnet: SubnetId) -> &str {
        &self.config.subnets[subnet].name
    }

    fn set_macs(&mut self) -> Result<(), String> {
        let macs: Vec<_> = self.macs.iter().map(|((n, s), mac)| (*n, *s, *mac)).collect();
        self.datapath.set_macs(&macs).map_err(|e| e.to_string())
    }

    /// Takes what the ring knows: where the nodes are, what backends are given, and which epoch this is.
    fn view(&mut self, view: &View) {
        let now = clock::now();
        if view.config_digest != self.config.digest() {
            self.follow_config(now, view);
        }
        let before = self.macs.clone();
        for node in view.nodes.iter().filter(|node| node.id != self.me) {
            for (subnet, mac) in (0u8..).map(SubnetId).zip(&node.macs) {
                if let Some(mac) = mac {
                    // An address stays known while its node is away: it is still no stranger.
                    self.macs.insert((node.id, subnet), *mac);
                    self.conflicts.is_node(*mac);
                }
            }
        }
        if self.macs != before
            && let Err(e) = self.set_macs()
        {
            self.troubled(Err(e));
        }
        if let Some(sharing) = &mut self.sharing {
            sharing.members(now, &view.members);
        }
        self.take_states(view);
        self.hosts = view.vips.iter().map(|vip| vip.host).collect();
        self.look_at_hosts(now);
        self.announcer.epoch(now, view.key.epoch);
        self.announce(now);
        self.tell();
    }

    /// The kernel's own table says what this node hosts: the view may be older.
    fn look_at_hosts(&mut self, now: Time) {
        let hosted: Vec<VipId> = self
            .vips
            .iter()
            .map(|(vip, ..)| *vip)
            .filter(|vip| self.lease.host(*vip).0 == HostState::On)
            .collect();
        self.announcer.hosts(now, &hosted);
    }

    fn announce(&mut self, now: Time) {
        for (vip, step) in self.announcer.due(now) {
            // It may have been handed over since the last look, and is announced by its new host now.
            if self.lease.host(vip).0 != HostState::On {
                continue;
            }
            let Some((_, address, subnet)) = self.vips.iter().find(|(id, ..)| *id == vip) else {
                continue;
            };
            for voice in self.voices.iter_mut().filter(|v| v.nic().subnet == *subnet) {
                voice.announce(*address, step);
                if announce::asks(step) {
                    voice.ask(*address);
                }
            }
        }
        self.unsent += self.voices.iter_mut().map(|v| std::mem::take(&mut v.unsent)).sum::<u64>();
    }

    fn read_claims(&mut self, now: Time) {
        let complete = self.all_known();
        for claim in self.claims.by_ref() {
            if self.macs.values().any(|mac| *mac == claim.mac) {
                continue;
            }
            let Some((_, address, _)) = self.vips.iter().find(|(id, ..)| *id == claim.vip) else {
                continue;
            };
            let mac = claim.mac.map(|byte| format!("{byte:02x}")).join(":");
            if self.conflicts.claimed(now, claim, complete) {
                tracing::warn!("{mac}, which is no node, says that it has VIP {address}");
            }
        }
        self.tell();
    }

    /// Is the MAC address of every node on every subnet known?
    fn all_known(&self) -> bool {
        self.config.nodes.iter().all(|(id, node)| {
            (0u8..)
                .map(SubnetId)
                .zip(&node.addresses)
                .all(|(subnet, address)| address.is_none() || self.macs.contains_key(&(id, subnet)))
        })
    }

    /// Remembers and logs what goes wrong while running, once, and that it is over.
    fn troubled(&mut self, result: Result<(), String>) {
        let trouble = result.err();
        if trouble == self.trouble {
            return;
        }
        match &trouble {
            Some(problem) => tracing::error!("{problem}"),
            None => tracing::info!("all interfaces and addresses are in order again"),
        }
        self.trouble = trouble;
        self.tell();
    }

    fn told(result: std::io::Result<()>) {
        if let Err(e) = result {
            tracing::warn!("cannot reach the service manager: {e}");
        }
    }
}
