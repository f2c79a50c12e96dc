//! The table of flows between the programs and dsc-fwd: what peers tell, what an earlier configuration left, what goes and what
//! gives way.

use crate::frames;
use crate::node::{self, node};
use crate::rows::{self, Row, Way};
use crate::run::{DROP, NEXT};
use dsc_bpf::{Backend, MAGLEV_SIZE, Put, Service};
use dsc_wire::local::HostState;
use dsc_wire::{
    BackendId, BackendState, Flow, FlowKind, FlowState, Protocol, ServiceKind, SubnetId, Time,
    VipId,
};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// What peers tell adds up with what is here, and does not undo it.
#[test]
fn what_peers_tell_is_joined() {
    use crate::rows::nat::{TALK, WEB, backend, client, flow, vip};
    let mut node = node();
    let (c, v, b) = (client(4, 6000), vip(4, WEB), backend(4, WEB));
    let mut known = flow(Protocol::Tcp, c, v, b);
    node.prepare(&Row::new("joined", Vec::new()).flows(&[known]));
    let state =
        |node: &node::Node| node.all_flows().iter().map(|s| s.flow.state).collect::<Vec<_>>();
    for (told, then) in [
        (FlowState::Opening, FlowState::Open),
        (FlowState::ServerClosed, FlowState::ServerClosed),
        (FlowState::Open, FlowState::ServerClosed),
        (FlowState::ClientClosed, FlowState::Closed),
        (FlowState::Open, FlowState::Closed),
        (FlowState::Opening, FlowState::Opening),
    ] {
        known.state = told;
        let anew = told == FlowState::Opening && then == told;
        let put = if anew { Put::New } else { Put::Known };
        assert_eq!(node.put(&known, Time(1)), put, "{told:?}");
        assert_eq!(state(&node), [then], "told {told:?}");
    }
    // Another vip's flow between the same ends of the backend.
    let inside = std::net::SocketAddr::new("10.2.0.100".parse().unwrap(), WEB);
    let mut other = flow(Protocol::Tcp, c, inside, b);
    other.state = FlowState::Closed;
    assert_eq!(node.put(&other, Time(1)), Put::Clash);
    other.state = FlowState::Opening;
    assert_eq!(node.put(&other, Time(1)), Put::New);
    let flows = node.all_flows();
    assert_eq!(flows.iter().map(|seen| seen.flow).collect::<Vec<_>>(), [other]);
    let nobody = flow(Protocol::Tcp, c, v, backend(4, TALK));
    assert_eq!(node.put(&nobody, Time(1)), Put::Foreign);
    known.state = FlowState::Gone;
    node.flows.remove(&known).unwrap();
    assert_eq!(node.all_flows().len(), 1, "it is not this one's");
    node.flows.remove(&other).unwrap();
    assert!(node.all_flows().is_empty());
}

/// A new flow wakes its reader up, also if there are news before it that did not, and that nobody has read.
#[test]
fn a_new_flow_wakes_its_reader_up() {
    use crate::rows::nat::{Packet, WEB, client, vip};
    let mut node = node();
    node.prepare(&Row::new("news", Vec::new()));
    // SAFETY: a call without pointers; the descriptor is new and nobody else's.
    let epoll = unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC)) };
    let events = (libc::EPOLLIN | libc::EPOLLET) as u32;
    let mut event = libc::epoll_event { events, u64: 0 };
    let fd = node.news.as_fd().as_raw_fd();
    // SAFETY: the event lives during the call.
    let added =
        unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
    assert_eq!(added, 0);
    let mut woken = |ms| {
        // SAFETY: there is room for the one event that is asked for.
        unsafe { libc::epoll_wait(epoll.as_raw_fd(), &raw mut event, 1, ms) }
    };
    let send = |node: &node::Node, flags, port| {
        let packet = Packet::tcp(client(4, port), vip(4, WEB), flags);
        node.run(Way::In, &packet.frame(rows::ME, rows::CLIENT));
    };
    send(&node, frames::SYN, 6500);
    assert_eq!(woken(10_000), 1, "the first flow");
    assert_eq!(woken(0), 0);
    // How far it comes later.
    send(&node, frames::ACK, 6500);
    send(&node, frames::SYN, 6501);
    assert_eq!(woken(10_000), 1, "the second flow");
    assert_eq!(node.news.by_ref().count(), 3);
    // A reader that comes by itself is not woken, until it says that it does not.
    node.news.poll(true).unwrap();
    send(&node, frames::SYN, 6502);
    assert_eq!(woken(0), 0);
    assert_eq!(node.news.by_ref().count(), 1);
    node.news.poll(false).unwrap();
    send(&node, frames::SYN, 6503);
    assert_eq!(woken(10_000), 1, "the fourth flow");
}

