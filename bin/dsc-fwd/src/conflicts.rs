//! Machines outside the cluster that say they have a VIP: from the kernel's raw claims to what is worth telling. Pure: time
//! is an argument.

use dsc_wire::Time;
use dsc_wire::local::{Conflict, Mac};
use std::time::Duration;

/// Most pairs of VIP and MAC address that are remembered; a machine that invents addresses is not worth more.
const CLAIMS_MAX: usize = 64;
/// A claim from an unknown address is believed to be a stranger's if it comes again so much later: at once it may be a
/// node's whose address has not gone round yet.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two log lines about the same claim.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

struct Claim {
    conflict: Conflict,
    first: Time,
    told: bool,
    logged: Option<Time>,
}

/// What was claimed since the daemon started.
#[derive(Default)]
pub struct Conflicts {
    claims: Vec<Claim>,
    /// Claims beyond [`CLAIMS_MAX`].
    pub forgotten: u64,
}

impl Conflicts {
    /// The kernel saw a claim; `complete`: the addresses of all nodes are known, so it can be nobody but a stranger. True
    /// if it should be logged.
    pub fn claimed(&mut self, now: Time, conflict: Conflict, complete: bool) -> bool {
        let at = self.claims.iter().position(|c| c.conflict == conflict);
        let claim = match at {
            Some(at) => &mut self.claims[at],
            None if self.claims.len() == CLAIMS_MAX => {
                self.forgotten += 1;
                return false;
            }
            None => {
                self.claims.push(Claim { conflict, first: now, told: false, logged: None });
                let last = self.claims.len() - 1;
                &mut self.claims[last]
            }
        };
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

    /// Those that are believed.
    pub fn list(&self) -> Vec<Conflict> {
        self.claims.iter().filter(|c| c.told).map(|c| c.conflict.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsc_wire::VipId;

    fn claim(vip: u16, last: u8) -> Conflict {
        Conflict { vip: VipId(vip), mac: [2, 0, 0, 0, 0, last] }
    }

    #[test]
    fn a_strangers_claim_is_told_at_once_and_logged_once_a_minute() {
        let mut conflicts = Conflicts::default();
        assert!(conflicts.claimed(Time::from_ms(0), claim(1, 9), true));
        assert!(!conflicts.claimed(Time::from_ms(59_000), claim(1, 9), true));
        assert!(conflicts.claimed(Time::from_ms(60_000), claim(1, 9), true));
        assert_eq!(conflicts.list(), [claim(1, 9)]);
    }

    #[test]
    fn a_claim_that_may_be_a_nodes_has_to_come_again() {
        let mut conflicts = Conflicts::default();
        assert!(!conflicts.claimed(Time::from_ms(0), claim(1, 9), false));
        assert!(!conflicts.claimed(Time::from_ms(1_000), claim(1, 9), false));
        assert_eq!(conflicts.list(), []);
        assert!(conflicts.claimed(Time::from_ms(2_000), claim(1, 9), false));
        conflicts.is_node([2, 0, 0, 0, 0, 9]);
        assert_eq!(conflicts.list(), []);
    }

    #[test]
    fn inventing_addresses_fills_no_memory() {
        let mut conflicts = Conflicts::default();
        for i in 0..200 {
            conflicts.claimed(Time::ZERO, claim(i, 9), true);
        }
        assert_eq!((conflicts.list().len(), conflicts.forgotten), (CLAIMS_MAX, 136));
    }
}
