//! Tokens to be written and read: one at rest, and one with every field away from its rest.

use dsc_wire::event::{BODY_MAX, Report};
use dsc_wire::local::{DOCUMENT_MAX, Duty, Load};
use dsc_wire::message::{Message, Notice, Outcome, TokenVerdict};
use dsc_wire::token::*;
use dsc_wire::*;

pub fn key(counter: u32, proposer: u8, incarnation: u64, seq: u64) -> Key {
    let proposer = NodeId(proposer);
    Key { epoch: Epoch { counter, proposer, incarnation: Incarnation(incarnation) }, seq }
}

pub fn member(n: u8, rec: Key) -> MemberRecord {
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

pub fn vip(owner: u8, members: NodeSet) -> VipRecord {
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
        kb_per_s: 0,
        extra: Vec::new(),
    }
}

pub fn resting(members: u8, vips: u16) -> Token {
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
        health: Vec::new(),
        switches: Vec::new(),
        lights: Vec::new(),
        config: ConfigRecord::default(),
        unknown: Vec::new(),
    };
    let set = token.member_set();
    token.vips = (0..vips).map(|v| vip((v % u16::from(members)) as u8, set)).collect();
    token
}

pub fn backend(n: u16, state: BackendState) -> BackendRecord {
    let (backend, changed_ms) = (BackendId(n), 1_795_485_784_567);
    BackendRecord { backend, state, changed_ms, by: NodeId(63), extra: Vec::new() }
}

pub fn health(node: u8, verdicts: &[(u16, bool)]) -> HealthRecord {
    let verdict = |(backend, red): &(u16, bool)| dsc_wire::health::Verdict {
        backend: BackendId(*backend),
        red: *red,
        reason: if *red { Reason::Status { status: 503 } } else { Reason::Answered },
        since_ms: if *red { 1_795_485_784_567 } else { 0 },
    };
    let verdicts = verdicts.iter().map(verdict).collect();
    let (growing, failing, extra) = (Vec::new(), Vec::new(), Vec::new());
    HealthRecord { node: NodeId(node), left_us: 3_000_000, verdicts, growing, failing, extra }
}

pub fn growth(backend: u16, share: u8) -> dsc_wire::health::Growth {
    dsc_wire::health::Growth { backend: BackendId(backend), share }
}

pub fn offer() -> Offer {
    Offer {
        version: u64::MAX,
        digest: 77,
        size: DOCUMENT_MAX as u32,
        by: NodeId(63),
        in_force: true,
        decided: true,
        prepared: NodeSet(u64::MAX),
        refused: Some((NodeId(0), "x".repeat(REASON_MAX))),
        left_us: u32::MAX,
        extra: vec![1; 9],
    }
}

/// Every field away from its rest.
pub fn busy() -> Token {
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
    v[6].kb_per_s = 1;
    (v[7].kb_per_s, v[8].kb_per_s) = (u32::MAX, 0);
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
    token.health.push(health(3, &[(0, true), (1, false), (1023, true)]));
    token.health.push(health(63, &[(500, false)]));
    token.health[1].extra = vec![6; 7];
    token.health[0].growing = vec![growth(1, 1), growth(1023, 7)];
    token
        .health
        .push(HealthRecord { failing: vec![BackendId(0), BackendId(1023)], ..health(62, &[]) });
    token.health.swap(1, 2);
    token.switches.push(CheckSwitch {
        check: CheckId(63),
        off: NodeSet(u64::MAX),
        changed_ms: 1_795_485_784_567,
        by: NodeId(63),
        extra: vec![2; 3],
    });
    let light = |n: u8, light, reason| dsc_wire::health::NodeLight {
        check: CheckId(n),
        light,
        reason,
        since_ms: if light == Light::Green { 0 } else { 1_795_485_784_567 },
    };
    for node in [0, 63] {
        token.lights.push(LightsRecord {
            node: NodeId(node),
            unfit: SubnetSet(5),
            lights: vec![
                light(0, Light::Green, Reason::Answered),
                light(1, Light::Red, Reason::Exit { status: 300 }),
                light(63, Light::Yellow, Reason::Disabled),
            ],
            extra: vec![1; usize::from(node)],
        });
    }
    token.config = ConfigRecord { version: 1 << 40, offer: Some(offer()), extra: vec![2; 3] };
    token.unknown.push(UnknownSection { kind: 700, bytes: vec![9; 5000] });
    token.unknown.push(UnknownSection { kind: 701, bytes: Vec::new() });
    token
}

pub fn messages() -> Vec<Message> {
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
            version: 7,
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
