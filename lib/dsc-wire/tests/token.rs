//! The token on the wire: what is written is read, what a newer build adds is kept, nonsense is refused, and a
//! cluster at rest stays small.

use dsc_wire::cursor::Malformed;
use dsc_wire::delivery::{MESSAGE_MAX, VERDICT_MAX};
use dsc_wire::event::{BODY_MAX, Report};
use dsc_wire::local::{Duty, Load};
use dsc_wire::message::{Beacon, Message, Notice, Outcome, TokenVerdict, VERSION, Verdict};
use dsc_wire::token::*;
use dsc_wire::*;

fn key(counter: u32, proposer: u8, incarnation: u64, seq: u64) -> Key {
    let proposer = NodeId(proposer);
    Key { epoch: Epoch { counter, proposer, incarnation: Incarnation(incarnation) }, seq }
}

fn member(n: u8, rec: Key) -> MemberRecord {
    let mut m = MemberRecord::new(NodeId(n), Incarnation(u64::from(n) << 40 | 7), Duty::Open);
    m.rec = rec;
    m.left_us = 98_000;
    m.lease_us = 95_000;
    m.able = SubnetSet(3);
    m.linked = SubnetSet(3);
    m.load = Load { cpu_permille: 321, bytes_per_s: vec![1_000_000, 0] };
    m.macs = vec![Some([2, 0, 0, 0, 0, n]), None];
    m
}

fn vip(owner: u8, members: NodeSet) -> VipRecord {
    VipRecord {
        owner: Some(NodeId(owner)),
        heir: None,
        next: None,
        wish: None,
        fence_us: 0,
        cause: NodeSet::EMPTY,
        grant: members,
        waived_us: 0,
        waived_cause: NodeSet::EMPTY,
        changed: Key::ZERO,
        persistence: Persistence::Current,
        preferred: None,
        past: Vec::new(),
        moves: 3,
        extra: Vec::new(),
    }
}

fn resting(members: u8, vips: u16) -> Token {
    let now = key(9, 2, 5, 1_000_000);
    let mut token = Token {
        key: now,
        digest: 0xdead_beef,
        switch: Key::ZERO,
        lease_us: 95_000,
        founding_us: 0,
        hurry: 0,
        members: (0..members).map(|n| member(n, key(9, 2, 5, 999_000 + u64::from(n)))).collect(),
        absent: Vec::new(),
        vips: Vec::new(),
        links: Vec::new(),
        reports: Vec::new(),
        backends: Vec::new(),
        unknown: Vec::new(),
    };
    let set = token.member_set();
    token.vips = (0..vips).map(|v| vip((v % u16::from(members)) as u8, set)).collect();
    token
}

fn backend(n: u16, state: BackendState) -> BackendRecord {
    let (backend, changed_ms) = (BackendId(n), 1_795_485_784_567);
    BackendRecord { backend, state, changed_ms, by: NodeId(63), extra: Vec::new() }
}

