//! `dsc-lab demo`: a cluster of three nodes lives through a day of trouble in about a minute, under real traffic, and
//! every promise is compared with what clients saw. Called by `scripts/demo`.

use crate::demo_text::{last_words, say, timeline};
use crate::downloads::{Downloads, Report};
use crate::error::{Doing, Error, Result};
use crate::figures::{Figures, judge};
use crate::http::{Clients, Counts, Load};
use crate::lab::Lab;
use crate::pace::Pace;
use crate::probe::Prober;
use crate::topology::{Plan, Subnet};
use crate::{change, clock, cluster, demo_link, demo_server, fault, scenario, services, wait};
use serde::Serialize;
use std::net::IpAddr;

/// Longest gap that a failure may cost in the demo, ms: more than it takes, because the machine it runs on may be busy
/// with other things.
const GAP_MAX_MS: f64 = 250.0;
/// Longest pause of a live download through a failure, ms: the gap, and the time until TCP tries again.
const PAUSE_MAX_MS: f64 = 2_000.0;
/// Live downloads from the hosts behind.
const DOWNLOADS: usize = 200;
/// Longest wait for them to begin, ms.
const BEGIN_MS: u64 = 30_000;
/// Longer than a web client waits for an answer, ms.
const OVER_IT_MS: u64 = 2_500;
/// How long each step is watched at least, ms.
const WATCH_MS: u64 = 3_000;
/// Longest wait for the cluster to be whole again after a step, ms.
const WHOLE_MS: u64 = 30_000;
/// Longest wait for load to move an address, ms.
const MOVES_MS: u64 = 15_000;
/// Nodes that the story begins with; another joins at its end.
const NODES: usize = 3;
/// A script that finds something wrong while this file is there; each node has its own.
const BROKEN: &str = "/run/dsc/broken";

/// What a step promises to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// Nothing lost, nothing reset.
    Nothing,
    /// A gap not longer than [`GAP_MAX_MS`].
    Gap,
}

/// One step and what it cost; a line of `--json`.
#[derive(Clone, Debug, Serialize)]
struct Step {
    step: &'static str,
    about: String,
    at_s: f64,
    lost_ms: f64,
    probes_lost: usize,
    takeover_ms: Option<f64>,
    duplicate_ms: u64,
    unwanted_moves: usize,
    pages: u64,
    resets: u64,
    errors: u64,
    connections: usize,
    broken: usize,
    reset: usize,
    longest_pause_ms: f64,
    promise: &'static str,
    held: bool,
    #[serde(skip)]
    from_ns: u64,
    #[serde(skip)]
    trouble: Option<String>,
}

/// The demo while it runs.
struct Demo {
    lab: Lab,
    prober: Prober,
    load: Load,
    downloads: Downloads,
    json: bool,
    begin_ns: u64,
    steps: Vec<Draft>,
}

/// A step whose answers have not been judged yet.
struct Draft {
    step: &'static str,
    about: String,
    promise: Promise,
    at_ns: u64,
    affected: Vec<(usize, usize)>,
    web: Counts,
    live: Report,
}

/// Runs it; true if every promise held.
///
/// # Errors
/// The lab or the cluster does not come up, or a command is refused.
pub fn run(name: &str, json: bool) -> Result<bool> {
    let link = Some(String::new());
    let plan =
        Plan { nodes: NODES + 1, spares: 1, hosts: 3, services: true, link, ..Plan::default() };
    say(
        json,
        "bringing up 3 nodes, a client, a prober and three servers behind, in network namespaces",
    );
    let lab = Lab::up(name, plan)?;
    let result = run_on(lab.clone(), json);
    if result.is_err() {
        last_words(&lab);
    }
    // A node that was crashed has a new machine since: take down what is there now.
    crate::lab::down(name).and(result)
}

