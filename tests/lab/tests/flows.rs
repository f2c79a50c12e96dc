//! Connections through the cluster to the hosts behind: whoever of the nodes crashes, is emptied or loses a daemon, no
//! client notices more than a pause, and no byte is wrong. The bench measures the pauses; here nothing may break.

use dsc_lab::downloads::Report;
use dsc_lab::live::{self, Outcome, Whose};
use dsc_lab::openings::{Counts, Openings};
use dsc_lab::pace::Pace;
use dsc_lab::packet::{Answer, Kind, Question};
use dsc_lab::scenario::Event;
use dsc_lab::services::{self, HOST_NUMBER, UDP_PORT};
use dsc_lab::syn_flood::{self, Attack};
use dsc_lab::topology::{Plan, Subnet};
use dsc_lab::{cluster, wait};
use dsc_test_lab::TestLab;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// Live downloads of a test; the bench holds 10,000.
const DOWNLOADS: usize = 300;
/// New connections per second of a test.
const PER_S: u32 = 300;
/// Longest wait for something that must happen, ms.
const LIMIT_MS: u64 = 30_000;

fn plan() -> Plan {
    Plan { hosts: 2, services: true, vips6: 1, vips6_int: 1, ..Plan::default() }
}

fn unharmed(half: &str, report: &Report) {
    assert_eq!((report.broken, report.reset), (0, 0), "{half}: {report:?}");
    assert_eq!(report.live, DOWNLOADS, "{half}: {report:?}");
}

/// Downloads from every address, IPv4 and IPv6, live through the event and its undoing.
fn downloads_live_through(event: Event, whose: Whose) {
    let mut lab = TestLab::up(plan());
    let to = [services::web(&lab.plan, false), services::web(&lab.plan, true)].concat();
    let outcome = live::downloads(&mut lab, Some(&event), whose, &to, DOWNLOADS, Pace::Steady);
    let Outcome { event: first, undoing: second, .. } =
        outcome.unwrap_or_else(|error| panic!("{}: {error}", event.name()));
    unharmed(&event.name(), &first);
    unharmed(event.undoing(), &second);
}

#[test]
fn crash_of_the_node_where_requests_arrive() {
    downloads_live_through(Event::Crash, Whose::Outside);
}

#[test]
fn crash_of_the_node_where_replies_arrive() {
    downloads_live_through(Event::Crash, Whose::Inside);
}

#[test]
fn freeze_and_thaw() {
    downloads_live_through(Event::Freeze, Whose::Outside);
}

#[test]
fn cut_off_and_merged() {
    downloads_live_through(Event::Drop, Whose::Outside);
}

#[test]
fn an_external_address_is_moved() {
    downloads_live_through(Event::Move, Whose::Outside);
}

#[test]
fn the_gateway_is_moved() {
    downloads_live_through(Event::Move, Whose::Inside);
}

#[test]
fn a_node_is_drained_and_opened() {
    downloads_live_through(Event::Drain, Whose::Outside);
}

#[test]
fn the_data_path_daemon_is_killed_and_started() {
    downloads_live_through(Event::Kill("dsc-fwd"), Whose::Outside);
}

#[test]
fn the_data_path_daemon_is_replaced() {
    downloads_live_through(Event::Replace("dsc-fwd"), Whose::Outside);
}

#[test]
fn the_ring_daemon_is_killed_and_started() {
    downloads_live_through(Event::Kill("dsc-ringd"), Whose::Outside);
}

#[test]
fn the_ring_daemon_is_replaced() {
    downloads_live_through(Event::Replace("dsc-ringd"), Whose::Outside);
}

/// Nobody whose SYN was answered is let down.
fn kept_their_word(half: &str, counts: &Counts) {
    assert!(counts.accepted > 0, "{half}: none was accepted: {:?}", counts.latest);
    let told = format!("{half}: {} of {}", counts.broken, counts.accepted);
    assert_eq!((counts.broken, counts.reset), (0, 0), "{told}: {:?}", counts.latest);
    assert_eq!(counts.served, counts.accepted, "{half}: {:?}", counts.latest);
}

#[test]
fn whoever_saw_a_syn_ack_is_served_though_a_node_crashes() {
    for whose in [Whose::Outside, Whose::Inside] {
        let mut lab = TestLab::up(plan());
        let to = services::web(&lab.plan, false);
        let outcome = live::openings(&mut lab, Some(&Event::Crash), whose, &to, PER_S).unwrap();
        kept_their_word(&format!("crash {whose:?}"), &outcome.event);
        kept_their_word(&format!("rejoin {whose:?}"), &outcome.undoing);
    }
}

