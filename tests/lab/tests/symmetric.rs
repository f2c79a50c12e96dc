//! Symmetric routing: with the addresses that clients reach on one node and the servers' gateways on another, each reply
//! leaves by the first, and nobody notices when either node crashes or gives its address away.

use dsc_lab::cluster;
use dsc_lab::lab::Lab;
use dsc_lab::live::{self, Whose};
use dsc_lab::openings::{Counts, Openings};
use dsc_lab::pace::Pace;
use dsc_lab::scenario::Event;
use dsc_lab::services::{self, Ends};
use dsc_lab::topology::{Plan, Subnet};
use dsc_test_lab::{TestLab, stalled_ms};
use std::fmt::Write as _;

/// Where requests come in, and where replies do.
const OUTSIDE: usize = 0;
const INSIDE: usize = 1;
/// Live downloads of a test.
const DOWNLOADS: usize = 300;
/// New connections per second, and how many of them.
const PER_S: u32 = 300;
const CONNECTIONS: u64 = 3_000;
/// Longest wait for something that must happen, ms.
const LIMIT_MS: u64 = 60_000;

/// A machine that stalls keeps news of flows back for longer than the 50 ms that a reply waits for them by default.
const FLOWS: &str = "routing = \"symmetric\"\nhold_ms = 500";

fn apart() -> TestLab {
    let lab = TestLab::up(Plan {
        hosts: 2,
        services: true,
        vips: 1,
        vips6: 1,
        vips6_int: 1,
        flows: FLOWS.into(),
        ..Plan::default()
    });
    live::settle(&lab, Whose::Outside).unwrap();
    for (vip, place) in lab.plan.vip_list().iter().enumerate() {
        let to = if place.subnet == Subnet::Ext { OUTSIDE } else { INSIDE };
        if cluster::host_of(&lab, vip) != Some(to) {
            cluster::move_vip(&lab, vip, to).unwrap();
        }
    }
    lab
}

fn web(lab: &Lab) -> Vec<Ends> {
    [services::web(&lab.plan, false), services::web(&lab.plan, true)].concat()
}

/// What a node's kernel has counted under this name.
fn count(lab: &Lab, node: usize, verdict: &str) -> u64 {
    let said = cluster::dscctl(lab, node, &["status", "--local", "--json"]).unwrap();
    let status: serde_json::Value = serde_json::from_str(&said).unwrap();
    let verdicts = status["verdicts"].as_array().unwrap();
    let found = verdicts.iter().find(|v| v["name"] == verdict);
    found.and_then(|v| v["count"].as_u64()).unwrap_or_else(|| panic!("no verdict {verdict}"))
}

/// What the nodes counted that may explain a loss, for whoever reads a failed test.
fn losses(lab: &Lab) -> String {
    let mut told = format!("without a lease for {} ms", stalled_ms(lab, None));
    for node in 0..lab.plan.nodes {
        let said = cluster::dscctl(lab, node, &["counters", "--json"]).unwrap_or_default();
        let all = said.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
        for counter in all.filter(|c| c["count"] != 0) {
            let name = counter["name"].as_str().unwrap_or_default();
            if ["dropped_", "replies_", "stall"].iter().any(|begin| name.starts_with(begin)) {
                let _ = write!(told, ", {} {name} {}", lab.plan.node(node), counter["count"]);
            }
        }
    }
    told
}

fn nothing_lost(lab: &Lab, counts: &Counts) {
    let lost = (counts.broken, counts.reset, counts.refused, counts.unanswered, counts.skipped);
    assert_eq!(lost, (0, 0, 0, 0, 0), "{:?}", counts.latest);
    // A machine that stalls for longer than a lease makes its nodes fall silent.
    let excused = stalled_ms(lab, None) > 0.0;
    let sent_again = counts.syn_retransmits;
    assert!(sent_again == 0 || excused, "{sent_again} of {}; {}", counts.opened, losses(lab));
    assert!(counts.opened > 0 && counts.served == counts.opened, "{} served", counts.served);
}

#[test]
fn each_reply_leaves_where_the_request_came_in() {
    let lab = apart();
    let all = || {
        let of = |node| ["nat_reply", "nat_steered"].map(|name| count(&lab, node, name));
        (0..lab.plan.nodes).map(of).collect::<Vec<_>>()
    };
    let epoch = || cluster::status(&lab, OUTSIDE).unwrap()["epoch"].clone();
    let (before, formed) = (all(), epoch());
    let load = Openings::start(&lab, &web(&lab), PER_S).unwrap();
    load.wait_served(CONNECTIONS, LIMIT_MS).unwrap();
    let counts = load.stop();
    nothing_lost(&lab, &counts);
    let after = all();
    for (node, (before, after)) in before.iter().zip(&after).enumerate() {
        let [sent, handed] = [0, 1].map(|k| after[k] - before[k]);
        // Its page and its end at least: the SYN-ACK may have waited for its flow in user space.
        let enough = counts.served * 2;
        // While no host is known, as when a stalled machine lets the ring form anew, replies go directly.
        let strays = stalled_ms(&lab, None) > 0.0 || epoch() != formed;
        match node {
            OUTSIDE => assert!(sent >= enough && handed == 0, "{sent} sent, {handed} handed"),
            INSIDE => {
                assert!((sent == 0 || strays) && handed >= enough, "{sent} sent, {handed} handed")
            }
            _ => assert_eq!((sent, handed), (0, 0), "at another node"),
        }
    }
}

/// Downloads that are live through the event and its undoing.
fn downloads_live_through(event: Event, whose: Whose) {
    let mut lab = apart();
    let to = web(&lab);
    let outcome = live::downloads(&mut lab, Some(&event), whose, &to, DOWNLOADS, Pace::Steady);
    let outcome = outcome.unwrap_or_else(|error| panic!("{}: {error}", event.name()));
    for (half, report) in [(event.name(), outcome.event), (event.undoing().into(), outcome.undoing)]
    {
        assert_eq!((report.broken, report.reset), (0, 0), "{half}: {report:?}");
        assert_eq!(report.live, DOWNLOADS, "{half}: {report:?}");
    }
}

#[test]
fn crash_of_the_node_where_requests_come_in() {
    downloads_live_through(Event::Crash, Whose::Outside);
}

#[test]
fn crash_of_the_node_where_replies_come_in() {
    downloads_live_through(Event::Crash, Whose::Inside);
}

/// New connections while an address is moved to the next node, and back.
fn moved_under_new_connections(whose: Whose) {
    let mut lab = apart();
    let to = services::web(&lab.plan, false);
    let outcome = live::openings(&mut lab, Some(&Event::Move), whose, &to, PER_S).unwrap();
    nothing_lost(&lab, &outcome.event);
    nothing_lost(&lab, &outcome.undoing);
}

#[test]
fn an_external_address_is_moved() {
    downloads_live_through(Event::Move, Whose::Outside);
    moved_under_new_connections(Whose::Outside);
}

#[test]
fn the_gateway_is_moved() {
    downloads_live_through(Event::Move, Whose::Inside);
    moved_under_new_connections(Whose::Inside);
}