fn run_on(lab: Lab, json: bool) -> Result<bool> {
    let vips: Vec<usize> = probed(&lab.plan);
    let addresses: Vec<IpAddr> = vips.iter().map(|v| lab.plan.vip_list()[*v].address).collect();
    // The third server is for what is applied later.
    cluster::wait_whole(&lab, WHOLE_MS)?;
    change::replace(&lab, 0, &demo_server::line(2), "")?;
    let prober = Prober::start(&lab, &vips)?;
    scenario::calm(&lab, &prober)?;
    if !json {
        println!("\n[n1]# dscctl status\n{}", cluster::dscctl(&lab, 0, &["status"])?);
    }
    let clients = Clients { kept: 4, fresh: 2, downloads: 4 };
    say(
        json,
        "clients: 1 probe per ms and address; 4 web clients on kept connections, 2 on new ones, 4 slow downloads",
    );
    let load = Load::start(&lab, &addresses, clients)?;
    say(
        json,
        &format!(
            "and {DOWNLOADS} downloads from the servers behind, through the cluster, that last all the time"
        ),
    );
    let downloads =
        Downloads::start(&lab, &services::web(&lab.plan, false), DOWNLOADS, Pace::Steady)?;
    downloads.wait_live(BEGIN_MS)?;
    let begin_ns = clock::now_ns();
    let mut demo = Demo { lab, prober, load, downloads, json, begin_ns, steps: Vec::new() };
    demo.story()?;
    demo.finish()
}

/// The addresses that clients can reach.
fn probed(plan: &Plan) -> Vec<usize> {
    let list = plan.vip_list();
    (0..list.len()).filter(|v| list[*v].subnet == Subnet::Ext).collect()
}

impl Demo {
    fn story(&mut self) -> Result<()> {
        let mover = self.owner(0)?;
        let target = (mover + 1) % NODES;
        let vip = self.lab.plan.vip_list()[0].address;
        let (from, to) = (self.lab.plan.node(mover), self.lab.plan.node(target));
        let about = format!("{vip} from {from} to {to}, by dscctl move-vip");
        self.step("move", about, Promise::Nothing, vec![(0, mover)], |lab| {
            cluster::move_vip(lab, 0, target)
        })?;

        let frozen = self.owner(0)?;
        let name = self.lab.plan.node(frozen);
        let lost = self.hosted(frozen);
        let about = format!("{name}: SIGSTOP to all its daemons, its kernel goes on");
        self.step("freeze", about, Promise::Gap, lost, |lab| fault::freeze(lab, frozen))?;
        let about = format!("{name}: its daemons go on");
        self.step("thaw", about, Promise::Nothing, Vec::new(), |lab| fault::thaw(lab, frozen))?;
        self.whole()?;

        let crashed = self.owner(0)?;
        let name = self.lab.plan.node(crashed);
        let lost = self.hosted(crashed);
        let about = format!("{name}: SIGKILL to everything on it, its cables dead");
        self.step("crash", about, Promise::Gap, lost, |lab| fault::crash(lab, crashed))?;
        let about = format!("{name}: power on, with an empty memory");
        self.step("rejoin", about, Promise::Nothing, Vec::new(), |lab| {
            fault::restart(lab, crashed)
        })?;
        self.whole()?;

        let drained = self.owner(0)?;
        let name = self.lab.plan.node(drained);
        let moving = self.hosted(drained);
        let about = format!("{name}, by dscctl node drain");
        self.step("drain", about, Promise::Nothing, moving, |lab| cluster::drain(lab, drained))?;
        let about = format!("{name}, by dscctl node open");
        self.step("open", about, Promise::Nothing, Vec::new(), |lab| cluster::undo(lab, drained))?;
        self.whole()?;
        self.load_moves()?;
        self.link()?;
        self.changes()
    }

    /// One address is let go on the node that carries most, and load moves it.
    fn load_moves(&mut self) -> Result<()> {
        let busiest = (0..NODES).max_by_key(|node| self.hosted(*node).len()).unwrap_or(0);
        let moving = self.hosted(busiest).split_off(1);
        let Some((vip, _)) = moving.last().copied() else { return Ok(()) };
        let address = self.lab.plan.vip_list()[vip].address.to_string();
        let name = self.lab.plan.node(busiest);
        let about = format!("{address} is free to leave {name}, which carries most: dscctl unpin");
        self.step("load", about, Promise::Nothing, vec![(vip, busiest)], |lab| {
            let at_ns = clock::now_ns();
            cluster::dscctl(lab, 0, &["unpin", &address])?;
            wait::until("load moves it", MOVES_MS, || {
                cluster::host_of(lab, vip).filter(|host| *host != busiest)
            })?;
            cluster::dscctl(lab, 0, &["pin", &address])?;
            Ok(at_ns)
        })
    }

