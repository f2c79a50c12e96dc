//! What the node's other daemons say, and what of it is news for the ring.

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
    Facts::Mon {
        number: 1,
        nics,
        cpu_permille: 250,
        config_digest: Some(DIGEST),
        health: Some(vec![red()]),
        growing: vec![Growth { backend: dsc_wire::BackendId(2), share: 1 }],
        lights: Some(vec![]),
    }
}

fn red() -> Verdict {
    let reason = dsc_wire::Reason::Refused;
    Verdict { backend: dsc_wire::BackendId(3), red: true, reason, since_ms: 9 }
}

fn fwd(config_digest: u64, conflicts: Vec<Conflict>) -> Facts {
    let (ready, failing) = (both(), Vec::new());
    Facts::Fwd { number: 1, config_digest, ready, conflicts, vip_loads: None, failing }
}

fn ready(ready: SubnetSet) -> Facts {
    let (conflicts, failing) = (Vec::new(), Vec::new());
    Facts::Fwd { number: 1, config_digest: DIGEST, ready, conflicts, vip_loads: None, failing }
}

fn able(news: &[News]) -> Vec<SubnetSet> {
    news.iter().filter_map(|n| if let News::Able(s) = n { Some(*s) } else { None }).collect()
}

#[test]
fn able_needs_carrier_and_a_data_path_of_the_same_configuration() {
    let mut facts = NodeFacts::new(both(), DIGEST, Critical::default(), Time::ZERO);
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
    let mut facts = NodeFacts::new(both(), DIGEST, Critical::default(), Time::ZERO);
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
    let mut facts = NodeFacts::new(both(), DIGEST, Critical::default(), Time::ZERO);
    let mut news = Vec::new();
    facts.hear(Time::ZERO, mon([true, true]), &mut news);
    facts.hear(Time::ZERO, serde_json::from_str(text).unwrap(), &mut news);
    assert_eq!(able(&news), [both()]);
}

#[test]
fn silence_keeps_the_carrier_and_forgets_the_load() {
    let mut facts = NodeFacts::new(both(), DIGEST, Critical::default(), Time::ZERO);
    let mut news = Vec::new();
    facts.hear(Time::ZERO, fwd(DIGEST, vec![]), &mut news);
    facts.hear(Time::ZERO, mon([false, true]), &mut news);
    let load = Load { cpu_permille: 250, bytes_per_s: vec![15, 15] };
    assert!(news.contains(&News::Load(load)));
    assert!(news.contains(&News::Checked(vec![red()])));
    news.clear();
    facts.turn(Time::from_ms(2_999), &mut news);
    assert_eq!(news, []);
    facts.turn(Time::ZERO + SILENCE, &mut news);
    let nothing = [News::Load(Load::default()), News::Growing(vec![]), News::Checked(vec![])];
    assert_eq!(news, nothing);
    facts.turn(Time::ZERO + 2 * SILENCE, &mut news);
    assert_eq!(news.len(), nothing.len(), "told once");
}

#[test]
fn without_a_health_daemon_the_carrier_is_taken_for_granted_after_a_while() {
    let mut facts = NodeFacts::new(both(), DIGEST, Critical::default(), Time::ZERO);
    let mut news = Vec::new();
    facts.hear(Time::ZERO, fwd(DIGEST, vec![]), &mut news);
    facts.turn(Time::from_ms(2_999), &mut news);
    assert_eq!(news, []);
    facts.turn(Time::ZERO + SILENCE, &mut news);
    assert_eq!(news, [News::Able(both())]);
}

#[test]
fn a_health_daemon_that_begins_or_has_another_configuration_says_nothing_of_backends() {
    let growth = |verdict: &Verdict| Growth { backend: verdict.backend, share: 1 };
    let says = |digest: u64, health: Option<Vec<Verdict>>| Facts::Mon {
        number: 1,
        nics: vec![],
        cpu_permille: 0,
        config_digest: Some(digest),
        growing: health.iter().flatten().map(growth).collect(),
        health,
        lights: None,
    };
    let mut facts = NodeFacts::new(both(), DIGEST, Critical::default(), Time::ZERO);
    let mut news = Vec::new();
    facts.hear(Time::ZERO, says(DIGEST + 1, Some(vec![red()])), &mut news);
    assert_eq!(news, [], "their numbers mean others");
    facts.hear(Time::ZERO, says(DIGEST, Some(vec![red()])), &mut news);
    assert_eq!(news, [News::Growing(vec![growth(&red())]), News::Checked(vec![red()])]);
    news.clear();
    facts.hear(Time::ZERO, says(DIGEST, None), &mut news);
    assert_eq!(news, [], "it was started again, and knows nothing yet");
    facts.hear(Time::ZERO, says(DIGEST, Some(vec![])), &mut news);
    assert_eq!(news, [News::Growing(vec![]), News::Checked(vec![])]);
}

