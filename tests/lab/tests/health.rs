//! Servers behind that die loudly or fall silent are found by the nodes' checks, and get no new connections until they are
//! back.

use dsc_lab::lab::Lab;
use dsc_lab::live::{self, Whose};
use dsc_lab::services::{self, WEB_PORT};
use dsc_lab::topology::{Plan, host_machine};
use dsc_lab::{clock, cluster, program, wait};
use dsc_test_lab::TestLab;
use serde_json::Value;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for something that must happen, ms.
const LIMIT_MS: u64 = 30_000;
/// A server that is out of order is out of every table after so long, on a machine that does other things too, ms.
const FOUND_MS: u64 = 3_000;
/// Connections that are opened afterwards.
const OPENED: usize = 100;

fn server(index: usize) -> String {
    SocketAddr::new(services::host_address(index, false), WEB_PORT).to_string()
}

fn backend(lab: &Lab, node: usize, index: usize) -> Value {
    let said = cluster::dscctl(lab, node, &["backend", "--json"]).unwrap();
    let mut all = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.find(|b| b["service"] == "web" && b["backend"] == *server(index)).unwrap()
}

/// How long it took until every node's kernel gives the server new connections, or none.
fn until_balanced(lab: &Lab, index: usize, balanced: bool, since_ns: u64, limit_ms: u64) -> u64 {
    let what = format!("{} is in the tables: {balanced}", server(index));
    let everywhere = || {
        let says = |node| backend(lab, node, index)["balanced"] == balanced;
        (0..lab.plan.nodes).all(says).then_some(())
    };
    let found = wait::until(&what, limit_ms, everywhere);
    found.unwrap_or_else(|e| panic!("{e}: {}", backend(lab, 0, index)));
    (clock::now_ns() - since_ns) / 1_000_000
}

/// Opens connections; those that do not come to be.
fn failed(lab: &Lab) -> usize {
    let to = services::web(&lab.plan, false)[0].to;
    let limit = Duration::from_secs(2);
    let open =
        || lab.space("client").unwrap().inside(|| Ok(TcpStream::connect_timeout(&to, limit)));
    (0..OPENED).filter(|_| open().unwrap().is_err()).count()
}

fn events(lab: &Lab, node: usize) -> Vec<Value> {
    let said = cluster::dscctl(lab, node, &["events", "--json"]).unwrap();
    let all = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|e| e["event"] == "backend-checked" && e["service"] == "web").collect()
}

#[test]
fn a_dead_server_and_a_silent_one_leave_every_table_and_come_back() {
    let check = "{ kind = \"tcp\", port = 8080, every_ms = 200, fall = 3, rise = 2 }";
    let plan = Plan { hosts: 3, services: true, check: check.into(), ..Plan::default() };
    let lab = TestLab::up(plan);
    live::settle(&lab, Whose::Outside).unwrap();
    wait::until("every server is green, checked by two nodes", LIMIT_MS, || {
        let fine = |node, index| {
            let b = backend(&lab, node, index);
            b["light"] == "green" && b["checkers"].as_object().is_some_and(|c| c.len() == 2)
        };
        (0..3).all(|node| (0..3).all(|index| fine(node, index))).then_some(())
    })
    .unwrap_or_else(|e| panic!("{e}: {}", backend(&lab, 0, 0)));
    assert_eq!(failed(&lab), 0);

    // Loudly: the machine refuses connections.
    let host = host_machine(0).name;
    let space = lab.space(&host).unwrap();
    let at = clock::now_ns();
    space.processes().iter().filter(|p| p.name() == program::NGINX).for_each(|p| {
        p.signal(nix::sys::signal::Signal::SIGKILL);
    });
    let took = until_balanced(&lab, 0, false, at, FOUND_MS);
    println!("a killed server is out of all tables after {took} ms");
    assert_eq!(failed(&lab), 0, "after it was found dead");
    let shown = backend(&lab, 1, 0);
    assert_eq!((&shown["light"], &shown["reason"]), (&"red".into(), &"connection refused".into()));
    let told = events(&lab, 2);
    let red = |e: &&Value| e["light"] == "red" && e["backend"] == *server(0);
    assert_eq!(told.iter().filter(red).count(), 2, "one of each checker: {told:?}");

    // Silently: nobody refuses anything.
    let silent = lab.space(&host_machine(1).name).unwrap();
    let rules = "add table inet lab\nadd chain inet lab cut { type filter hook input priority 0; }\n\
                 add rule inet lab cut meta l4proto { tcp, udp } drop\n";
    let at = clock::now_ns();
    silent.run_with(&["nft", "-f", "-"], rules).unwrap();
    let took = until_balanced(&lab, 1, false, at, FOUND_MS);
    println!("a silent server is out of all tables after {took} ms");
    assert_eq!(failed(&lab), 0, "after it was found silent");
    assert_eq!(backend(&lab, 0, 1)["reason"], "no answer in time");
    let status = cluster::status(&lab, 2).unwrap();
    let words = status["warnings"].as_array().unwrap().iter().map(|w| &w["warning"]);
    assert!(words.filter(|w| *w == "backend-red").count() >= 2, "{}", status["warnings"]);

    // The last one too: nobody knows better than to try all.
    let third = lab.space(&host_machine(2).name).unwrap();
    third.run_with(&["nft", "-f", "-"], rules).unwrap();
    let at = clock::now_ns();
    until_balanced(&lab, 0, true, at, FOUND_MS);
    assert_eq!(backend(&lab, 0, 0)["light"], "red");
    third.run(&["nft", "delete", "table", "inet", "lab"]).unwrap();
    until_balanced(&lab, 0, false, at, FOUND_MS + 1_000);

    let at = clock::now_ns();
    silent.run(&["nft", "delete", "table", "inet", "lab"]).unwrap();
    let took = until_balanced(&lab, 1, true, at, FOUND_MS);
    println!("a server that is heard again is in all tables after {took} ms");
    assert_eq!(failed(&lab), 0);
}
