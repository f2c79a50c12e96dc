//! What clients live through at a server tells more than probes that are seldom: one that is dead is found sooner under
//! connections, and one that only clients are refused at is not, because no probe fails.

use dsc_lab::lab::Lab;
use dsc_lab::live::{self, Whose};
use dsc_lab::openings::Openings;
use dsc_lab::services::{self, WEB_PORT};
use dsc_lab::topology::{Plan, Subnet, host_machine};
use dsc_lab::{clock, cluster, wait};
use dsc_test_lab::TestLab;
use serde_json::Value;
use std::net::SocketAddr;

/// New connections per second.
const PER_S: u32 = 200;
/// Longest wait for something that must happen, ms.
const LIMIT_MS: u64 = 30_000;
/// From one probe to the next, and failures that turn the light red: probes alone need at least two such intervals.
const EVERY_MS: u64 = 4_000;
const FALL: u64 = 3;
/// So long it takes at most with what the connections say.
const FOUND_MS: u64 = 4_000;
/// How long clients are refused without consequence, ms.
const REFUSED_MS: u64 = 2_000;

fn server() -> String {
    SocketAddr::new(services::host_address(0, false), WEB_PORT).to_string()
}

fn backend(lab: &Lab, node: usize) -> Value {
    let said = cluster::dscctl(lab, node, &["backend", "--json"]).unwrap();
    let mut all = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.find(|b| b["service"] == "web" && b["backend"] == *server()).unwrap()
}

/// Refuses connections at the first server, but for those of other machines than `allowed`.
fn refuse(lab: &Lab, allowed: &str) {
    let rules = format!(
        "add table inet lab\nadd chain inet lab cut {{ type filter hook input priority 0; }}\n\
         add rule inet lab cut {allowed} tcp dport {WEB_PORT} reject with tcp reset\n"
    );
    lab.space(&host_machine(0).name).unwrap().run_with(&["nft", "-f", "-"], &rules).unwrap();
}

#[test]
fn connections_hurry_the_probes_and_decide_nothing_themselves() {
    let check = format!(
        "{{ kind = \"tcp\", port = 8080, every_ms = {EVERY_MS}, fall = {FALL}, rise = 1 }}"
    );
    let lab = TestLab::up(Plan { hosts: 2, services: true, check, ..Plan::default() });
    live::settle(&lab, Whose::Outside).unwrap();
    wait::until("the server is green, checked by two nodes", LIMIT_MS, || {
        let b = backend(&lab, 0);
        let both = b["checkers"].as_object().is_some_and(|c| c.len() == 2);
        (b["light"] == "green" && both).then_some(())
    })
    .unwrap();
    let load = Openings::start(&lab, &services::web(&lab.plan, false), PER_S).unwrap();
    load.wait_served(u64::from(PER_S), LIMIT_MS).unwrap();

    // Only strangers are refused: the nodes' own probes are answered.
    let nodes = format!("ip saddr != {}/24", Subnet::Int.v4(0));
    refuse(&lab, &nodes);
    let begun = clock::now_ns();
    while clock::now_ns() - begun < REFUSED_MS * 1_000_000 {
        let b = backend(&lab, 1);
        assert_eq!((&b["light"], &b["balanced"]), (&"green".into(), &true.into()), "{b}");
    }
    assert!(load.counts().refused > 0, "nobody was refused");

    let begun = clock::now_ns();
    refuse(&lab, "");
    wait::until("the server is out of all tables", FOUND_MS, || {
        (0..lab.plan.nodes).all(|node| backend(&lab, node)["balanced"] == false).then_some(())
    })
    .unwrap_or_else(|e| panic!("{e}: {}", backend(&lab, 0)));
    let took = (clock::now_ns() - begun) / 1_000_000;
    let alone = EVERY_MS * (FALL - 1);
    println!("found after {took} ms; its probes alone need {alone} at least");
    assert!(took < alone);
    drop(load);
}