#[test]
fn a_red_critical_check_is_told_with_where_it_counts() {
    let plan = crate::critical::Plan { critical: both(), hold_down: Duration::from_secs(5) };
    let critical = Critical::new([plan].into_iter());
    let mut facts = NodeFacts::new(both(), DIGEST, critical, Time::ZERO);
    let light = |light| NodeLight {
        check: dsc_wire::CheckId(0),
        light,
        reason: dsc_wire::Reason::TimedOut,
        since_ms: 1,
    };
    let says = |light| Facts::Mon {
        number: 1,
        nics: vec![],
        cpu_permille: 0,
        config_digest: Some(DIGEST),
        health: None,
        growing: vec![],
        lights: Some(vec![light]),
    };
    let (red, green) = (light(dsc_wire::Light::Red), light(dsc_wire::Light::Green));
    let mut news = Vec::new();
    facts.hear(Time::ZERO, says(red), &mut news);
    facts.hear(Time::from_ms(1_000), says(green), &mut news);
    facts.turn(Time::from_ms(5_999), &mut news);
    facts.hear(Time::from_ms(6_000), says(green), &mut news);
    let told: Vec<&News> = news.iter().filter(|n| matches!(n, News::Lights(..))).collect();
    let lights = |light, unfit| News::Lights(vec![light], unfit);
    let none = News::Lights(vec![], both());
    let wanted =
        [lights(red, both()), lights(green, both()), none, lights(green, SubnetSet::EMPTY)];
    assert_eq!(told, [&wanted[0], &wanted[1], &wanted[2], &wanted[3]]);
}

#[test]
fn a_conflict_is_news_once_and_again_after_it_was_gone() {
    let mut facts = NodeFacts::new(both(), DIGEST, Critical::default(), Time::ZERO);
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
fn what_is_carried_for_vips_is_told_until_nobody_counts() {
    let mut facts = NodeFacts::new(both(), DIGEST, Critical::default(), Time::ZERO);
    let loads = Some(vec![VipLoad { vip: VipId(3), bytes_per_s: 1_000 }]);
    let says = |config_digest, vip_loads: &Option<Vec<VipLoad>>| Facts::Fwd {
        number: 1,
        config_digest,
        ready: both(),
        conflicts: vec![],
        vip_loads: vip_loads.clone(),
        failing: Vec::from_iter(vip_loads.as_ref().map(|_| BackendId(7))),
    };
    let mut news = Vec::new();
    facts.hear(Time::ZERO, says(DIGEST + 1, &loads), &mut news);
    assert_eq!(news, [], "of another configuration");
    facts.hear(Time::ZERO, says(DIGEST, &loads), &mut news);
    facts.hear(Time::ZERO, says(DIGEST, &loads), &mut news);
    let failing = News::Failing(vec![BackendId(7)]);
    assert_eq!(news, [News::VipLoads(loads), failing], "told once");
    facts.hear(Time::ZERO, mon([true, true]), &mut news);
    news.clear();
    facts.turn(Time::from_ms(2_999), &mut news);
    assert_eq!(news, []);
    facts.hear(Time::from_ms(2_999), mon([true, true]), &mut news);
    facts.turn(Time::ZERO + SILENCE, &mut news);
    assert_eq!(news, [News::VipLoads(None), News::Failing(Vec::new())]);
}

#[test]
fn subnets_that_are_not_ours_are_ignored() {
    let first: SubnetSet = [SubnetId(0)].into_iter().collect();
    let mut facts = NodeFacts::new(first, DIGEST, Critical::default(), Time::ZERO);
    let mut news = Vec::new();
    facts.hear(Time::ZERO, fwd(DIGEST, vec![]), &mut news);
    facts.hear(Time::ZERO, mon([true, true]), &mut news);
    assert_eq!(able(&news), [first]);
}
