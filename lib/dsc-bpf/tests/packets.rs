//! The rules of the kernel programs as rows: a frame, the state of the node, what becomes of it, and the frame that
//! leaves. One function walks the table. Add a row for each bug.

use crate::frames;
use crate::node::{self, FLOWS, ip, node, node_with};
use crate::rows::{self, ARRIVAL, Expect, Row, Way};
use crate::run::{DROP, NEXT, REDIRECT, run, run_behind_another};
use dsc_bpf::{Put, Told};
use dsc_wire::local::HostState;
use dsc_wire::{FlowState, Protocol, Routing, SubnetId, Time, VipId};
use std::collections::BTreeMap;

#[test]
fn each_row_holds() {
    let node = node();
    let table = rows::table(node.ports);
    hold(node, &table);
}

#[test]
fn each_row_of_symmetric_routing_holds() {
    hold(node_with(Routing::Symmetric), &rows::symmetric::rows());
}

/// The two ways differ only in what becomes of replies.
#[test]
fn symmetric_routing_changes_nothing_else() {
    let node = node_with(Routing::Symmetric);
    let table = rows::table(node.ports);
    let changes = |row: &Row| matches!(row.host, HostState::Steer(_)) && is_reply(row);
    let (changed, same): (Vec<Row>, Vec<Row>) = table.into_iter().partition(changes);
    assert!(!changed.is_empty());
    hold(node, &same);
}

fn is_reply(row: &Row) -> bool {
    matches!(row.verdict, Some("nat_reply" | "nat_error_reply"))
}

fn hold(mut node: node::Node, table: &[Row]) {
    let mut failures = Vec::new();
    for row in table {
        node.prepare(row);
        let (outcome, counted) = node.counted(|| node.run_row(row, &row.frame));
        let (action, frame) = match &row.expect {
            Expect::Pass => (NEXT, &row.frame),
            Expect::Changed(frame) => (NEXT, frame),
            Expect::Drop => (DROP, &row.frame),
            Expect::Send(frame) => (REDIRECT, frame),
        };
        let verdicts: Vec<&str> = counted.iter().map(|(name, _)| name.as_str()).collect();
        let wanted: Vec<&str> = row.verdict.iter().copied().collect();
        if outcome.action != action || verdicts != wanted || outcome.frame != *frame {
            failures.push(format!(
                "{}:\n  wanted {action} {wanted:?} {frame:02x?}\n  got    {} {verdicts:?} {:02x?}",
                row.name, outcome.action, outcome.frame
            ));
        }
        let claims: Vec<_> = node.claims.by_ref().collect();
        assert_eq!(
            claims.len(),
            usize::from(row.verdict == Some("claim_conflict")),
            "{}",
            row.name
        );
        assert!(claims.iter().all(|c| c.mac == rows::STRANGER), "{}: {claims:?}", row.name);
    }
    assert!(
        failures.is_empty(),
        "{} of {} rows\n{}",
        failures.len(),
        table.len(),
        failures.join("\n")
    );
}

#[test]
fn every_verdict_has_a_row() {
    let node = node();
    let table = [rows::table(node.ports), rows::symmetric::rows()].concat();
    // The kernel fails to change a frame only without memory; the others have tests of their own.
    let elsewhere =
        ["dropped_failed", "claim_conflict_lost", "nat_full", "nat_direct", "source_early"];
    for name in node.counts().keys() {
        assert!(
            elsewhere.contains(&name.as_str()) || table.iter().any(|row| row.verdict == Some(name)),
            "no row ends as {name}"
        );
    }
}

#[test]
fn a_full_ring_of_claims_is_counted() {
    let mut node = node();
    let claim = rows::table(node.ports).into_iter().find(|r| r.verdict == Some("claim_conflict"));
    let claim = claim.unwrap();
    let (_, counted) =
        node.counted(|| (0..1000).for_each(|_| drop(node.run(Way::In, &claim.frame))));
    let [(first, told), (second, lost)] = &counted[..] else { panic!("{counted:?}") };
    assert_eq!((first.as_str(), second.as_str()), ("claim_conflict", "claim_conflict_lost"));
    assert_eq!(told + lost, 1000);
    assert_eq!(node.claims.by_ref().count() as u64, *told);
}

