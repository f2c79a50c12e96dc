//! The clients that count broken connections, tried where it is known what they must find: nothing where nodes only
//! forward, whatever crashes, and everything where a server dies. keepalived moves the addresses.

use dsc_lab::downloads::Downloads;
use dsc_lab::live::{self, Whose};
use dsc_lab::openings::Openings;
use dsc_lab::pace::Pace;
use dsc_lab::program::{self, NGINX};
use dsc_lab::scenario::Event;
use dsc_lab::services;
use dsc_lab::topology::{Plan, System};
use dsc_lab::wait;
use dsc_test_lab::TestLab;
use nix::sys::signal::Signal;

const DOWNLOADS: usize = 200;
const PER_S: u32 = 200;
const LIMIT_MS: u64 = 30_000;

fn up() -> TestLab {
    let system = System::parse("keepalived-50").unwrap();
    TestLab::up(Plan { hosts: 2, services: true, vips6: 0, system, ..Plan::default() })
}

/// A node without state for connections can break none.
#[test]
fn nothing_breaks_where_nodes_only_forward() {
    let mut lab = up();
    let to = services::hosts(&lab.plan, false);
    let (event, whose) = (Event::Crash, Whose::Outside);
    let outcome =
        live::downloads(&mut lab, Some(&event), whose, &to, DOWNLOADS, Pace::Steady).unwrap();
    for report in [outcome.event, outcome.undoing] {
        assert_eq!((report.live, report.broken), (DOWNLOADS, 0), "{report:?}");
    }
    let outcome = live::openings(&mut lab, Some(&event), whose, &to, PER_S).unwrap();
    for counts in [outcome.event, outcome.undoing] {
        assert_eq!((counts.broken, counts.refused), (0, 0), "{:?}", counts.latest);
        assert!(counts.accepted > 0 && counts.served == counts.accepted);
    }
}

/// Half of the connections are with the server that dies, and end with it.
#[test]
fn a_server_that_dies_is_noticed() {
    let lab = up();
    live::settle(&lab, Whose::Outside).unwrap();
    let to = services::hosts(&lab.plan, false);
    let downloads = Downloads::start(&lab, &to, DOWNLOADS, Pace::Steady).unwrap();
    downloads.wait_live(LIMIT_MS).unwrap();
    let openings = Openings::start(&lab, &to, PER_S).unwrap();
    openings.wait_served(u64::from(PER_S), LIMIT_MS).unwrap();
    for nginx in lab.space("h1").unwrap().processes().iter().filter(|p| p.name() == NGINX) {
        nginx.signal(Signal::SIGKILL);
    }
    wait::until("half of the downloads broke", LIMIT_MS, || {
        (downloads.report().broken == DOWNLOADS / 2).then_some(())
    })
    .unwrap();
    wait::until("connections are refused", LIMIT_MS, || {
        (openings.counts().refused > 0).then_some(())
    })
    .unwrap();
    assert!(program::find_on(&lab, "h2", NGINX).is_some());
    let report = downloads.report();
    assert_eq!(report.live, DOWNLOADS / 2, "{report:?}");
    let counts = openings.stop();
    assert!(counts.served > 0 && counts.opened >= counts.served + counts.refused, "{counts:?}");
}