/// Every field away from its rest.
fn busy() -> Token {
    let mut token = resting(64, 9);
    token.switch = key(8, 63, u64::MAX, 77);
    token.founding_us = 1;
    token.hurry = 999;
    token.members[1].rec = Key::ZERO;
    token.members[2].duty = Duty::Draining;
    token.members[2].leaving = true;
    token.members[3].extra = vec![1, 2, 3];
    token.members[4].rec = key(10, 1, 1, 2_000_000);
    token.absent.push(AbsentRecord {
        node: NodeId(9),
        duty: Duty::Closed,
        steer_us: u32::MAX,
        extra: vec![8],
    });
    let v = &mut token.vips;
    v[0].owner = None;
    v[1].heir = Some(NodeId(63));
    v[2].next = Some(NodeId(0));
    v[3].wish = Some(NodeId(5));
    (v[4].fence_us, v[4].cause) = (u32::MAX, NodeSet(u64::MAX));
    v[4].grant = NodeSet(5);
    (v[5].waived_us, v[5].waived_cause) = (7, NodeSet(1 << 63));
    v[5].changed = key(7, 3, 9, 3);
    v[6].past = vec![NodeId(1), NodeId(2), NodeId(3), NodeId(4)];
    (v[6].persistence, v[6].preferred) = (Persistence::Preferred, Some(NodeId(63)));
    v[7].moves = u64::MAX;
    v[7].persistence = Persistence::Free;
    v[8].extra = vec![0; 100];
    token.links.push(BrokenLink {
        from: NodeId(1),
        to: NodeId(63),
        incarnation: Incarnation(4),
        left_us: 2,
    });
    token.reports.push(Report {
        node: NodeId(3),
        number: 8,
        incarnation: 9,
        hops: 2,
        wall_ms: 1 << 40,
        body: vec![200; BODY_MAX],
    });
    for (n, state) in
        [(0, BackendState::Enabled), (7, BackendState::Draining), (1023, BackendState::Disabled)]
    {
        token.backends.push(backend(n, state));
    }
    token.backends[1].extra = vec![4; 9];
    token.unknown.push(UnknownSection { kind: 700, bytes: vec![9; 5000] });
    token.unknown.push(UnknownSection { kind: 701, bytes: Vec::new() });
    token
}

fn messages() -> Vec<Message> {
    let token = || Box::new(busy());
    vec![
        Message::Token(Box::new(resting(1, 0))),
        Message::Token(token()),
        Message::Relay { to: NodeId(63), token: token() },
        Message::Relayed { origin: NodeId(0), token: token() },
        Message::Notice(Notice {
            key: key(1, 2, 3, 4),
            counter: u32::MAX,
            join: true,
            digest: 1,
            duty: Duty::Closed,
        }),
        Message::Passed { key: key(1, 2, 3, 4), verdict: None },
        Message::Passed {
            key: Key::ZERO,
            verdict: Some(TokenVerdict { outcome: Outcome::Stale, counter: 5, member: true }),
        },
        Message::Reach,
        Message::Call,
    ]
}

#[test]
fn every_message_survives_the_wire() {
    for message in messages() {
        let bytes = message.encode();
        assert!(!bytes.is_empty() && bytes.len() <= MESSAGE_MAX);
        assert_eq!(Message::decode(&bytes), Ok(message));
    }
}

#[test]
fn every_verdict_and_beacon_survives_the_wire() {
    for verdict in [
        Verdict::Token(TokenVerdict { outcome: Outcome::Accepted, counter: 0, member: false }),
        Verdict::Token(TokenVerdict { outcome: Outcome::Stranger, counter: 9, member: true }),
        Verdict::Notice {
            deny: true,
            counter: u32::MAX,
            differs: false,
            incarnation: Incarnation(u64::MAX),
            duty: Duty::Witness,
        },
        Verdict::Forwarded,
        Verdict::Noted,
        Verdict::Quiet,
    ] {
        let bytes = verdict.encode();
        assert!(!bytes.is_empty() && bytes.len() <= VERDICT_MAX);
        assert_eq!(Verdict::decode(&bytes), Ok(verdict));
        for cut in 0..bytes.len() {
            assert!(Verdict::decode(&bytes[..cut]).is_err());
        }
    }
    let beacon = Beacon {
        size: 64,
        key: key(1, 255, u64::MAX, u64::MAX),
        counter: 9,
        want: true,
        digest: u64::MAX,
        heard: NodeSet(u64::MAX),
    };
    let bytes = beacon.encode();
    assert!(!bytes.is_empty());
    assert_eq!(Beacon::decode(&bytes), Ok(beacon));
    for cut in 0..bytes.len() {
        assert!(Beacon::decode(&bytes[..cut]).is_err());
    }
}