    /// Downloads of which a server is part of what they live through.
    fn link(&mut self) -> Result<()> {
        let (count, json) = (demo_link::DOWNLOADS, self.json);
        let about = format!(
            "{count} downloads through the proxy on the nodes: SIGKILL to the web server that sends some of them"
        );
        self.step("link", about, Promise::Nothing, Vec::new(), |lab| demo_link::dies(lab, json))
    }

    /// The configuration changes while it runs: a check, which then finds something, and a node.
    fn changes(&mut self) -> Result<()> {
        let about =
            "a service with checked servers, a critical check of every node: dscctl config apply"
                .to_owned();
        self.step("apply", about, Promise::Nothing, Vec::new(), |lab| {
            let at_ns = clock::now_ns();
            let more = format!(
                "{}\n[[check]]\nname = \"disk\"\nkind = \"script\"\n\
                 command = [\"/usr/bin/test\", \"!\", \"-e\", \"{BROKEN}\"]\n\
                 every_ms = 200\nfall = 2\ncritical = \"all\"\nhold_down_s = 1\n\n[flows]",
                demo_server::service(&lab.plan)
            );
            change::replace(lab, 0, "\n[flows]", &more)?;
            Ok(at_ns)
        })?;
        let about = "the third server behind: SIGKILL to its web server".to_owned();
        self.step("server", about, Promise::Nothing, Vec::new(), |lab| demo_server::dies(lab))?;
        let ill = self.owner(0)?;
        let name = self.lab.plan.node(ill);
        let moving = self.hosted(ill);
        let about = format!("{name}: the check finds something wrong");
        self.step("red", about, Promise::Nothing, moving, |lab| {
            let path = lab.node(ill)?.path(BROKEN);
            let at_ns = clock::now_ns();
            std::fs::write(&path, "").doing(|| format!("write {path}"))?;
            Ok(at_ns)
        })?;
        let path = self.lab.node(ill)?.path(BROKEN);
        std::fs::remove_file(&path).doing(|| format!("remove {path}"))?;
        let about = format!("{}, by dscctl node add", self.lab.plan.node(NODES));
        self.step("join", about, Promise::Nothing, Vec::new(), |lab| {
            let at_ns = clock::now_ns();
            change::add_node(lab, 0, NODES)?;
            Ok(at_ns)
        })?;
        self.whole()
    }

    fn step(
        &mut self,
        step: &'static str,
        about: String,
        promise: Promise,
        affected: Vec<(usize, usize)>,
        act: impl FnOnce(&mut Lab) -> Result<u64>,
    ) -> Result<()> {
        say(self.json, &format!("{step}: {about}"));
        let before = self.load.counts();
        self.downloads.mark();
        let at_ns = act(&mut self.lab)?;
        wait::observe(WATCH_MS);
        self.prober.wait_settled(WHOLE_MS)?;
        if promise == Promise::Gap {
            self.clients_are_over_it()?;
        }
        let after = self.load.counts();
        let web = Counts {
            pages: after.pages - before.pages,
            resets: after.resets - before.resets,
            errors: after.errors - before.errors,
            latest: after
                .latest
                .filter(|_| after.resets + after.errors > before.resets + before.errors),
            ..Counts::default()
        };
        let live = self.downloads.report();
        self.steps.push(Draft { step, about, promise, at_ns, affected, web, live });
        Ok(())
    }

    /// A client finds its kept connections dead one after the other, each by its patience: all of that is this step's.
    fn clients_are_over_it(&self) -> Result<()> {
        let (mut known, mut since_ns) = (0, clock::now_ns());
        wait::until("the clients are over it", WHOLE_MS, || {
            let errors = self.load.counts().errors;
            if errors != known {
                (known, since_ns) = (errors, clock::now_ns());
            }
            (clock::now_ns() - since_ns > OVER_IT_MS * 1_000_000).then_some(())
        })
    }

    fn whole(&self) -> Result<()> {
        cluster::wait_whole(&self.lab, WHOLE_MS)
    }

    fn owner(&self, vip: usize) -> Result<usize> {
        self.prober.owner(vip).ok_or_else(|| Error::new("find an address's owner", "no answer"))
    }

    fn hosted(&self, node: usize) -> Vec<(usize, usize)> {
        probed(&self.lab.plan)
            .into_iter()
            .filter(|v| self.prober.owner(*v) == Some(node))
            .map(|v| (v, node))
            .collect()
    }

