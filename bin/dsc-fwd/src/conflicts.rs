//! Machines outside the cluster that say they have a VIP: from the kernel's raw claims to what is worth telling. Pure: time
//! is an argument.

use dsc_wire::local::{Conflict, Mac};
use dsc_wire::{Time, VipId};
use std::time::Duration;

/// Most pairs of VIP and MAC address that are remembered; a machine that invents addresses is not worth more.
const CLAIMS_MAX: usize = 64;
/// A claim from an unknown address is believed to be a stranger's if it comes again so much later: at once it may be a
/// node's whose address has not gone round yet.
const PATIENCE: Duration = Duration::from_secs(2);
/// A claim that has not come again for this long, ten questions of the host, is over.
const LIFE: Duration = Duration::from_secs(600);
/// Between two log lines about the same claim.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

struct Claim {
    conflict: Conflict,
    first: Time,
    last: Time,
    told: bool,
    logged: Option<Time>,
}

/// What was claimed in the last [`LIFE`].
#[derive(Default)]
pub struct Conflicts {
    claims: Vec<Claim>,
    /// Claims that had to make room for newer ones, beyond [`CLAIMS_MAX`].
    pub forgotten: u64,
}

impl Conflicts {
    /// The kernel saw a claim; `complete`: the addresses of all nodes are known, so it can be nobody but a stranger. True
    /// if it should be logged.
    pub fn claimed(&mut self, now: Time, conflict: Conflict, complete: bool) -> bool {
        self.expire(now);
        let at = self.claims.iter().position(|c| c.conflict == conflict);
        let at = at.unwrap_or_else(|| {
            self.make_room();
            self.claims.push(Claim { conflict, first: now, last: now, told: false, logged: None });
            self.claims.len() - 1
        });
        let claim = &mut self.claims[at];
        claim.last = now;
        claim.told |= complete || now.since(claim.first) >= PATIENCE;
        let log = claim.told && claim.logged.is_none_or(|at| now.since(at) >= LOG_INTERVAL);
        if log {
            claim.logged = Some(now);
        }
        log
    }

    /// `mac` turned out to be a node's: what it claimed is no conflict.
    pub fn is_node(&mut self, mac: Mac) {
        self.claims.retain(|claim| claim.conflict.mac != mac);
    }

    /// Forgets claims of other VIPs.
    pub fn keep(&mut self, is_vip: impl Fn(VipId) -> bool) {
        self.claims.retain(|claim| is_vip(claim.conflict.vip));
    }

    /// Those that are believed and not over.
    pub fn list(&mut self, now: Time) -> Vec<Conflict> {
        self.expire(now);
        self.claims.iter().filter(|c| c.told).map(|c| c.conflict.clone()).collect()
    }

    fn expire(&mut self, now: Time) {
        self.claims.retain(|claim| now.since(claim.last) < LIFE);
    }

    /// For one more; the one that has not come for longest goes.
    fn make_room(&mut self) {
        if self.claims.len() < CLAIMS_MAX {
            return;
        }
        let oldest = (0..self.claims.len()).min_by_key(|at| self.claims[*at].last);
        if let Some(oldest) = oldest {
            self.claims.remove(oldest);
            self.forgotten += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(vip: u16, last: u8) -> Conflict {
        Conflict { vip: VipId(vip), mac: [2, 0, 0, 0, 0, last] }
    }

    #[test]
    fn a_strangers_claim_is_told_at_once_and_logged_once_a_minute() {
        let mut conflicts = Conflicts::default();
        assert!(conflicts.claimed(Time::from_ms(0), claim(1, 9), true));
        assert!(!conflicts.claimed(Time::from_ms(59_000), claim(1, 9), true));
        assert!(conflicts.claimed(Time::from_ms(60_000), claim(1, 9), true));
        assert_eq!(conflicts.list(Time::from_ms(60_000)), [claim(1, 9)]);
    }

    #[test]
    fn a_claim_that_may_be_a_nodes_has_to_come_again() {
        let mut conflicts = Conflicts::default();
        assert!(!conflicts.claimed(Time::from_ms(0), claim(1, 9), false));
        assert!(!conflicts.claimed(Time::from_ms(1_000), claim(1, 9), false));
        assert_eq!(conflicts.list(Time::from_ms(1_000)), []);
        assert!(conflicts.claimed(Time::from_ms(2_000), claim(1, 9), false));
        conflicts.is_node([2, 0, 0, 0, 0, 9]);
        assert_eq!(conflicts.list(Time::from_ms(2_000)), []);
    }

    #[test]
    fn a_claim_is_over_ten_minutes_after_it_came_last_and_news_when_it_comes_again() {
        let mut conflicts = Conflicts::default();
        conflicts.claimed(Time::from_ms(0), claim(1, 9), true);
        conflicts.claimed(Time::from_ms(0), claim(2, 9), true);
        conflicts.claimed(Time::from_ms(300_000), claim(2, 9), true);
        assert_eq!(conflicts.list(Time::from_ms(599_999)), [claim(1, 9), claim(2, 9)]);
        assert_eq!(conflicts.list(Time::from_ms(600_000)), [claim(2, 9)]);
        assert_eq!(conflicts.list(Time::from_ms(900_000)), []);
        assert!(conflicts.claimed(Time::from_ms(900_001), claim(1, 9), true));
        // What may be a node's has to come again anew: the first time was another time.
        assert!(!conflicts.claimed(Time::from_ms(900_001), claim(3, 9), false));
        assert!(!conflicts.claimed(Time::from_ms(1_500_001), claim(3, 9), false));
    }

    #[test]
    fn inventing_addresses_fills_no_memory_and_the_oldest_makes_room() {
        let mut conflicts = Conflicts::default();
        for i in 0..200 {
            conflicts.claimed(Time::from_ms(i), claim(i as u16, 9), true);
            // This one keeps coming, so it is never the oldest.
            conflicts.claimed(Time::from_ms(i), claim(500, 9), true);
        }
        let list = conflicts.list(Time::from_ms(200));
        assert_eq!((list.len(), conflicts.forgotten), (CLAIMS_MAX, 137));
        assert!(list.contains(&claim(199, 9)) && list.contains(&claim(500, 9)));
        assert!(!list.contains(&claim(0, 9)) && list.contains(&claim(137, 9)));
    }
}