/// Whatever the bytes: one verdict, one of three actions, and nothing that is too short for a question is answered.
#[test]
fn cut_and_changed_frames_are_harmless() {
    let mut node = node();
    for row in rows::table(node.ports) {
        node.prepare(&row);
        for length in 14..row.frame.len() {
            let Some(outcome) = node.try_run_row(&row, &row.frame[..length]) else {
                assert!(length < 14 + 40, "{} cut to {length} was not run", row.name);
                continue;
            };
            assert!(
                [NEXT, DROP, REDIRECT].contains(&outcome.action),
                "{} cut to {length}",
                row.name
            );
            let asks = matches!(row.verdict, Some("answered_arp" | "answered_nd"));
            assert!(
                !asks || outcome.action != REDIRECT,
                "{} cut to {length} was answered",
                row.name
            );
        }
        for at in 0..row.frame.len() {
            for flip in [0x01, 0x80, 0xFF] {
                let mut frame = row.frame.clone();
                frame[at] ^= flip;
                let outcome = node.run_row(&row, &frame);
                assert!([NEXT, DROP, REDIRECT].contains(&outcome.action), "{} byte {at}", row.name);
                // A routed frame gets its addresses from the kernel, behind the program.
                let routed = row.verdict.is_some_and(|verdict| {
                    ["nat_", "source_"].iter().any(|begin| verdict.starts_with(begin))
                });
                // From inside it is routed to wherever the changed byte says.
                let routed = routed || row.inside;
                if outcome.action == REDIRECT && !routed {
                    assert_eq!(
                        outcome.frame[6..12],
                        rows::ME,
                        "{} byte {at}: not from us",
                        row.name
                    );
                }
                // Before it: MAC addresses and the traffic class, which anything may be.
                let body = at >= 18 && row.verdict == Some("answered_nd");
                assert!(!body || outcome.action != REDIRECT, "{} byte {at}: answered", row.name);
            }
        }
    }
}

#[test]
fn frames_are_counted_for_their_vip() {
    let mut node = node();
    let ports = node.ports;
    let named = |name: &str| rows::table(ports).into_iter().find(|r| r.name == name).unwrap();
    for (name, packets, steered) in [(ARRIVAL, 1, 0), (rows::STEERED, 0, 1)] {
        let row = named(name);
        node.prepare(&row);
        let before = node.datapath.vip_count(VipId(0)).unwrap();
        node.run(Way::In, &row.frame);
        let after = node.datapath.vip_count(VipId(0)).unwrap();
        assert_eq!(after.packets - before.packets, packets, "{name}");
        assert_eq!(after.bytes - before.bytes, packets * row.frame.len() as u64, "{name}");
        assert_eq!(after.steered - before.steered, steered, "{name}");
    }
}

/// A reply that passes here because the VIP is hosted here is part of what the VIP brings; one that came for the gateway is not.
#[test]
fn replies_are_counted_for_their_vip_where_routing_is_symmetric() {
    for routing in [Routing::Direct, Routing::Symmetric] {
        let mut node = node_with(routing);
        let table = [rows::table(node.ports), rows::symmetric::rows()].concat();
        let replies: Vec<Row> = table
            .into_iter()
            .filter(|row| row.verdict == Some("nat_reply") && row.host == HostState::On)
            .collect();
        assert!(replies.len() > 4, "{}", replies.len());
        for row in replies {
            node.prepare(&row);
            let bytes = |node: &node::Node| -> u64 {
                let count = |vip| node.datapath.vip_count(VipId(vip)).unwrap().bytes;
                (0..16).map(count).sum()
            };
            let before = bytes(&node);
            node.run_row(&row, &row.frame);
            let wanted = if routing == Routing::Symmetric { row.frame.len() as u64 } else { 0 };
            assert_eq!(bytes(&node) - before, wanted, "{} {routing:?}", row.name);
        }
    }
}

#[test]
fn entries_of_an_earlier_configuration_go() {
    let mut node = node();
    let row = rows::table(node.ports).into_iter().find(|r| r.name == ARRIVAL).unwrap();
    node.prepare(&Row { host: HostState::Off, ..row.clone() });
    assert_eq!(node.run(Way::In, &row.frame).action, DROP);
    node.datapath.set_vips(&[(VipId(0), "10.1.0.101".parse().unwrap(), SubnetId(0))]).unwrap();
    assert_eq!(node.run(Way::In, &row.frame).action, NEXT);
}

