//! Connections that end in a program of a node, as those of services of kind `local` and `link` do, stay with it when their
//! address is moved on purpose, however often, and when its host crashes after that; who comes anew is served by the new host.

use dsc_lab::downloads::Downloads;
use dsc_lab::lab::Lab;
use dsc_lab::pace::Pace;
use dsc_lab::program::{self, NGINX};
use dsc_lab::services::{self, Ends};
use dsc_lab::topology::{Plan, Subnet};
use dsc_lab::{change, cluster, fault, wait};
use dsc_test_lab::{TestLab, stalled_ms};
use nix::sys::signal::Signal;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Where the web server of a node is.
const PORT: u16 = 80;
/// Live downloads, spread over all addresses.
const DOWNLOADS: usize = 40;
/// How long they are watched after each move, ms.
const WATCH_MS: u64 = 1_500;
/// Longest that the bytes of one may be late: they are due every 100 ms, and the machine of a test is busy.
const LATE_MS: u64 = 400;
/// Where a program waits for a connection on the addresses themselves; none of the other nodes has one.
const WAITING_PORT: u16 = 50_000;
/// What it says.
const WORD: &str = "the next file";
/// To which nodes all addresses go in turn. The first is where the sockets are.
const MOVES: [usize; 3] = [1, 2, 1];
/// Longest wait for something that must happen, ms.
const LIMIT_MS: u64 = 20_000;

/// The addresses that clients reach, by number.
fn outside(lab: &Lab) -> Vec<usize> {
    let list = lab.plan.vip_list();
    (0..list.len()).filter(|v| list[*v].subnet == Subnet::Ext).collect()
}

fn move_all(lab: &Lab, to: usize) {
    for vip in outside(lab) {
        if cluster::host_of(lab, vip) != Some(to) {
            cluster::move_vip(lab, vip, to).unwrap();
        }
    }
}

/// Frames that a node's kernel gave to a socket of it because another node handed them on.
fn handed_here(lab: &Lab, node: usize) -> u64 {
    cluster::counters(lab, node).unwrap()["delivered_steered"]
}

/// Who answers on an address now.
fn answers(lab: &Lab, ends: &Ends) -> String {
    let url = format!("http://{}/", ends.to);
    let page = lab.space("client").unwrap().run(&["curl", "-sf", "-m", "5", &url]);
    page.unwrap().trim().to_owned()
}

/// What is said to a client that connects.
fn word(lab: &Lab, to: SocketAddr) -> io::Result<String> {
    let limit = Duration::from_millis(LIMIT_MS);
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&to, limit)?;
        stream.set_read_timeout(Some(limit))?;
        let mut said = String::new();
        stream.read_to_string(&mut said).map(|_| said)
    };
    lab.space("client").unwrap().inside(|| Ok(ask())).unwrap()
}

#[test]
fn downloads_stay_with_their_server_through_planned_moves() {
    let mut lab = TestLab::up(Plan { vips: 2, vips6: 2, hosts: 1, ..Plan::default() });
    cluster::wait_whole(&lab, LIMIT_MS).unwrap();
    let vip = |k: usize| lab.plan.vip_list()[k].address;
    let local = format!("vips = [\"{}\", \"{}\"]\nkind = \"local\"", vip(0), vip(2));
    let link = format!(
        "vips = [\"{}\", \"{}\"]\nkind = \"link\"\nlink = {{ speaks = \"http\" }}\n\
         backends = [{{ address = \"{}\", port = 8080 }}]\ncheck = {{ kind = \"http\" }}",
        vip(1),
        vip(3),
        services::host_address(0, false)
    );
    let service = |name: &str, rest: &str| {
        format!("\n[[service]]\nname = \"{name}\"\nport = {PORT}\n{rest}\n")
    };
    let both = service("own", &local) + &service("shop", &link) + "\n[flows]";
    change::replace(&lab, 0, "\n[flows]", &both).unwrap();
    change::wait_same(&lab, &[0, 1, 2]).unwrap();
    program::start_web(&lab, "h1").unwrap();
    wait::until("the link's backend is checked and found in order", LIMIT_MS, || {
        let backends = cluster::dscctl(&lab, 1, &["backend", "--json"]).unwrap();
        backends.contains(r#""light":"green""#).then_some(())
    })
    .unwrap();
    move_all(&lab, 0);
    let ends = |k: usize| Ends { from: None, to: SocketAddr::new(vip(k), PORT) };
    let all: Vec<Ends> = outside(&lab).into_iter().map(ends).collect();
    let downloads = Downloads::start(&lab, &all, DOWNLOADS, Pace::Steady).unwrap();
    downloads.wait_live(LIMIT_MS).unwrap();
    // As the port that a client of an FTP session is told to connect to for the next file.
    let space = lab.node(0).unwrap().clone();
    let waiting: Vec<SocketAddr> =
        all.iter().map(|ends| SocketAddr::new(ends.to.ip(), WAITING_PORT)).collect();
    let ends = waiting.clone();
    let server = std::thread::spawn(move || {
        space.enter_net().unwrap();
        let listeners = ends.iter().map(|end| TcpListener::bind(end).unwrap());
        let listeners: Vec<TcpListener> = listeners.collect();
        for listener in listeners.iter().cycle().take(MOVES.len() * listeners.len()) {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(WORD.as_bytes()).unwrap();
        }
    });
    let mut handed = handed_here(&lab, 0);
    for to in MOVES {
        downloads.mark();
        move_all(&lab, to);
        wait::observe(WATCH_MS);
        let report = downloads.report();
        assert_eq!((report.live, report.broken), (DOWNLOADS, 0), "{report:?}");
        let late = report.longest_ms - stalled_ms(&lab, None);
        assert!(late <= LATE_MS as f64, "{report:?}");
        let before = std::mem::replace(&mut handed, handed_here(&lab, 0));
        assert!(handed - before > DOWNLOADS as u64, "{handed} handed back, {before} before");
        for ends in &all {
            assert_eq!(answers(&lab, ends), lab.plan.node(to), "{}", ends.to);
        }
        for end in &waiting {
            assert_eq!(word(&lab, *end).unwrap(), WORD, "{end}");
        }
    }
    server.join().unwrap();
    let refused = word(&lab, waiting[0]).unwrap_err().kind();
    assert_eq!(refused, ErrorKind::ConnectionRefused, "nobody waits there any more");
    // Whoever has the addresses may crash: the next host knows who had them before.
    let host = MOVES[MOVES.len() - 1];
    fault::crash(&mut lab, host).unwrap();
    downloads.mark();
    wait::until("the downloads go on after a crash", LIMIT_MS, || {
        let moved = |vip: usize| cluster::host_of(&lab, vip).is_some_and(|now| now != host);
        (outside(&lab).into_iter().all(moved) && downloads.flowing(LATE_MS)).then_some(())
    })
    .unwrap();
    move_all(&lab, 0);
    wait::observe(WATCH_MS);
    let report = downloads.report();
    assert_eq!((report.live, report.broken), (DOWNLOADS, 0), "back again: {report:?}");
    // They are its own, and nobody else's: without it they end, and are not silent.
    for process in lab.node(0).unwrap().processes().iter().filter(|p| p.name() == NGINX) {
        process.signal(Signal::SIGKILL);
    }
    wait::until("the downloads end with their server", LIMIT_MS, || {
        (downloads.report().broken == DOWNLOADS).then_some(())
    })
    .unwrap();
}
