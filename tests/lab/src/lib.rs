//! What the scenarios of `tests/` share: a lab that is taken down at the end of a test whatever happened, one at a time,
//! and the judgement of a run. The bounds are generous, because the machine of a test is busy; the bench measures.
//!
//! The scenarios need root and the programs: `scripts/test`, or `cargo build --workspace` and `cargo test` as root.

pub mod service;
mod stall;

use dsc_lab::figures::{self, Figures};
use dsc_lab::http::Counts;
use dsc_lab::lab::{self, Lab};
use dsc_lab::probe::Prober;
use dsc_lab::scenario::{self, Event, Outcome};
use dsc_lab::topology::{Plan, Subnet};
use dsc_lab::traffic::Seen;
use dsc_lab::{clock, cluster, wait};
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard};

/// Longest gap that a failure may cost, ms: the crash's target is 150 ms, and a stalled machine adds to it.
pub const GAP_MAX_MS: f64 = 400.0;
/// Longest wait for every node to be able to host, ms.
const ABLE_MS: u64 = 20_000;
/// The name of the tests' lab; `scripts/test` takes it down if a test was interrupted.
const NAME: &str = "test";

/// Scenarios measure time: two at once would measure each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A lab for one test.
pub struct TestLab {
    lab: Lab,
    stalls: stall::Stalls,
    _turn: MutexGuard<'static, ()>,
}

impl TestLab {
    /// Brings it up.
    ///
    /// # Panics
    /// It cannot: not root, or the programs are not built.
    pub fn up(plan: Plan) -> TestLab {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let stalls = stall::Stalls::watch();
        match Lab::up(NAME, plan) {
            Ok(lab) => TestLab { lab, stalls, _turn: turn },
            Err(error) => panic!("{error}"),
        }
    }

    /// The addresses that clients reach, by number.
    pub fn vips(&self) -> Vec<usize> {
        let list = self.plan.vip_list();
        (0..list.len()).filter(|v| list[*v].subnet == Subnet::Ext).collect()
    }

    /// The same as addresses.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.vips().into_iter().map(|v| self.plan.vip_list()[v].address).collect()
    }
}

impl Deref for TestLab {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl DerefMut for TestLab {
    fn deref_mut(&mut self) -> &mut Lab {
        &mut self.lab
    }
}

impl Drop for TestLab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
            eprintln!("{}", self.stalls.verdict());
        }
        if let Err(error) = lab::down(NAME) {
            eprintln!("the lab is not down: {error}");
        }
    }
}

impl TestLab {
    /// What the daemons said, for whoever reads a failed test.
    fn show_logs(&self) {
        for node in 0..self.plan.nodes {
            for name in dsc_lab::program::daemons_of(&self.plan) {
                let file = dsc_lab::program::log_file(&self.lab, node, name);
                let text = std::fs::read_to_string(file).unwrap_or_default();
                eprintln!("--- {} {name}\n{text}", self.plan.node(node));
            }
        }
    }
}

/// Runs one event and its undoing on a fresh lab.
///
/// # Panics
/// The lab does not come up or calm down.
pub fn run(plan: Plan, event: &Event) -> (TestLab, Outcome) {
    let mut lab = TestLab::up(plan);
    let vips = lab.vips();
    match scenario::run(&mut lab, event, &vips) {
        Ok(outcome) => (lab, outcome),
        Err(error) => panic!("{}: {error}", event.name()),
    }
}

/// A failure: every address of the victim moves, once, with a short gap, and no two nodes ever answer.
///
/// # Panics
/// Not so.
pub fn assert_short_gap(figures: &Figures) {
    assert!(figures.takeover_ms.is_some(), "nothing moved: {figures:?}");
    assert!(figures.lost_ms <= GAP_MAX_MS, "a long gap: {figures:?}");
    assert_eq!(figures.duplicate_ms, 0, "two nodes answered: {figures:?}");
    assert_eq!(figures.unwanted_moves, 0, "more moved than had to: {figures:?}");
}

/// Something that must cost nothing, though addresses may move. One thing is excused: a machine that stalls as a whole
/// for longer than a lease lasts makes its nodes fall silent, which they tell; the gap is then no longer than they say.
/// What `victim` tells is no excuse.
///
/// # Panics
/// Not so.
pub fn assert_nothing_lost(lab: &Lab, victim: Option<usize>, figures: &Figures) {
    assert_eq!(figures.duplicate_ms, 0, "two nodes answered: {figures:?}");
    assert_eq!(figures.unwanted_moves, 0, "more moved than had to: {figures:?}");
    if figures.probes_lost > 0 {
        let stalled_ms = stalled_ms(lab, victim);
        let excused = stalled_ms > 0.0 && figures.lost_ms <= stalled_ms + 3.0;
        assert!(excused, "probes lost, nodes without a lease for {stalled_ms} ms: {figures:?}");
    }
}