/// Requests arrive at one node and replies at another, which must know the connection when the SYN-ACK comes.
#[test]
fn requests_and_replies_at_different_nodes() {
    let lab = TestLab::up(Plan { vips: 1, vips6: 0, vips6_int: 0, ..plan() });
    let (_, outside) = live::settle(&lab, Whose::Outside).unwrap();
    let list = lab.plan.vip_list();
    let gateway = list.iter().position(|v| v.subnet == Subnet::Int).unwrap();
    if cluster::host_of(&lab, gateway) == Some(outside) {
        cluster::move_vip(&lab, gateway, (outside + 1) % lab.plan.nodes).unwrap();
        wait::until("the gateway is elsewhere", LIMIT_MS, || {
            cluster::host_of(&lab, gateway).filter(|host| *host != outside)
        })
        .unwrap();
    }
    let load = Openings::start(&lab, &services::web(&lab.plan, false), PER_S).unwrap();
    load.wait_served(u64::from(PER_S) * 5, LIMIT_MS).unwrap();
    let counts = load.stop();
    kept_their_word("quiet", &counts);
    let lost = (counts.refused, counts.unanswered, counts.syn_retransmits, counts.skipped);
    assert_eq!(lost, (0, 0, 0, 0), "{:?}", counts.latest);
    assert_eq!(counts.served, counts.opened);
    // The flows were made there, and came to the others in some time.
    for node in (0..lab.plan.nodes).filter(|node| *node != outside) {
        let lag = cluster::sharing_lag(&lab, node).unwrap();
        assert!(lag.flows >= counts.opened, "{lag:?}");
        assert!(0 < lag.p50_us && lag.p50_us <= lag.p99_us && lag.p99_us <= lag.max_us, "{lag:?}");
    }
    assert!(cluster::sharing_lag(&lab, outside).is_err(), "nobody else made any");
}

/// Strangers fill the table with connections that only begin, and send what no machine sends on purpose.
#[test]
fn a_syn_flood_into_a_full_table_harms_no_live_connection() {
    const ROOM: u32 = 2_048;
    let lab = TestLab::up(Plan { flows: format!("max = {ROOM}"), ..plan() });
    let to = [services::web(&lab.plan, false), services::web(&lab.plan, true)].concat();
    let attack = Attack { per_s: 1_500, length_ms: 8_000 };
    let seen = syn_flood::run(&lab, &to, DOWNLOADS, Pace::Steady, attack).unwrap();
    unharmed("flood", &seen.report);
    // It was one.
    assert!(seen.refused > 1_000 && seen.martian > 10, "{seen:?}");
    let (now, max) = seen.flows;
    assert!(max == u64::from(ROOM) && now <= max && now > max * 9 / 10, "{seen:?}");
    // What is told and may be asked for again: a log that is full takes 8 MB of each daemon.
    assert!(seen.most_mb < seen.before_mb + 20.0, "{seen:?}");
}

#[test]
fn a_datagram_is_answered_by_a_host_behind_from_the_address_that_was_asked() {
    let lab = TestLab::up(plan());
    live::settle(&lab, Whose::Outside).unwrap();
    let question = Question { kind: Kind::Plain, vip: 0, tick: 7 };
    let doing = |error: std::io::Error| panic!("{error}");
    for vip in lab.plan.vip_list().iter().filter(|v| v.subnet == Subnet::Ext) {
        if vip.address.is_ipv6() {
            continue;
        }
        let to = SocketAddr::new(vip.address, UDP_PORT);
        let socket = lab
            .space("client")
            .unwrap()
            .inside(|| Ok(UdpSocket::bind("0.0.0.0:0").unwrap_or_else(doing)))
            .unwrap();
        // Only an answer from this very address is received.
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let answer = wait::until(&format!("{to} answers"), LIMIT_MS, || {
            socket.send(&question.encode()).ok()?;
            let mut bytes = [0; 256];
            let count = socket.recv(&mut bytes).ok()?;
            Answer::decode(&bytes[..count])
        })
        .unwrap();
        assert_eq!(answer.question, question);
        assert!(answer.node >= HOST_NUMBER, "answered by node {}", answer.node);
    }
}