    /// Ends the traffic, judges and prints.
    fn finish(self) -> Result<bool> {
        if !self.json {
            println!("\n[n1]# dscctl status\n{}", cluster::dscctl(&self.lab, 0, &["status"])?);
        }
        let end_ns = clock::now_ns();
        let totals = self.load.stop();
        let seen = self.prober.stop()?;
        let mut steps = Vec::new();
        for (k, draft) in self.steps.iter().enumerate() {
            let until = self.steps.get(k + 1).map_or(end_ns, |next| next.at_ns);
            let part = seen.between(draft.at_ns, until);
            steps.push(Step::of(draft, judge(&part, draft.at_ns, &draft.affected), self.begin_ns));
        }
        let all = judge(&seen.between(self.begin_ns, end_ns), self.begin_ns, &[]);
        let held = all.duplicate_ms == 0 && steps.iter().all(|s| s.held);
        if self.json {
            for step in &steps {
                println!("{}", serde_json::to_string(step).doing(|| "write a row".into())?);
            }
        } else {
            println!("what clients saw:\n");
            steps.iter().for_each(Step::show);
            let marks: Vec<_> = steps.iter().map(|s| (s.step, s.from_ns)).collect();
            timeline(&self.lab.plan, &seen, &marks, self.begin_ns, end_ns);
            println!(
                "\n{} pages, {:.0} MB of downloads; two nodes answered for one address during {} ms of {:.0} s",
                totals.pages,
                totals.bytes as f64 / 1e6,
                all.duplicate_ms,
                (end_ns - self.begin_ns) as f64 / 1e9
            );
            println!("{}", if held { "every promise held" } else { "A PROMISE WAS BROKEN" });
        }
        Ok(held)
    }
}

impl Step {
    fn of(draft: &Draft, figures: Figures, begin_ns: u64) -> Step {
        let web = &draft.web;
        let (promise, kept) = match draft.promise {
            Promise::Nothing => (
                "nothing lost, no connection reset or broken, nobody answers twice",
                figures.probes_lost == 0 && web.resets == 0 && web.errors == 0,
            ),
            Promise::Gap => (
                "a gap of at most 250 ms, no download broken, nobody answers twice",
                figures.lost_ms <= GAP_MAX_MS,
            ),
        };
        // An address that had to leave its node and that nobody took over breaks any promise.
        let moved = draft.affected.is_empty() || figures.takeover_ms.is_some();
        let live = &draft.live;
        let alive = live.broken == 0 && live.reset == 0 && live.longest_ms <= PAUSE_MAX_MS;
        Step {
            step: draft.step,
            about: draft.about.clone(),
            at_s: draft.at_ns.saturating_sub(begin_ns) as f64 / 1e9,
            lost_ms: figures.lost_ms,
            probes_lost: figures.probes_lost,
            takeover_ms: figures.takeover_ms,
            duplicate_ms: figures.duplicate_ms,
            unwanted_moves: figures.unwanted_moves,
            pages: web.pages,
            resets: web.resets,
            errors: web.errors,
            connections: live.connections,
            broken: live.broken,
            reset: live.reset,
            longest_pause_ms: live.longest_ms,
            promise,
            held: kept
                && moved
                && alive
                && figures.duplicate_ms == 0
                && figures.unwanted_moves == 0,
            from_ns: draft.at_ns,
            trouble: web.latest.clone().or_else(|| live.latest.clone()),
        }
    }

    fn show(&self) {
        println!("{:6.1} s  {}: {}", self.at_s, self.step, self.about);
        let takeover =
            self.takeover_ms.map_or(String::new(), |ms| format!("new owner after {ms:.1} ms, "));
        println!(
            "          lost {:.0} ms ({} probes), {takeover}two answers {} ms, unwanted moves {}; web: {} pages, {} resets, {} errors",
            self.lost_ms,
            self.probes_lost,
            self.duplicate_ms,
            self.unwanted_moves,
            self.pages,
            self.resets,
            self.errors
        );
        println!(
            "          live downloads through the cluster: {} of {} broken, {} reset, longest pause {:.0} ms",
            self.broken, self.connections, self.reset, self.longest_pause_ms
        );
        if let Some(trouble) = &self.trouble {
            println!("          latest trouble: {trouble}");
        }
        let verdict = if self.held { "held" } else { "BROKEN" };
        println!("          promised: {}: {verdict}", self.promise);
    }
}
