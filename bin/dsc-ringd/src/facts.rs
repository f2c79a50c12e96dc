//! What the node's other daemons say, turned into what the ring wants to know: where this node can host, and its load.
//! The loop hands it every message and one turn now and then. Pure: time is an argument.

use dsc_wire::local::{Conflict, Facts, Heard, Load};
use dsc_wire::{SubnetId, SubnetSet, Time};
use std::time::Duration;

/// A daemon that has not spoken for this long, three of its usual intervals, is silent.
pub const SILENCE: Duration = Duration::from_secs(3);
/// Most conflicts that are kept; one machine seldom claims more than one address.
pub const CONFLICTS_MAX: usize = 64;

/// The facts of one node.
pub struct NodeFacts {
    mine: SubnetSet,
    config_digest: u64,
    silence_judged: Time,
    /// None until the health daemon has spoken, or is taken to be absent.
    carrier: Option<SubnetSet>,
    /// Where the data path daemon has an interface with programs, as it said last.
    ready: SubnetSet,
    load: Load,
    heard: Heard,
    told: Told,
}

/// What the ring was last told, so that it is told changes only.
#[derive(Default)]
struct Told {
    able: SubnetSet,
    load: Load,
}

/// What is new for the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Where this node can host now.
    Able(SubnetSet),
    /// Its load.
    Load(Load),
    /// A machine outside the cluster claims a VIP, as was not known before.
    Conflict(Conflict),
}

impl NodeFacts {
    /// Of a node on the subnets `mine`, whose ring daemon works with the configuration of this digest.
    pub fn new(mine: SubnetSet, config_digest: u64, now: Time) -> NodeFacts {
        NodeFacts {
            mine,
            config_digest,
            silence_judged: now,
            carrier: None,
            ready: SubnetSet::EMPTY,
            load: Load::default(),
            heard: Heard::default(),
            told: Told::default(),
        }
    }

    /// Takes one message.
    pub fn hear(&mut self, now: Time, facts: Facts, news: &mut Vec<News>) {
        match facts {
            Facts::Mon { nics, cpu_permille, .. } => {
                self.heard.mon = Some(now);
                let here = |s: SubnetId| self.mine.contains(s);
                let up = nics.iter().filter(|n| n.carrier && here(n.subnet)).map(|n| n.subnet);
                self.carrier = Some(up.collect());
                let mut bytes_per_s = Vec::new();
                for nic in nics.iter().filter(|n| here(n.subnet)) {
                    let at = nic.subnet.index();
                    bytes_per_s.resize(bytes_per_s.len().max(at + 1), 0);
                    bytes_per_s[at] = nic.rx_bytes_per_s.saturating_add(nic.tx_bytes_per_s);
                }
                self.load = Load { cpu_permille: cpu_permille.min(1000), bytes_per_s };
            }
            Facts::Fwd { config_digest, ready, mut conflicts, .. } => {
                self.ready = ready;
                self.heard.fwd = Some(now);
                self.heard.fwd_config_digest = Some(config_digest);
                conflicts.truncate(CONFLICTS_MAX);
                for conflict in &conflicts {
                    if !self.heard.conflicts.contains(conflict) {
                        news.push(News::Conflict(conflict.clone()));
                    }
                }
                self.heard.conflicts = conflicts;
            }
        }
        self.tell(news);
    }

    /// Judges silence; owed about every second.
    pub fn turn(&mut self, now: Time, news: &mut Vec<News>) {
        let spoke = self.heard.mon.unwrap_or(self.silence_judged);
        if now < spoke + SILENCE {
            return;
        }
        // The last carrier stands, and one that was never seen is taken for granted: a node is not taken out because its
        // watcher is missing. A dead link is noticed without it, by the peers' silence on it.
        self.carrier.get_or_insert(self.mine);
        self.load = Load::default();
        self.tell(news);
    }

    /// For the view.
    pub fn heard(&self) -> &Heard {
        &self.heard
    }