/// For how long nodes other than `victim` say that they were without a lease, ms.
pub fn stalled_ms(lab: &Lab, victim: Option<usize>) -> f64 {
    let victim = victim.map(|v| lab.plan.node(v));
    let asked = (0..lab.plan.nodes).find(|n| !lab.dark.contains(n)).unwrap_or(0);
    let events = cluster::dscctl(lab, asked, &["events", "--json"]).unwrap_or_default();
    events
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|e| e["event"] == "lapsed" && e["node"].as_str() != victim.as_deref())
        .filter_map(|e| e["gap_ms"].as_f64())
        .sum()
}

/// Web clients that noticed nothing.
///
/// # Panics
/// Not so, or there were none.
pub fn assert_undisturbed(counts: &Counts) {
    assert!(counts.pages > 0, "no page was ever sent: {counts:?}");
    assert_eq!((counts.resets, counts.errors), (0, 0), "{counts:?}");
}

/// No client of a lab with services noticed anything, though addresses may have moved. A machine that stalled is excused as by
/// [`assert_nothing_lost`].
///
/// # Panics
/// One did.
pub fn assert_undisturbed_by(lab: &Lab, what: &str, seen: &Seen) {
    let Seen { figures, downloads, openings } = seen;
    let figures = Figures { unwanted_moves: 0, ..figures.clone() };
    assert_nothing_lost(lab, None, &figures);
    assert_eq!((downloads.broken, downloads.reset), (0, 0), "{what}: {downloads:?}");
    assert_eq!(downloads.live, downloads.connections, "{what}: {downloads:?}");
    assert!(openings.accepted > 0, "{what}: {:?}", openings.latest);
    let served = (openings.served, openings.broken, openings.refused);
    assert_eq!(served, (openings.accepted, 0, 0), "{what}: {:?}", openings.latest);
}

/// Runs something beside a calm cluster, whose clients must not notice. `leaves` names a node that is taken out on
/// purpose meanwhile: its addresses may move, once.
///
/// # Panics
/// A client noticed something.
pub fn beside_a_calm_cluster(leaves: Option<usize>, act: impl FnOnce(&TestLab)) {
    let lab = TestLab::up(Plan::default());
    let vips = lab.vips();
    let prober = Prober::start(&lab, &vips).unwrap();
    scenario::calm(&lab, &prober).unwrap();
    // Who leaves while nobody else can host yet has nobody to hand over to.
    wait::until("every node can host", ABLE_MS, || {
        let status = cluster::status(&lab, 0).ok()?;
        let able = |n: &serde_json::Value| n["able"].as_array().is_some_and(|a| !a.is_empty());
        status["nodes"].as_array()?.iter().all(able).then_some(())
    })
    .unwrap();
    let affected: Vec<(usize, usize)> = vips
        .iter()
        .filter(|v| leaves.is_some() && prober.owner(**v) == leaves)
        .filter_map(|v| Some((*v, leaves?)))
        .collect();
    let from_ns = clock::now_ns();
    act(&lab);
    scenario::calm(&lab, &prober).unwrap();
    let seen = prober.stop().unwrap().between(from_ns, u64::MAX);
    assert_nothing_lost(&lab, leaves, &figures::judge(&seen, from_ns, &affected));
}

/// How a daemon ends that refuses to start; 78: for its configuration.
pub const REFUSES: [i32; 2] = [1, 78];

/// Runs a daemon on n1 that must refuse to start, and returns what it said.
///
/// # Panics
/// It does not, or it does not say its name.
pub fn refused(lab: &TestLab, daemon: &str, arguments: &[&str]) -> String {
    refused_under(lab, &[], daemon, arguments)
}

/// The same by way of another command, which takes something away from it.
///
/// # Panics
/// As [`refused`].
pub fn refused_under(lab: &TestLab, by: &[&str], daemon: &str, arguments: &[&str]) -> String {
    let program = lab.bin_dir.join(daemon).display().to_string();
    let argv = [&["timeout", "10"], by, &[&*program], arguments].concat();
    let output = lab.node(0).unwrap().output(&argv, "").unwrap();
    let refuses = output.status.code().is_some_and(|code| REFUSES.contains(&code));
    assert!(refuses, "{daemon} {arguments:?}: {output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("{daemon}: ")), "it does not say its name: {said}");
    said
}
