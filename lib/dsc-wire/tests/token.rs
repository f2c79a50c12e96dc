//! The token on the wire: what is written is read, what a newer build adds is kept, nonsense is refused, and a
//! cluster at rest stays small.

use dsc_wire::cursor::Malformed;
use dsc_wire::delivery::{MESSAGE_MAX, VERDICT_MAX};
use dsc_wire::event::{BODY_MAX, Report};
use dsc_wire::local::{Duty, Load};
use dsc_wire::message::{Beacon, Message, Outcome, TokenVerdict, VERSION, Verdict};
use dsc_wire::token::*;
use dsc_wire::*;

use crate::tokens::*;

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
            version: u64::MAX,
            digest: 1,
        },
        Verdict::Forwarded,
        Verdict::Noted,
        Verdict::Quiet,
    ] {
        let bytes = verdict.encode();
        assert!(!bytes.is_empty() && bytes.len() <= VERDICT_MAX);
        assert_eq!(Verdict::decode(&bytes), Ok(verdict));
        for cut in 0..bytes.len() {
            // An older build ends a 911's verdict before version and digest.
            let ends = [8, 16].map(|less| bytes.len().wrapping_sub(less));
            let older = matches!(verdict, Verdict::Notice { .. }) && ends.contains(&cut);
            assert_eq!(Verdict::decode(&bytes[..cut]).is_ok(), older);
        }
    }
    let beacon = Beacon {
        size: 64,
        key: key(1, 255, u64::MAX, u64::MAX),
        counter: 9,
        want: true,
        digest: u64::MAX,
        heard: NodeSet(u64::MAX),
        version: 3,
    };
    let bytes = beacon.encode();
    assert!(!bytes.is_empty());
    assert_eq!(Beacon::decode(&bytes), Ok(beacon));
    for cut in 0..bytes.len() {
        match Beacon::decode(&bytes[..cut]) {
            Ok(older) => assert_eq!((cut + 8, older.version), (bytes.len(), 0)),
            Err(e) => assert_eq!(e, Malformed::Short),
        }
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

#[test]
fn what_checkers_find_takes_a_byte_if_it_is_well_and_a_dozen_if_not() {
    let plain = size(resting(3, 6));
    let with = |red: bool| {
        let mut token = resting(3, 6);
        let found: Vec<(u16, bool)> = (0..200).map(|n| (n, red)).collect();
        token.health = (0..2).map(|n| health(n, &found)).collect();
        size(token) - plain
    };
    assert!(with(false) <= 400 + 30, "{} bytes", with(false));
    assert!(with(true) <= 400 * 12 + 30, "{} bytes", with(true));
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
    let red: Vec<(u16, bool)> = (0..1024).map(|n| (n, true)).collect();
    token.health = (0..2).map(|n| health(n, &red)).collect();
    for v in token.health.iter_mut().flat_map(|h| &mut h.verdicts) {
        v.reason = Reason::Other { code: u8::MAX, detail: u16::MAX };
        v.since_ms = u64::MAX;
    }
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
    assert_eq!(token(|t| t.health[1].node = NodeId(3)), Err(Malformed::Value), "twice");
    assert_eq!(token(|t| t.health[1].node = NodeId(64)), Err(Malformed::Value));
    assert_eq!(token(|t| t.health[0].growing[0].share = 8), Err(Malformed::Value), "it has all");
    assert_eq!(token(|t| t.health[0].growing[0].share = 0), Err(Malformed::Value));
    let far = |t: &mut Token| t.health[1].failing[1] = BackendId(1024);
    assert_eq!(token(far), Err(Malformed::Value));
    let many = |t: &mut Token| t.health[1].failing = (0..65).map(BackendId).collect();
    assert_eq!(token(many), Err(Malformed::TooLong));
    let more = |t: &mut Token| t.health[0].growing = (0..4).map(|n| growth(n, 1)).collect();
    assert_eq!(token(more), Err(Malformed::TooLong), "more than have a verdict");
    assert_eq!(token(|t| t.lights[1].node = NodeId(0)), Err(Malformed::Value), "twice");
    assert_eq!(token(|t| t.lights[1].node = NodeId(64)), Err(Malformed::Value));
    assert_eq!(token(|t| t.lights[0].lights[2].check = CheckId(64)), Err(Malformed::Value));
    assert_eq!(token(|t| t.lights[0].lights.swap(0, 1)), Err(Malformed::Value), "out of order");
    assert_eq!(token(|t| t.switches[0].by = NodeId(64)), Err(Malformed::Value));
    let last = |t: &mut Token| t.health[2].verdicts[0].backend = BackendId(1024);
    assert_eq!(token(last), Err(Malformed::Value));
    let all: fn(&mut Token) = |t| {
        let green: Vec<(u16, bool)> = (0..1024).map(|n| (n, false)).collect();
        t.health = (0..3).map(|n| health(n, &green)).collect();
    };
    assert_eq!(token(all), Err(Malformed::TooLong));
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