#[test]
fn a_cluster_at_rest_fits_two_packets() {
    let bytes = Message::Token(Box::new(resting(3, 256))).encode();
    assert!(bytes.len() <= 2 * 1200, "{} bytes", bytes.len());
    let largest = Message::Token(Box::new(resting(64, 1024))).encode();
    assert!(largest.len() <= 12 * 1200, "{} bytes", largest.len());
}

fn size(token: Token) -> usize {
    Message::Token(Box::new(token)).encode().len()
}

#[test]
fn states_of_backends_take_no_byte_until_an_operator_gives_one_and_then_a_dozen() {
    let (rest, mut some) = (resting(3, 6), resting(3, 6));
    let plain = size(rest);
    some.backends.push(backend(1023, BackendState::Draining));
    let one = size(some.clone());
    assert!((plain + 1..=plain + 20).contains(&one), "{plain} and {one} bytes");
    for n in 0..1023 {
        some.backends.insert(usize::from(n), backend(n, BackendState::Disabled));
    }
    let all = size(some);
    assert!(all <= plain + 1024 * 13, "{plain} and {all} bytes");
}

/// The longest that a token can become, but for record ends of newer builds.
#[test]
fn the_longest_token_is_a_message() {
    let mut token = resting(64, 1024);
    let set = NodeSet(u64::MAX);
    for (n, m) in token.members.iter_mut().enumerate() {
        m.rec = key(n as u32, 63, u64::MAX, n as u64);
        (m.left_us, m.lease_us) = (u32::MAX, u32::MAX);
        m.load = Load { cpu_permille: 1000, bytes_per_s: vec![u64::MAX; 8] };
        m.macs = vec![Some([9; 6]); 8];
    }
    for (n, v) in token.vips.iter_mut().enumerate() {
        let node = Some(NodeId(63));
        (v.heir, v.next, v.wish, v.preferred) = (node, node, node, node);
        (v.fence_us, v.cause, v.grant) = (u32::MAX, set, NodeSet(u64::MAX - 1));
        (v.waived_us, v.waived_cause) = (u32::MAX, set);
        v.changed = key(1_000_000 + n as u32, 63, u64::MAX, n as u64);
        (v.past, v.moves) = (vec![NodeId(63); 4], u64::MAX);
    }
    let link = |_| BrokenLink {
        from: NodeId(63),
        to: NodeId(63),
        incarnation: Incarnation(u64::MAX),
        left_us: u32::MAX,
    };
    token.links = (0..LINKS_MAX).map(link).collect();
    let report = |_| Report {
        node: NodeId(63),
        number: u64::MAX,
        incarnation: u64::MAX,
        hops: 63,
        wall_ms: u64::MAX,
        body: vec![0; BODY_MAX],
    };
    token.reports = (0..REPORTS_MAX).map(report).collect();
    token.backends = (0..1024).map(|n| backend(n, BackendState::Disabled)).collect();
    token.backends.iter_mut().for_each(|b| b.changed_ms = u64::MAX);
    token.unknown.push(UnknownSection { kind: 700, bytes: vec![9; UNKNOWN_MAX] });
    let bytes = Message::Token(Box::new(token.clone())).encode();
    assert!(!bytes.is_empty() && bytes.len() <= MESSAGE_MAX, "{} bytes", bytes.len());
    assert_eq!(Message::decode(&bytes), Ok(Message::Token(Box::new(token))));
}