/// The states of a connection as its packets tell them, and what the daemon is told of it.
#[test]
fn a_flow_is_followed_from_its_first_packet_to_the_next_one_on_its_port() {
    use crate::frames::{ACK, FIN, SYN, SYN_ACK};
    use crate::rows::nat::{HOST, Packet, WEB, backend, client, vip};
    let mut node = node();
    for version in [4, 6] {
        let (c, v, b) = (client(version, 5000), vip(version, WEB), backend(version, WEB));
        let request = |flags| Packet::tcp(c, v, flags).frame(rows::ME, rows::CLIENT);
        let reply = |flags| Packet::tcp(b, c, flags).frame(rows::ME, HOST);
        node.prepare(&Row::new("flow", request(SYN)));
        node.news.by_ref().count();
        let steps = [
            (request(SYN), "nat_new", FlowState::Opening, Some(FlowState::Opening)),
            (reply(SYN_ACK), "nat_reply", FlowState::Opening, None),
            (request(ACK), "nat_request", FlowState::Open, Some(FlowState::Open)),
            (reply(ACK), "nat_reply", FlowState::Open, None),
            (reply(FIN | ACK), "nat_reply", FlowState::ServerClosed, Some(FlowState::ServerClosed)),
            (request(SYN), "nat_request", FlowState::ServerClosed, None),
            (request(FIN | ACK), "nat_request", FlowState::Closed, Some(FlowState::ClientClosed)),
            (reply(ACK), "nat_reply", FlowState::Closed, None),
            (request(SYN), "nat_new", FlowState::Opening, Some(FlowState::Opening)),
        ];
        for (number, (frame, verdict, state, told)) in steps.into_iter().enumerate() {
            let before = node::now();
            let (_, counted) = node.counted(|| node.run(Way::In, &frame));
            let after = node::now();
            assert_eq!(counted, [(verdict.to_owned(), 1)], "step {number}");
            let flows = node.all_flows();
            let [seen] = &flows[..] else { panic!("step {number}: {flows:?}") };
            assert_eq!((seen.flow.key.client, seen.flow.key.vip), (c, v));
            assert_eq!((seen.flow.backend, seen.flow.state), (b, state), "step {number}");
            let half = match state {
                FlowState::ServerClosed => FlowState::Open,
                FlowState::Closed => FlowState::ClientClosed,
                state => state,
            };
            assert_eq!(node.asked(half), (1, flows), "step {number}");
            assert_eq!(node.asked(FlowState::Gone), (1, vec![]), "step {number}");
            let news: Vec<Told> = node.news.by_ref().collect();
            assert!(news.iter().all(|told| told.at >= before && told.at <= after), "{news:?}");
            let news: Vec<FlowState> = news.iter().map(|told| told.flow.state).collect();
            assert_eq!(news, told.into_iter().collect::<Vec<_>>(), "step {number}");
        }
    }
}

#[test]
fn a_full_table_refuses_new_flows_and_keeps_those_it_has() {
    use crate::frames::{ACK, SYN};
    use crate::rows::nat::{Packet, WEB, client, vip};
    let mut node = node();
    let packet = |port, flags| {
        Packet::tcp(client(4, port), vip(4, WEB), flags).frame(rows::ME, rows::CLIENT)
    };
    node.prepare(&Row::new("full", packet(1, SYN)));
    let many = 4 * FLOWS as u16;
    let (_, counted) =
        node.counted(|| (1..=many).for_each(|port| drop(node.run(Way::In, &packet(port, SYN)))));
    let counted: BTreeMap<String, u64> = counted.into_iter().collect();
    assert!(counted["nat_new"] >= u64::from(FLOWS), "{counted:?}");
    assert_eq!(counted["nat_new"] + counted["nat_full"], u64::from(many));
    assert_eq!(node.all_flows().len() as u64, counted["nat_new"]);
    for seen in node.all_flows() {
        let frame = packet(seen.flow.key.client.port(), ACK);
        let (_, counted) = node.counted(|| node.run(Way::In, &frame));
        assert_eq!(counted, [("nat_request".to_owned(), 1)]);
    }
    let flow =
        rows::nat::flow(Protocol::Tcp, client(4, 9999), vip(4, WEB), rows::nat::backend(4, WEB));
    assert_eq!(node.put(&flow, Time(1)), Put::Full);
    assert_eq!(node.all_flows().len() as u64, counted["nat_new"], "half a flow was put");
}

/// Such a frame is longer than any MTU, and what is sent is not.
#[test]
fn a_frame_of_several_segments_is_judged_by_the_segments() {
    use crate::rows::nat::{Packet, WEB, client, vip};
    let mut node = node();
    for version in [4, 6] {
        let packet = Packet::tcp(client(version, 5000), vip(version, WEB), frames::ACK);
        let frame = Packet { body: &[7; 3000], ..packet }.frame(rows::ME, rows::CLIENT);
        node.prepare(&Row::new("segments", frame.clone()));
        let program = node.datapath.program_for(true);
        let (fits, counted) = node.counted(|| run(program, node.nic, &frame, 1200, 1).unwrap());
        assert_eq!(counted, [("nat_adopted".to_owned(), 1)]);
        assert_eq!(fits.frame.len(), frame.len());
        let whole = run(program, node.nic, &frame, 0, 1).unwrap();
        assert!(whole.frame.len() < frame.len());
    }
}

