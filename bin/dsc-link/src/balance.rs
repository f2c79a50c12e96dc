//! Which backend gets the next request.

use crate::backend::{Backend, lock};
use dsc_conf::LinkBalance;
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// Whose turn it is: the smooth round robin, in which a backend of weight 3 is not asked three times in a row.
pub struct Turns(Mutex<Vec<i64>>);

impl Turns {
    /// Of so many backends.
    pub fn new(backends: usize) -> Turns {
        Turns(Mutex::new(vec![0; backends]))
    }

    /// The next of those that are `wanted`.
    fn next(&self, backends: &[Arc<Backend>], wanted: impl Fn(&Backend) -> bool) -> Option<usize> {
        let mut turns = lock(&self.0);
        let (mut sum, mut best) = (0, None);
        for (at, backend) in backends.iter().enumerate().filter(|(_, b)| wanted(b)) {
            turns[at] += i64::from(backend.weight);
            sum += i64::from(backend.weight);
            best = Some(best.filter(|b: &usize| turns[*b] >= turns[at]).unwrap_or(at));
        }
        turns[best?] -= sum;
        best
    }
}

fn least(backends: &[Arc<Backend>], wanted: impl Fn(&Backend) -> bool) -> Option<usize> {
    let load = |b: &Backend| (u64::from(b.active()) << 32) / u64::from(b.weight);
    let open = backends.iter().enumerate().filter(|(_, b)| wanted(b));
    open.min_by_key(|(_, b)| load(b)).map(|(at, _)| at)
}

/// A backend that is open and not in `tried`; one that failed a short time ago only if there is no other. If all that are
/// enabled are red, they are all open: checks that find everything red may be wrong.
pub fn choose(
    balance: LinkBalance,
    backends: &[Arc<Backend>],
    turns: &Turns,
    tried: &[usize],
) -> Option<usize> {
    let now = Instant::now();
    let all_red = !backends.iter().any(|b| b.is_open());
    let open = |b: &Backend| {
        let tried = tried.iter().any(|t| std::ptr::eq(&*backends[*t], b));
        (b.is_open() || (all_red && b.is_enabled())) && !tried
    };
    let pick = |trusted: bool| {
        let wanted = |b: &Backend| open(b) && (!trusted || !b.is_suspect(now));
        match balance {
            LinkBalance::Weight => turns.next(backends, wanted),
            LinkBalance::LeastRequests => least(backends, wanted),
        }
    };
    pick(true).or_else(|| pick(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsc_wire::{BackendId, BackendState, Light};

    fn backends(weights: &[u32]) -> Vec<Arc<Backend>> {
        let address = "127.0.0.1:1".parse().expect("an address");
        let one = |(id, weight): (u16, &u32)| Backend::new(BackendId(id), address, *weight, 1);
        (0..).zip(weights).map(one).map(Arc::new).collect()
    }

    #[test]
    fn turns_follow_the_weights_and_alternate() {
        let backends = backends(&[3, 1, 2]);
        let turns = Turns::new(3);
        let next = || choose(LinkBalance::Weight, &backends, &turns, &[]).expect("one");
        let order: Vec<usize> = (0..12).map(|_| next()).collect();
        assert_eq!(order[..6], [0, 2, 0, 1, 2, 0]);
        assert_eq!(order[..6], order[6..]);
    }

    #[test]
    fn the_least_busy_for_its_weight_is_asked() {
        let backends = backends(&[1, 2]);
        let turns = Turns::new(2);
        let next = || choose(LinkBalance::LeastRequests, &backends, &turns, &[]).expect("one");
        let mut held = Vec::new();
        let mut order = Vec::new();
        for _ in 0..6 {
            let at = next();
            held.push(backends[at].begin());
            order.push(at);
        }
        assert_eq!(order, [0, 1, 1, 0, 1, 1]);
        drop(held);
        assert_eq!(next(), 0);
    }

    #[test]
    fn those_that_failed_are_left_out() {
        for balance in [LinkBalance::Weight, LinkBalance::LeastRequests] {
            let backends = backends(&[1, 1, 1]);
            let turns = Turns::new(3);
            let next = |tried: &[usize]| choose(balance, &backends, &turns, tried);
            backends[0].stands(Light::Red, BackendState::Enabled);
            backends[1].suspect(Instant::now());
            for _ in 0..4 {
                assert_eq!(next(&[]), Some(2));
            }
            assert_eq!(next(&[2]), Some(1), "better than nothing");
            assert_eq!(next(&[1, 2]), None);
            backends[2].stands(Light::Green, BackendState::Draining);
            assert_eq!(next(&[]), Some(1));
            backends[0].stands(Light::Green, BackendState::Enabled);
            assert_eq!(next(&[]), Some(0));
            backends[0].stands(Light::Red, BackendState::Enabled);
            backends[1].stands(Light::Red, BackendState::Disabled);
            assert_eq!(next(&[]), Some(0), "all that are enabled are red");
            assert_eq!(next(&[0]), None);
        }
    }
}
