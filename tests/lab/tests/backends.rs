//! What an operator does with a server behind, under load: drained it keeps what it has and gets nothing new, disabled it
//! loses that with a clear end, enabled it is back.

use dsc_lab::downloads::Downloads;
use dsc_lab::lab::Lab;
use dsc_lab::live::{self, Whose};
use dsc_lab::openings::{Counts, Openings};
use dsc_lab::pace::Pace;
use dsc_lab::services::{self, WEB_PORT};
use dsc_lab::topology::Plan;
use dsc_lab::{cluster, wait};
use dsc_test_lab::TestLab;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Live downloads, over both servers.
const DOWNLOADS: usize = 200;
/// New connections per second meanwhile.
const PER_S: u32 = 200;
/// Connections that are asked again and again.
const KEPT: usize = 30;
/// Connections that ask once which server they reach.
const PAGES: usize = 100;
/// Longest wait for something that must happen, ms.
const LIMIT_MS: u64 = 30_000;
/// How long downloads are watched after a change, ms.
const WATCH_MS: u64 = 2_000;

/// The server in question.
fn server() -> String {
    SocketAddr::new(services::host_address(0, false), WEB_PORT).to_string()
}

fn objects(lab: &Lab, node: usize, words: &[&str]) -> Vec<Value> {
    let said = cluster::dscctl(lab, node, words).unwrap();
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Gives the command, and waits until every kernel goes by it.
fn order(lab: &Lab, verb: &str, state: &str) {
    cluster::dscctl(lab, 0, &["backend", verb, "web", &server()]).unwrap();
    let in_force = |node| {
        let all = objects(lab, node, &["backend", "--json"]);
        all.iter().any(|b| b["backend"] == *server() && b["state"] == state)
    };
    wait::until(&format!("the server is {state} everywhere"), LIMIT_MS, || {
        (0..lab.plan.nodes).all(in_force).then_some(())
    })
    .unwrap();
}

/// A connection to the first address that stays open.
fn connect(lab: &Lab) -> TcpStream {
    let to = services::web(&lab.plan, false)[0].to;
    let stream = lab.space("client").unwrap().inside(|| Ok(TcpStream::connect(to)));
    let stream = stream.unwrap().unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(LIMIT_MS))).unwrap();
    stream
}

/// Which server answers: its page's text.
fn ask(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&bytes[..count]);
        let text = String::from_utf8_lossy(&answer);
        if let Some((_, page)) =
            text.split_once("\r\n\r\n").filter(|(_, page)| page.ends_with('\n'))
        {
            return Ok(page.trim().to_owned());
        }
    }
}

/// Which servers new connections reach.
fn reached(lab: &Lab) -> BTreeSet<String> {
    (0..PAGES).map(|_| ask(&mut connect(lab)).unwrap()).collect()
}

/// Open connections that the server has.
fn open_flows(lab: &Lab) -> usize {
    let words = ["flows", "--backend", &server(), "--limit", "10000", "--json"];
    objects(lab, 0, &words).iter().filter(|flow| flow["state"] == "open").count()
}

fn undisturbed(when: &str, counts: &Counts) {
    let lost = (counts.broken, counts.reset, counts.refused, counts.unanswered);
    assert_eq!(lost, (0, 0, 0, 0), "{when}: {:?}", counts.latest);
    assert!(counts.opened > 0 && counts.served == counts.opened, "{when}: {counts:?}");
}

/// What the downloads live through while something is done under new connections.
fn meanwhile(lab: &Lab, downloads: &Downloads, when: &str, act: impl FnOnce()) {
    let to = services::web(&lab.plan, false);
    let load = Openings::start(lab, &to, PER_S).unwrap();
    load.wait_served(u64::from(PER_S), LIMIT_MS).unwrap();
    downloads.mark();
    act();
    wait::observe(WATCH_MS);
    undisturbed(when, &load.stop());
}

#[test]
fn a_server_is_drained_disabled_and_enabled_again() {
    let lab = TestLab::up(Plan { hosts: 2, services: true, ..Plan::default() });
    live::settle(&lab, Whose::Outside).unwrap();
    let to = services::web(&lab.plan, false);
    let downloads = Downloads::start(&lab, &to, DOWNLOADS, Pace::Steady).unwrap();
    downloads.wait_live(LIMIT_MS).unwrap();
    let mut kept: Vec<TcpStream> = (0..KEPT).map(|_| connect(&lab)).collect();
    let servers: Vec<String> = kept.iter_mut().map(|stream| ask(stream).unwrap()).collect();
    let both = BTreeSet::from(["h1".to_owned(), "h2".to_owned()]);
    let other = BTreeSet::from(["h2".to_owned()]);
    assert_eq!(BTreeSet::from_iter(servers.clone()), both, "a server has nothing to keep");

    meanwhile(&lab, &downloads, "drained", || {
        order(&lab, "drain", "draining");
        assert_eq!(reached(&lab), other);
    });
    let report = downloads.report();
    assert_eq!((report.broken, report.live), (0, DOWNLOADS), "drained: {report:?}");
    // What it has goes on to its end.
    let half = kept.split_off(KEPT / 2);
    for (mut stream, server) in half.into_iter().zip(&servers[KEPT / 2..]) {
        assert_eq!(ask(&mut stream).unwrap(), *server);
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "not closed in order by {server}");
    }
    let kept_there = servers[..KEPT / 2].iter().filter(|server| *server == "h1").count();
    assert!(kept_there > 0, "{servers:?}");
    let there = wait::until("only downloads and what is kept are open", LIMIT_MS, || {
        let (now, soon) = (open_flows(&lab), open_flows(&lab));
        (now == soon && now < DOWNLOADS + kept_there).then_some(now - kept_there)
    })
    .unwrap();
    assert!(there > 0, "no download comes from the server");

    meanwhile(&lab, &downloads, "disabled", || {
        order(&lab, "disable", "disabled");
        assert_eq!(reached(&lab), other);
    });
    wait::until("its downloads have ended", LIMIT_MS, || {
        (downloads.report().broken == there).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {there} of {:?}", downloads.report()));
    let report = downloads.report();
    assert_eq!((report.reset, report.live), (there, DOWNLOADS - there), "disabled: {report:?}");
    for (stream, server) in kept.iter_mut().zip(&servers) {
        match ask(stream) {
            Ok(answered) => assert_eq!((&*answered, &**server), ("h2", "h2")),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "of {server}");
                assert_eq!(server, "h1");
            }
        }
    }

    meanwhile(&lab, &downloads, "enabled", || {
        order(&lab, "enable", "enabled");
        assert_eq!(reached(&lab), both);
    });
    let report = downloads.report();
    assert_eq!((report.broken, report.live), (0, DOWNLOADS - there), "enabled: {report:?}");
}
