//! What local programs may send, in every form: nothing that arrives at a socket of the node brings the daemon down, and
//! nothing but a whole command is one.

use bolero::check;
use dsc_ringd::control::{Control, Door};
use dsc_ringd::critical::Critical;
use dsc_ringd::facts::{CONFLICTS_MAX, News, NodeFacts};
use dsc_sys::local::Asker;
use dsc_wire::local::{Facts, Reply, Request};
use dsc_wire::{SubnetId, SubnetSet, Time};

/// Iterations of the short run; `cargo bolero test` runs the same targets for as long as it is told.
const SHORT: usize = 10_000;

#[test]
fn no_request_harms() {
    let mut control = Control::new();
    let mut answers = Vec::new();
    let mut now = Time::ZERO;
    check!().with_iterations(SHORT).with_max_len(512).for_each(|bytes: &[u8]| {
        now = Time(now.0 + 1_000_000);
        let door = if bytes.len().is_multiple_of(2) { Door::Status } else { Door::Control };
        let command = control.ask(now, door, Asker::new(bytes.to_vec()), bytes);
        if command.is_some() {
            let whole = matches!(
                serde_json::from_slice(bytes),
                Ok(Request::Command { .. } | Request::Apply { .. })
            );
            assert!(whole && door == Door::Control);
        }
        let config = || Reply::Done { text: String::new() };
        control.answers(now, None, config, &mut answers);
        answers.clear();
        assert!(control.deadline() > now);
    });
    assert!(control.refused() > 0);
}

#[test]
fn no_facts_harm() {
    let mine: SubnetSet = [SubnetId(1)].into_iter().collect();
    let mut facts = NodeFacts::new(mine, 0, Critical::default(), Time::ZERO);
    let (mut news, mut taken) = (Vec::new(), 0);
    check!().with_iterations(SHORT).with_type::<(u8, u64, Vec<(u8, bool, u64)>, u16)>().for_each(
        |(kind, digest, list, cpu)| {
            let of = |(subnet, carrier, bytes): &(u8, bool, u64)| {
                serde_json::json!({"subnet": subnet, "carrier": carrier,
                    "rx_bytes_per_s": bytes, "tx_bytes_per_s": bytes, "vip": subnet, "mac": [0, 0, 0, 0, 0, *subnet]})
            };
            let list: Vec<_> = list.iter().map(of).collect();
            let from = if kind % 2 == 0 { "mon" } else { "fwd" };
            let text = serde_json::json!({"from": from, "number": 1, "nics": list, "conflicts": list,
                "cpu_permille": cpu, "config_digest": digest});
            // Numbers beyond any configuration are turned away where they are read.
            let Ok(told) = serde_json::from_value::<Facts>(text) else { return };
            news.clear();
            taken += 1;
            facts.hear(Time::from_ms(*digest % 1_000_000), told, &mut news);
            assert!(facts.heard().conflicts.len() <= CONFLICTS_MAX);
            for item in &news {
                if let News::Able(able) = item {
                    assert!(able.iter().all(|s| mine.contains(s)));
                }
            }
        },
    );
    assert!(taken > 0, "no facts were taken");
}
