//! Keys that are gone since a short while: a copy that was on its way must not bring them back. Called by `machine`.

use dsc_wire::{FlowKey, Time};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Longer than a piece of a copy is on its way, its repetitions included.
const KEPT: Duration = Duration::from_secs(10);
/// Most keys that are remembered, the latest: some 12 MiB. What is forgotten too early goes by its age.
const GONE_MAX: usize = 65_536;

/// The keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gone {
    keys: HashMap<FlowKey, Time>,
    order: VecDeque<(Time, FlowKey)>,
}

impl Gone {
    pub fn add(&mut self, now: Time, key: FlowKey) {
        while let Some((at, oldest)) = self.order.front() {
            if self.order.len() < GONE_MAX && now < *at + KEPT {
                break;
            }
            if self.keys.get(oldest) == Some(at) {
                self.keys.remove(oldest);
            }
            self.order.pop_front();
        }
        self.keys.insert(key, now);
        self.order.push_back((now, key));
    }

    /// The key began anew.
    pub fn forget(&mut self, key: &FlowKey) {
        if !self.keys.is_empty() {
            self.keys.remove(key);
        }
    }

    pub fn has(&self, now: Time, key: &FlowKey) -> bool {
        self.keys.get(key).is_some_and(|at| now < *at + KEPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsc_wire::Protocol;

    fn key(n: u32) -> FlowKey {
        let client = (std::net::Ipv4Addr::from(n), 4000).into();
        FlowKey { protocol: Protocol::Tcp, client, vip: "10.1.0.100:80".parse().unwrap() }
    }

    #[test]
    fn a_key_is_gone_for_a_while() {
        let mut gone = Gone::default();
        let now = Time::from_ms(1);
        gone.add(now, key(1));
        gone.add(now, key(2));
        gone.forget(&key(2));
        assert!(gone.has(now, &key(1)) && !gone.has(now, &key(2)) && !gone.has(now, &key(3)));
        assert!(!gone.has(now + KEPT, &key(1)));
        gone.add(now + KEPT / 2, key(1));
        gone.add(now + KEPT, key(4));
        assert!(gone.has(now + KEPT, &key(1)), "the later time holds");
        assert_eq!((gone.keys.len(), gone.order.len()), (2, 2));
    }

    #[test]
    fn its_memory_is_bounded() {
        let mut gone = Gone::default();
        for n in 0..2 * GONE_MAX as u32 {
            gone.add(Time::from_ms(1), key(n));
        }
        assert_eq!((gone.keys.len(), gone.order.len()), (GONE_MAX, GONE_MAX));
        assert!(!gone.has(Time::from_ms(1), &key(0)));
    }
}