#[test]
fn an_error_quotes_the_whole_packet_where_the_mtu_is_less() {
    use crate::rows::mtu::Told;
    use crate::rows::nat::{Packet, WEB, client, vip};
    let mut node = node();
    ip("link set e0 mtu 300");
    let packet = Packet::tcp(client(4, 5000), vip(4, WEB), frames::ACK);
    for bytes in [256, 261, 462] {
        let packet = Packet { body: &rows::mtu::BODY[..bytes], ..packet };
        node.prepare(&Row::new("small", packet.frame(rows::ME, rows::CLIENT)));
        let outcome = node.run(Way::In, &packet.frame(rows::ME, rows::CLIENT));
        if bytes == 256 {
            assert_eq!(outcome.frame.len(), 14 + 296);
            continue;
        }
        let error = Told { packet, from: rows::CLIENT, by: vip(4, WEB).ip(), mtu: 300 };
        assert_eq!(outcome.frame, error.frame((40 + bytes) & !3), "{bytes}");
    }
}

/// Filters of others may come first on clsact, and write where our programs leave notes to themselves.
#[test]
fn notes_of_another_program_are_not_read() {
    use crate::rows::nat::{Packet, WEB, backend, client, flow, vip};
    let mut node = node();
    let (c, v) = (client(4, 5100), vip(4, WEB));
    let known = flow(Protocol::Tcp, c, v, backend(4, WEB));
    for options in [&[][..], &[1, 1, 1, 0]] {
        let frame = Packet { options, ..Packet::tcp(c, v, frames::ACK) };
        let frame = frame.frame(rows::ME, rows::CLIENT);
        node.prepare(&Row::new("noted", Vec::new()).flows(&[known]));
        let program = node.datapath.program_for(true);
        let (_, counted) = node.counted(|| run_behind_another(program, node.nic, &frame));
        assert_eq!(counted, [("nat_request".to_owned(), 1)], "{options:?}");
    }
}

#[test]
fn a_reply_without_flow_is_kept_whole() {
    use crate::rows::nat::{HOST, Packet, WEB, backend, client};
    let mut node = node();
    let frame = Packet::tcp(backend(4, WEB), client(4, 7), frames::SYN_ACK).frame(rows::ME, HOST);
    node.prepare(&Row::new("held", frame.clone()));
    node.run(Way::In, &frame);
    assert_eq!(node.held.by_ref().collect::<Vec<_>>(), [(node.nic, frame)]);
}

/// A node cannot host before its programs are loaded. The verifier needs some microseconds a step: at 225,000 steps a node that
/// came back was steered to for a second before it could hand a connection on.
#[test]
fn the_verifier_is_soon_done() {
    for routing in [Routing::Direct, Routing::Symmetric] {
        let node = std::thread::spawn(move || node_with(routing)).join().unwrap();
        let steps = verified(node.datapath.program_for(true));
        assert!((1_000..150_000).contains(&steps), "{routing:?}: {steps} steps");
        let steps = verified(node.flows.program());
        assert!((100..10_000).contains(&steps), "{steps} steps for flows of peers");
    }
}

/// Instructions that the verifier walked through when the program was loaded.
fn verified(program: std::os::fd::BorrowedFd<'_>) -> u32 {
    /// `struct bpf_prog_info` up to `verified_insns`, its 55th word.
    const WORDS: usize = 55;
    let mut info = [0u32; WORDS];
    let mut attr = [0u32; 4];
    attr[0] = std::os::fd::AsRawFd::as_raw_fd(&program) as u32;
    attr[1] = (WORDS * 4) as u32;
    attr[2..].copy_from_slice(&halves(info.as_mut_ptr() as u64));
    // SAFETY: the kernel writes no more than the length given into `info`, which lives during the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, 15, attr.as_mut_ptr(), size_of_val(&attr)) };
    assert_eq!(result, 0, "program info: {}", std::io::Error::last_os_error());
    info[WORDS - 1]
}

fn halves(word: u64) -> [u32; 2] {
    let bytes = word.to_ne_bytes();
    [0, 4].map(|at| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]))
}