/// A build that does not know the states of backends has the same rule for sections as this one.
#[test]
fn who_does_not_know_the_states_of_backends_passes_them_on_untouched() {
    let (old, mut new) = (resting(3, 6), resting(3, 6));
    new.backends = vec![backend(5, BackendState::Disabled), backend(900, BackendState::Enabled)];
    new.backends[0].extra = vec![1, 2, 3];
    let bytes = Message::Token(Box::new(new.clone())).encode();
    // The section comes last: kind u16, length u32.
    let tail = bytes.len() - Message::Token(Box::new(old)).encode().len();
    let at = bytes.len() - tail;
    assert_eq!(bytes[at..at + 2], [0, 7]);
    let mut foreign = bytes.clone();
    foreign[at..at + 2].copy_from_slice(&[2, 188]);
    let Ok(Message::Token(passed)) = Message::decode(&foreign) else { panic!("refused") };
    let carried = UnknownSection { kind: 700, bytes: bytes[at + 6..].to_vec() };
    assert_eq!((&passed.backends, &passed.unknown), (&Vec::new(), &vec![carried]));
    let mut again = Message::Token(passed).encode();
    again[at..at + 2].copy_from_slice(&[0, 7]);
    assert_eq!(Message::decode(&again), Ok(Message::Token(Box::new(new))));
}

#[test]
fn the_newer_of_two_records_is_the_same_for_everybody() {
    let first = backend(3, BackendState::Enabled);
    let mut later = first.clone();
    later.changed_ms += 1;
    later.by = NodeId(0);
    let mut other_node = first.clone();
    other_node.by = NodeId(62);
    let mut other_life = first.clone();
    other_life.state = BackendState::Draining;
    let mut longer = first.clone();
    longer.extra = vec![0];
    for (newer, older) in
        [(&later, &first), (&first, &other_node), (&other_life, &first), (&longer, &first)]
    {
        assert!(newer.is_newer(older) && !older.is_newer(newer), "{newer:?} {older:?}");
    }
    assert!(!first.is_newer(&first));
}

#[test]
fn a_truncated_message_is_refused() {
    for message in messages() {
        let bytes = message.encode();
        for cut in (0..bytes.len()).step_by(7) {
            match Message::decode(&bytes[..cut]) {
                Err(Malformed::Short | Malformed::Value) => {}
                // A cut between two sections is a token of an older build that lacks them.
                Ok(Message::Token(_) | Message::Relay { .. } | Message::Relayed { .. }) => {}
                other => panic!("cut at {cut}: {other:?}"),
            }
        }
    }
}

#[test]
fn nonsense_is_refused() {
    let token = |change: fn(&mut Token)| {
        let mut token = busy();
        change(&mut token);
        Message::decode(&Message::Token(Box::new(token)).encode())
    };
    assert_eq!(token(|t| t.vips[0].owner = Some(NodeId(64))), Err(Malformed::Value));
    assert_eq!(token(|t| t.vips[6].past[0] = NodeId(200)), Err(Malformed::Value));
    assert_eq!(token(|t| t.vips[6].past.push(NodeId(9))), Err(Malformed::TooLong));
    assert_eq!(token(|t| t.links[0].to = NodeId(64)), Err(Malformed::Value));
    assert_eq!(token(|t| t.reports[0].body.push(0)), Err(Malformed::TooLong));
    assert_eq!(
        token(|t| t.members[1].node = NodeId(0)),
        Err(Malformed::Value),
        "twice in the ring"
    );
    assert_eq!(token(|t| t.backends[2].backend = BackendId(1024)), Err(Malformed::Value));
    assert_eq!(token(|t| t.backends[2].by = NodeId(64)), Err(Malformed::Value));
    assert_eq!(token(|t| t.backends[1].backend = BackendId(0)), Err(Malformed::Value), "twice");
    assert_eq!(token(|t| t.backends.swap(0, 1)), Err(Malformed::Value), "out of order");
    assert_eq!(token(|t| t.unknown[0].bytes = vec![0; UNKNOWN_MAX + 1]), Err(Malformed::TooLong));
    assert_eq!(
        token(|t| t.vips = vec![t.vips[0].clone(); 1025]),
        Err(Malformed::TooLong),
        "more VIPs than a configuration may have"
    );
    assert_eq!(Message::decode(&[]), Err(Malformed::Short));
    assert_eq!(Message::decode(&[VERSION + 1, 6]), Err(Malformed::Version));
    assert_eq!(Message::decode(&[VERSION, 99]), Err(Malformed::Value));
}