/// Who is told of a flow three times in its life must not take it for silent, however short that is.
#[test]
fn a_reminder_counts_as_a_packet_even_for_a_short_life() {
    use crate::rows::nat::{WEB, backend, client, flow, vip};
    let mut node = node();
    let known = flow(Protocol::Tcp, client(4, 6350), vip(4, WEB), backend(4, WEB));
    node.prepare(&Row::new("known", Vec::new()));
    for seconds in [1, 6, 11] {
        let now = Time::from_ms(seconds * 1_000);
        node.put(&known, now);
        let at = node.all_flows()[0].at;
        assert!(now.since(at).as_millis() <= 1_074, "{seconds} s: {at:?}");
    }
}

/// Two nodes may translate one connection at once, each with a port of its own. All keep the same, whatever they hear first.
#[test]
fn of_two_ports_for_one_connection_from_inside_all_nodes_keep_the_same() {
    use crate::rows::nat::{at, flow, vip};
    let mut node = node();
    let (far, inside) = (at("192.0.2.9", 443), at("10.2.0.70", 5000));
    let made = |port, state| Flow {
        kind: FlowKind::SourceNat,
        state,
        ..flow(Protocol::Udp, far, vip(4, port), inside)
    };
    let both = [40_000, 41_000].map(|port| made(port, FlowState::Opening));
    for told in [both, [both[1], both[0]]] {
        node.prepare(&Row::new("both", Vec::new()));
        for flow in &told {
            node.put(flow, Time(1));
        }
        let kept: Vec<_> = node.all_flows().iter().map(|seen| seen.flow).collect();
        assert_eq!(kept, [both[0]]);
    }
}

/// A daemon that starts with another configuration finds the flows of the one before under the numbers of that one.
#[test]
fn flows_of_an_earlier_configuration_are_brought_in_line() {
    use crate::rows::nat::{MAPPED, Packet, WEB, backend, client, flow, vip};
    let mut node = node();
    let (c, v) = (client(4, 6300), vip(4, WEB));
    let stays = flow(Protocol::Tcp, c, v, backend(4, WEB));
    let goes = flow(Protocol::Tcp, c, vip(4, MAPPED), backend(4, MAPPED));
    node.prepare(&Row::new("earlier", Vec::new()).flows(&[stays, goes]));
    node.lease.set_host(VipId(0), HostState::Off, &[]);
    let other = |address| Backend {
        address,
        protocol: Protocol::Tcp,
        subnet: SubnetId(1),
        state: BackendState::Enabled,
    };
    let backends = [7, 8, 9, WEB].map(|port| other(backend(4, port)));
    node.flows.know(&[(VipId(2), v.ip(), SubnetId(0))], &backends, &[]).unwrap();
    let flows: Vec<_> = node.all_flows().iter().map(|s| (s.flow, s.backend)).collect();
    assert_eq!(flows, [(stays, Some(BackendId(3)))]);
    let packet = Packet::tcp(c, v, frames::ACK).frame(rows::ME, rows::CLIENT);
    let (_, counted) = node.counted(|| node.run(Way::In, &packet));
    assert_eq!(counted, [("nat_request".to_owned(), 1)], "VIP 2 is hosted here, VIP 0 is not");
}

