//! What becomes of the connections of a server that falls silent: with `on_red = "reset"` each client is told, with `"keep"` they
//! wait for it and go on when it is back.

use dsc_lab::downloads::Downloads;
use dsc_lab::lab::Lab;
use dsc_lab::live::{self, Whose};
use dsc_lab::pace::Pace;
use dsc_lab::services::{self, WEB_PORT};
use dsc_lab::topology::{Plan, host_machine};
use dsc_lab::{clock, cluster, wait};
use dsc_test_lab::TestLab;
use serde_json::Value;
use std::net::SocketAddr;

/// Live downloads, over both servers.
const DOWNLOADS: usize = 200;
/// Longest wait for something that must happen, ms.
const LIMIT_MS: u64 = 30_000;
/// A server that is silent is found after so long, on a machine that does other things too, ms.
const FOUND_MS: u64 = 3_000;
/// After that every client of it has its reset within so long, also those whose first one was lost, ms.
const TOLD_MS: u64 = 2_000;
/// How long downloads are watched that nothing happens to, ms; shorter than their patience.
const WATCH_MS: u64 = 2_000;

/// Everything that comes to the server and from it is lost.
const SILENCE: &str = "add table inet lab\n\
    add chain inet lab in { type filter hook input priority 0; }\n\
    add chain inet lab out { type filter hook output priority 0; }\n\
    add rule inet lab in meta l4proto { tcp, udp } drop\n\
    add rule inet lab out meta l4proto { tcp, udp } drop\n";

fn objects(lab: &Lab, node: usize, words: &[&str]) -> Vec<Value> {
    let said = cluster::dscctl(lab, node, words).unwrap();
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn server() -> String {
    SocketAddr::new(services::host_address(0, false), WEB_PORT).to_string()
}

/// Waits until the server has this light on every node; the time it took, ms.
fn until_light(lab: &Lab, light: &str, limit_ms: u64) -> u64 {
    let begun = clock::now_ns();
    let all = |node| objects(lab, node, &["backend", "--json"]);
    let shows = |b: &Value| b["backend"] == *server() && b["light"] == light;
    wait::until(&format!("{} is {light}", server()), limit_ms, || {
        (0..lab.plan.nodes).all(|node| all(node).iter().any(shows)).then_some(())
    })
    .unwrap();
    (clock::now_ns() - begun) / 1_000_000
}

/// A lab whose first server falls silent under downloads; how many it has, and the downloads.
fn silenced(on_red: &str) -> (TestLab, Downloads, usize) {
    let check = "{ kind = \"tcp\", port = 8080, every_ms = 200, fall = 3, rise = 2 }";
    let check = format!("{check}\non_red = \"{on_red}\"");
    let plan = Plan { hosts: 2, services: true, check, ..Plan::default() };
    let lab = TestLab::up(plan);
    live::settle(&lab, Whose::Outside).unwrap();
    until_light(&lab, "green", LIMIT_MS);
    let to = services::web(&lab.plan, false);
    let downloads = Downloads::start(&lab, &to, DOWNLOADS, Pace::Steady).unwrap();
    downloads.wait_live(LIMIT_MS).unwrap();
    let words = ["flows", "--backend", &server(), "--limit", "10000", "--json"];
    let there = objects(&lab, 0, &words).iter().filter(|flow| flow["state"] == "open").count();
    assert!(0 < there && there < DOWNLOADS, "{there}");
    downloads.mark();
    let host = lab.space(&host_machine(0).name).unwrap();
    host.run_with(&["nft", "-f", "-"], SILENCE).unwrap();
    let took = until_light(&lab, "red", FOUND_MS);
    println!("on_red = {on_red}: the silent server is red everywhere after {took} ms");
    (lab, downloads, there)
}

#[test]
fn connections_of_a_silent_server_are_reset_where_the_file_says_so() {
    let (_lab, downloads, there) = silenced("reset");
    let begun = clock::now_ns();
    wait::until("every client of the silent server is told", TOLD_MS, || {
        (downloads.report().reset >= there).then_some(())
    })
    .unwrap_or_else(|e| panic!("{e}: {there}: {:?}", downloads.report()));
    let took = (clock::now_ns() - begun) / 1_000_000;
    println!("{there} clients that waited in silence are reset {took} ms later");
    wait::observe(WATCH_MS);
    let report = downloads.report();
    assert_eq!((report.broken, report.reset), (there, there), "no others: {report:?}");
    assert_eq!(report.live, DOWNLOADS - there, "{report:?}");
}

#[test]
fn connections_of_a_silent_server_wait_for_it_where_they_are_kept() {
    let (lab, downloads, there) = silenced("keep");
    wait::observe(WATCH_MS);
    let report = downloads.report();
    assert_eq!(report.broken, 0, "{there} are there: {report:?}");
    let host = lab.space(&host_machine(0).name).unwrap();
    host.run(&["nft", "delete", "table", "inet", "lab"]).unwrap();
    until_light(&lab, "green", FOUND_MS);
    downloads.wait_live(LIMIT_MS).unwrap();
    assert_eq!(downloads.report().broken, 0);
}
