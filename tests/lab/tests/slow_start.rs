//! A server that was out of order gets its share of new connections back step by step, on all nodes.

use dsc_lab::lab::Lab;
use dsc_lab::live::{self, Whose};
use dsc_lab::services::{self, WEB_PORT};
use dsc_lab::topology::{Plan, host_machine};
use dsc_lab::{clock, cluster, wait};
use dsc_test_lab::TestLab;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};

/// Longest wait for something that must happen, ms.
const LIMIT_MS: u64 = 30_000;
/// Of the services here, s: a part each second.
const SLOW_START_S: u64 = 7;
/// Parts of a weight.
const PARTS: usize = 8;
/// Connections that are opened while the server has the first of them.
const OPENED: usize = 90;

fn backend(lab: &Lab, node: usize, index: usize) -> Value {
    let server = SocketAddr::new(services::host_address(index, false), WEB_PORT).to_string();
    let said = cluster::dscctl(lab, node, &["backend", "--json"]).unwrap();
    let mut all = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.find(|b| b["service"] == "web" && b["backend"] == *server).unwrap()
}

/// Parts of its weight that the first server has on this node; none while it is out of the tables.
fn parts(lab: &Lab, node: usize) -> Option<usize> {
    let shown = backend(lab, node, 0);
    let reason = shown["reason"].as_str().unwrap();
    let parts = reason
        .split_once("; ")
        .map_or(PARTS, |(_, rest)| rest.split_once(" of 8 parts").unwrap().0.parse().unwrap());
    (shown["balanced"] == true).then_some(parts)
}

#[test]
fn a_server_that_is_back_gets_its_share_step_by_step_on_all_nodes() {
    let check = "{ kind = \"tcp\", port = 8080, every_ms = 200, fall = 3, rise = 2 }";
    let check = format!("{check}\nslow_start_s = {SLOW_START_S}");
    let lab = TestLab::up(Plan { hosts: 2, services: true, check, ..Plan::default() });
    live::settle(&lab, Whose::Outside).unwrap();
    let nodes = lab.plan.nodes;
    wait::until("every data path daemon answers", LIMIT_MS, || {
        let answers = |node| cluster::dscctl(&lab, node, &["backend", "--json"]).is_ok();
        (0..nodes).all(answers).then_some(())
    })
    .unwrap();
    wait::until("both servers are green and have all their weight", LIMIT_MS, || {
        let green = (0..2).all(|index| backend(&lab, 0, index)["light"] == "green");
        (green && (0..nodes).all(|node| parts(&lab, node) == Some(PARTS))).then_some(())
    })
    .unwrap();
    let host = lab.space(&host_machine(0).name).unwrap();
    let rules = "add table inet lab\nadd chain inet lab cut { type filter hook input priority 0; }\n\
                 add rule inet lab cut meta l4proto { tcp, udp } drop\n";
    host.run_with(&["nft", "-f", "-"], rules).unwrap();
    // Both checkers have seen it red: one that finds it green all along would give it all its weight at once.
    wait::until("it is out of the tables", LIMIT_MS, || {
        let checkers = backend(&lab, 0, 0)["checkers"].clone();
        let both =
            checkers.as_object().is_some_and(|c| c.len() == 2 && c.values().all(|v| v == "red"));
        (both && (0..nodes).all(|node| parts(&lab, node).is_none())).then_some(())
    })
    .unwrap();

    host.run(&["nft", "delete", "table", "inet", "lab"]).unwrap();
    wait::until("it is in the tables", LIMIT_MS, || parts(&lab, 0)).unwrap();
    let begun = clock::now_ns();
    let to = services::web(&lab.plan, false)[0].to;
    let open = || lab.space("client").unwrap().inside(|| Ok(TcpStream::connect(to)));
    let kept: Vec<TcpStream> = (0..OPENED).map(|_| open().unwrap().unwrap()).collect();
    let words = |index: usize| {
        let server = SocketAddr::new(services::host_address(index, false), WEB_PORT).to_string();
        let said = cluster::dscctl(&lab, 0, &["flows", "--backend", &server, "--json"]).unwrap();
        said.lines().filter(|line| line.contains("\"open\"")).count()
    };
    let there = [words(0), words(1)];
    println!("of {OPENED} connections it got {} with its first part", there[0]);
    assert!(there[0] * 3 < there[1], "{there:?}");
    drop(kept);

    let mut seen = BTreeSet::new();
    wait::until("it has all its weight", LIMIT_MS, || {
        let parts: Vec<usize> = (0..nodes).map(|node| parts(&lab, node).unwrap()).collect();
        seen.extend(parts.iter().copied());
        parts.iter().all(|parts| *parts == PARTS).then_some(())
    })
    .unwrap();
    let took = (clock::now_ns() - begun) / 1_000_000;
    println!("it has all its weight after {took} ms; parts seen: {seen:?}");
    assert!(seen.len() > PARTS / 2, "{seen:?}");
    assert!(took > (SLOW_START_S - 2) * 1_000, "{took}");
}