/// A client whose connection was refused, because its backend was disabled, may use the port again at once.
#[test]
fn a_refused_client_opens_another_connection_from_its_port() {
    use crate::rows::nat::{MAPPED, Packet, TALK, WEB, backend, client, flow, vip};
    let mut node = node();
    let (c, v, b) = (client(4, 6400), vip(4, WEB), backend(4, WEB));
    node.prepare(&Row::new("refused", Vec::new()).flows(&[flow(Protocol::Tcp, c, v, b)]));
    let (protocol, subnet) = (Protocol::Tcp, SubnetId(1));
    let backends = [(b, BackendState::Disabled), (backend(4, MAPPED), BackendState::Enabled)];
    let backends = backends.map(|(address, state)| Backend { address, protocol, subnet, state });
    let service = Service {
        vips: vec![VipId(0)],
        protocol,
        port: WEB,
        kind: ServiceKind::Nat,
        slots: vec![1; MAGLEV_SIZE],
    };
    node.datapath.set_services(std::slice::from_ref(&service), &backends).unwrap();
    node.news.by_ref().for_each(drop);
    for (flags, verdict) in
        [(frames::ACK, "nat_refused"), (frames::ACK, "nat_refused"), (frames::SYN, "nat_new")]
    {
        let packet = Packet::tcp(c, v, flags).frame(rows::ME, rows::CLIENT);
        let (_, counted) = node.counted(|| node.run(Way::In, &packet));
        assert_eq!(counted, [(verdict.to_owned(), 1)]);
    }
    // The others hear that it ended before they hear of the next one.
    let told: Vec<_> = node.news.by_ref().map(|t| (t.flow.backend, t.flow.state)).collect();
    let next = (backend(4, MAPPED), FlowState::Opening);
    assert_eq!(told, [(b, FlowState::Closed), next]);
    // A datagram has nothing to begin with.
    let talk = |dest| Packet::udp(c, dest).frame(rows::ME, rows::CLIENT);
    let (protocol, at) = (Protocol::Udp, vip(4, TALK));
    node.prepare(&Row::new("udp", Vec::new()).flows(&[flow(protocol, c, at, backend(4, TALK))]));
    let backends = [(backend(4, TALK), BackendState::Disabled), (b, BackendState::Enabled)];
    let backends = backends.map(|(address, state)| Backend { address, protocol, subnet, state });
    let service = Service { protocol, port: TALK, ..service };
    node.flows.know(&[(VipId(0), at.ip(), SubnetId(0))], &backends, &[]).unwrap();
    node.datapath.set_services(&[service], &backends).unwrap();
    let (_, counted) = node.counted(|| node.run(Way::In, &talk(at)));
    assert_eq!(counted, [("nat_new".to_owned(), 1)]);
}

/// Who speaks to a backend directly is let through once nobody has claimed the reply, until a flow takes the place.
#[test]
fn a_direct_connection_passes_and_gives_way_to_a_flow() {
    use crate::frames::{ACK, SYN, SYN_ACK};
    use crate::rows::nat::{HOST, Packet, WEB, backend, client, vip};
    let mut node = node();
    let (c, v, b) = (client(4, 6100), vip(4, WEB), backend(4, WEB));
    let reply = |flags| Packet::tcp(b, c, flags).frame(rows::ME, HOST);
    node.prepare(&Row::new("direct", Vec::new()));
    let (outcome, counted) = node.counted(|| node.run(Way::In, &reply(ACK)));
    assert_eq!((outcome.action, counted), (DROP, vec![("nat_unknown".to_owned(), 1)]));
    node.flows.direct(Protocol::Tcp, b, c, Time(1)).unwrap();
    for flags in [SYN_ACK, ACK] {
        let (outcome, counted) = node.counted(|| node.run(Way::In, &reply(flags)));
        assert_eq!((outcome.action, counted), (NEXT, vec![("nat_direct".to_owned(), 1)]));
    }
    assert!(node.all_flows().is_empty(), "it is no flow");
    let opening = Packet::tcp(c, v, SYN).frame(rows::ME, rows::CLIENT);
    let (_, counted) = node.counted(|| node.run(Way::In, &opening));
    assert_eq!(counted, [("nat_new".to_owned(), 1)]);
    let (_, counted) = node.counted(|| node.run(Way::In, &reply(SYN_ACK)));
    assert_eq!(counted, [("nat_reply".to_owned(), 1)]);
}

/// Between a walk and the removal of what it found old, the client's port may be used again.
#[test]
fn a_flow_that_spoke_since_it_was_met_is_not_removed() {
    use crate::frames::ACK;
    use crate::rows::nat::{Packet, WEB, backend, client, flow, vip};
    let mut node = node();
    let (c, v, b) = (client(4, 6200), vip(4, WEB), backend(4, WEB));
    node.prepare(&Row::new("old", Vec::new()).flows(&[flow(Protocol::Tcp, c, v, b)]));
    let met = node.all_flows()[0];
    node.run(Way::In, &Packet::tcp(c, v, ACK).frame(rows::ME, rows::CLIENT));
    assert!(!node.flows.remove_silent(&met).unwrap());
    let met = node.all_flows()[0];
    assert!(node.flows.remove_silent(&met).unwrap());
    assert!(node.all_flows().is_empty());
}