    fn tell(&mut self, news: &mut Vec<News>) {
        // A data path that was made ready goes on without its daemon, so its silence takes nothing away.
        let filled = self.heard.fwd_config_digest == Some(self.config_digest);
        let able = match self.carrier {
            Some(carrier) if filled => carrier.iter().filter(|s| self.ready.contains(*s)).collect(),
            _ => SubnetSet::EMPTY,
        };
        if able != self.told.able {
            self.told.able = able;
            news.push(News::Able(able));
        }
        if self.load != self.told.load {
            self.told.load = self.load.clone();
            news.push(News::Load(self.load.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsc_wire::VipId;
    use dsc_wire::local::NicFacts;

    const DIGEST: u64 = 7;

    fn both() -> SubnetSet {
        [SubnetId(0), SubnetId(1)].into_iter().collect()
    }

    fn mon(carriers: [bool; 2]) -> Facts {
        let nic = |(i, carrier)| NicFacts {
            subnet: SubnetId(i),
            carrier,
            rx_bytes_per_s: 10,
            tx_bytes_per_s: 5,
        };
        let nics = (0..).zip(carriers).map(nic).collect();
        Facts::Mon { number: 1, nics, cpu_permille: 250 }
    }

    fn fwd(config_digest: u64, conflicts: Vec<Conflict>) -> Facts {
        Facts::Fwd { number: 1, config_digest, ready: both(), conflicts }
    }

    fn ready(ready: SubnetSet) -> Facts {
        Facts::Fwd { number: 1, config_digest: DIGEST, ready, conflicts: vec![] }
    }

    fn able(news: &[News]) -> Vec<SubnetSet> {
        news.iter().filter_map(|n| if let News::Able(s) = n { Some(*s) } else { None }).collect()
    }

    #[test]
    fn able_needs_carrier_and_a_data_path_of_the_same_configuration() {
        let mut facts = NodeFacts::new(both(), DIGEST, Time::ZERO);
        let mut news = Vec::new();
        facts.hear(Time::ZERO, mon([true, true]), &mut news);
        facts.hear(Time::ZERO, fwd(DIGEST + 1, vec![]), &mut news);
        assert_eq!(able(&news), []);
        facts.hear(Time::ZERO, fwd(DIGEST, vec![]), &mut news);
        facts.hear(Time::ZERO, mon([false, true]), &mut news);
        let second = [SubnetId(1)].into_iter().collect();
        assert_eq!(able(&news), [both(), second]);
        facts.hear(Time::ZERO, fwd(DIGEST + 1, vec![]), &mut news);
        assert_eq!(able(&news)[2..], [SubnetSet::EMPTY]);
    }

    #[test]
    fn an_interface_without_programs_takes_nothing_from_the_other_subnets() {
        let (first, second) = (SubnetId(0), SubnetId(1));
        let only = |subnet| [subnet].into_iter().collect::<SubnetSet>();
        let mut facts = NodeFacts::new(both(), DIGEST, Time::ZERO);
        let mut news = Vec::new();
        facts.hear(Time::ZERO, mon([true, true]), &mut news);
        facts.hear(Time::ZERO, ready(only(first)), &mut news);
        facts.hear(Time::ZERO, ready(both()), &mut news);
        facts.hear(Time::ZERO, ready(only(second)), &mut news);
        // Carrier and programs, each on another subnet, make none.
        facts.hear(Time::ZERO, mon([true, false]), &mut news);
        assert_eq!(able(&news), [only(first), both(), only(second), SubnetSet::EMPTY]);
    }

    /// The message of a build that did not tell subnets apart.
    #[test]
    fn a_data_path_daemon_that_names_no_subnets_is_ready_on_all() {
        let text = r#"{"from": "fwd", "number": 1, "config_digest": 7, "conflicts": []}"#;
        let mut facts = NodeFacts::new(both(), DIGEST, Time::ZERO);
        let mut news = Vec::new();
        facts.hear(Time::ZERO, mon([true, true]), &mut news);
        facts.hear(Time::ZERO, serde_json::from_str(text).unwrap(), &mut news);
        assert_eq!(able(&news), [both()]);
    }

    #[test]
    fn silence_keeps_the_carrier_and_forgets_the_load() {
        let mut facts = NodeFacts::new(both(), DIGEST, Time::ZERO);
        let mut news = Vec::new();
        facts.hear(Time::ZERO, fwd(DIGEST, vec![]), &mut news);
        facts.hear(Time::ZERO, mon([false, true]), &mut news);
        let load = Load { cpu_permille: 250, bytes_per_s: vec![15, 15] };
        assert!(news.contains(&News::Load(load)));
        news.clear();
        facts.turn(Time::from_ms(2_999), &mut news);
        assert_eq!(news, []);
        facts.turn(Time::ZERO + SILENCE, &mut news);
        assert_eq!(news, [News::Load(Load::default())]);
        facts.turn(Time::ZERO + 2 * SILENCE, &mut news);
        assert_eq!(news.len(), 1, "told once");
    }

    #[test]
    fn without_a_health_daemon_the_carrier_is_taken_for_granted_after_a_while() {
        let mut facts = NodeFacts::new(both(), DIGEST, Time::ZERO);
        let mut news = Vec::new();
        facts.hear(Time::ZERO, fwd(DIGEST, vec![]), &mut news);
        facts.turn(Time::from_ms(2_999), &mut news);
        assert_eq!(news, []);
        facts.turn(Time::ZERO + SILENCE, &mut news);
        assert_eq!(news, [News::Able(both())]);
    }

    #[test]
    fn a_conflict_is_news_once_and_again_after_it_was_gone() {
        let mut facts = NodeFacts::new(both(), DIGEST, Time::ZERO);
        let conflict = Conflict { vip: VipId(3), mac: [1; 6] };
        let mut news = Vec::new();
        for conflicts in
            [vec![conflict.clone()], vec![conflict.clone()], vec![], vec![conflict.clone()]]
        {
            facts.hear(Time::ZERO, fwd(DIGEST + 1, conflicts), &mut news);
        }
        assert_eq!(news, [News::Conflict(conflict.clone()), News::Conflict(conflict)]);
    }

    #[test]
    fn subnets_that_are_not_ours_are_ignored() {
        let first: SubnetSet = [SubnetId(0)].into_iter().collect();
        let mut facts = NodeFacts::new(first, DIGEST, Time::ZERO);
        let mut news = Vec::new();
        facts.hear(Time::ZERO, fwd(DIGEST, vec![]), &mut news);
        facts.hear(Time::ZERO, mon([true, true]), &mut news);
        assert_eq!(able(&news), [first]);
    }
}
