//! Views and ends of probes: which checks this node makes, what they say, and what grows.

use super::*;
use serde_json::json;

/// Three nodes, and one that is not on the backends' subnet.
const TOML: &str = r#"
[cluster]
name = "shop"
partition = "majority"
[[subnet]]
name = "ext"
networks = ["10.1.0.0/24"]
pool = ["10.1.0.100"]
[[subnet]]
name = "int"
networks = ["10.2.0.0/24"]
[[node]]
name = "n1"
addresses = { ext = "10.1.0.1", int = "10.2.0.1" }
[[node]]
name = "n2"
addresses = { ext = "10.1.0.2", int = "10.2.0.2" }
[[node]]
name = "n3"
addresses = { ext = "10.1.0.3", int = "10.2.0.3" }
[[node]]
name = "w"
addresses = { ext = "10.1.0.4" }
witness = true
[[service]]
name = "plain"
vips = ["10.1.0.100"]
port = 81
backends = [{ address = "10.2.0.201" }]
[[service]]
name = "web"
vips = ["10.1.0.100"]
port = 80
backends = [{ address = "10.2.0.201" }, { address = "10.2.0.202" }, { address = "10.2.0.203" }]
check = { kind = "tcp", every_ms = 200, fall = 2, rise = 2 }
"#;

fn view(config: &Config, me: u8, members: &[u8], health: serde_json::Value) -> View {
    serde_json::from_value(json!({
        "number": 1, "incarnation": 7, "me": me, "state": "member",
        "key": {"epoch": {"counter": 1, "proposer": 0, "incarnation": 7}, "seq": 1},
        "members": members, "quorum": true, "partition": "serve", "lease_end": 0,
        "lease_ms": 95, "rotation_us": 0, "nodes": [], "vips": [],
        "config_digest": config.digest(), "health": health,
    }))
    .unwrap()
}

fn made(checks: &Checks) -> Vec<u16> {
    checks.rows.iter().filter(|r| r.check.is_some()).map(|r| r.backend.0).collect()
}

fn red(backend: u16) -> serde_json::Value {
    json!({"backend": backend, "red": true, "reason": {"why": "refused"}, "since_ms": 5})
}

#[test]
fn each_backend_is_checked_by_two_of_the_members_that_can() {
    let config = Config::parse(TOML, "dsc.toml").unwrap();
    for members in [&[0, 1, 2, 3][..], &[0, 2, 3], &[1]] {
        let mut times = [0; 4];
        for me in members {
            let mut checks = Checks::new(&config, NodeId(*me));
            assert_eq!(checks.rows.is_empty(), *me == 3, "a node that is not there");
            checks.follow(Time::ZERO, &view(&config, *me, members, json!([])));
            made(&checks).iter().for_each(|b| times[usize::from(*b)] += 1);
        }
        let able = members.iter().filter(|n| **n != 3).count();
        assert_eq!(times, [0, able.min(2), able.min(2), able.min(2)], "{members:?}");
    }
}

#[test]
fn who_takes_over_begins_with_what_was_found_and_who_hands_over_waits_for_that() {
    let config = Config::parse(TOML, "dsc.toml").unwrap();
    let chosen = health::checkers(BackendId(1), (0..3).map(NodeId));
    let other = (0..3).map(NodeId).find(|n| !chosen.contains(n)).unwrap();
    let said = json!([{"node": chosen[0], "green": [], "red": [red(1)]}]);
    let mut checks = Checks::new(&config, other);
    checks.follow(Time::ZERO, &view(&config, other.0, &[0, 1, 2], said.clone()));
    assert!(!made(&checks).contains(&1));
    // Both others go: what they found is still shown.
    checks.follow(Time::ZERO, &view(&config, other.0, &[other.0], said));
    let first = checks.verdicts().unwrap();
    assert_eq!(first.len(), 1, "{first:?}");
    let Verdict { backend, red, reason, since_ms } = first[0];
    assert_eq!((backend.0, red, reason, since_ms), (1, true, Reason::Refused, 5));
    // They are back, and have no verdict yet.
    let back = |health| view(&config, other.0, &[0, 1, 2], health);
    checks.follow(Time::ZERO, &back(json!([])));
    assert!(made(&checks).contains(&1));
    checks.follow(Time::ZERO, &back(json!([{"node": chosen[1], "green": [1], "red": []}])));
    assert!(!made(&checks).contains(&1));
    // A ring daemon outside of every ring says nothing.
    let before = made(&checks);
    checks.follow(Time::ZERO, &view(&config, other.0, &[], json!([])));
    assert_eq!(made(&checks), before);
}

#[test]
fn a_backend_whose_new_flows_fail_at_any_member_is_probed_at_once() {
    let config =
        Config::parse(&TOML.replace("every_ms = 200", "every_ms = 4000"), "dsc.toml").unwrap();
    let mut checks = Checks::new(&config, NodeId(0));
    let mut now = Time::from_ms(100_000);
    let follow = |checks: &mut Checks, now, node| {
        let health = json!([{"node": node, "green": [], "red": [], "failing": [2]}]);
        checks.follow(now, &view(&config, 0, &[0, 1], health));
    };
    checks.follow(now, &view(&config, 0, &[0, 1], json!([])));
    now += Duration::from_secs(4);
    for probe in checks.due(now, 9) {
        checks.ended(now, 9, &probe, Ok(()));
    }
    now += Duration::from_secs(1);
    let due = |checks: &mut Checks, now| -> Vec<String> {
        checks.due(now, 9).iter().map(|p| p.target.to.unwrap().to_string()).collect()
    };
    assert_eq!(due(&mut checks, now), [""; 0]);
    follow(&mut checks, now, 7);
    assert_eq!(due(&mut checks, now), [""; 0], "no member says so");
    follow(&mut checks, now, 1);
    assert_eq!(due(&mut checks, now), ["10.2.0.202"]);
}

#[test]
fn what_is_green_or_enabled_again_grows_and_what_is_green_at_first_does_not() {
    let text = TOML.replace("fall = 2, rise = 2 }", "fall = 1, rise = 1 }\nslow_start_s = 7");
    let config = Config::parse(&text, "dsc.toml").unwrap();
    let alone = |state: &str, health| {
        let mut view = serde_json::to_value(view(&config, 0, &[0], health)).unwrap();
        view["backends"] =
            json!([{"id": 1, "state": state, "changed_ms": 1_700_000_000_000u64, "by": 0}]);
        serde_json::from_value::<View>(view).unwrap()
    };
    let mut checks = Checks::new(&config, NodeId(0));
    let mut now = Time::from_ms(1_000);
    let shares = |checks: &Checks, now| {
        let growing = checks.growing(now);
        assert!(growing.iter().all(|g| g.backend.0 == 1), "{growing:?}");
        growing.first().map(|g| g.share)
    };
    let probed = |checks: &mut Checks, now: &mut Time, result| {
        *now += Duration::from_millis(200);
        let due = checks.due(*now, 9);
        due.iter().filter(|p| p.target.to == "10.2.0.201".parse().ok()).for_each(|p| {
            checks.ended(*now, 9, p, result);
        });
        shares(checks, *now)
    };
    checks.follow(now, &alone("enabled", json!([])));
    assert_eq!(probed(&mut checks, &mut now, Ok(())), None, "nobody found it red");
    assert_eq!(probed(&mut checks, &mut now, Err(Reason::Refused)), None);
    assert_eq!(probed(&mut checks, &mut now, Ok(())), Some(1));
    assert!(checks.deadline(now) <= now + Duration::from_secs(1));
    now += Duration::from_secs(1);
    assert_eq!(shares(&checks, now), Some(2));
    assert_eq!(probed(&mut checks, &mut now, Err(Reason::Refused)), None, "red again");
    assert_eq!(probed(&mut checks, &mut now, Ok(())), Some(1), "from the beginning");
    assert_eq!(shares(&checks, now + Duration::from_secs(7)), None, "it has all");

    now += Duration::from_secs(7);
    checks.follow(now, &alone("draining", json!([])));
    assert_eq!(shares(&checks, now), None);
    checks.follow(now, &alone("enabled", json!([])));
    assert_eq!(shares(&checks, now), Some(1), "enabled again");
    checks.follow(now, &alone("enabled", json!([])));
    assert_eq!(shares(&checks, now + Duration::from_secs(1)), Some(2), "no news");

    // Who takes over goes on where the others are.
    let mut checks = Checks::new(&config, NodeId(0));
    let growing = json!([{"backend": 1, "share": 5}]);
    let other = json!([{"node": 1, "green": [1], "red": [], "growing": growing}]);
    checks.follow(now, &alone("enabled", other));
    assert_eq!(shares(&checks, now), None, "no verdict of its own yet");
    let mut probed = |now: &mut Time| {
        *now += Duration::from_millis(200);
        checks.due(*now, 9).iter().for_each(|p| checks.ended(*now, 9, p, Ok(())));
        shares(&checks, *now)
    };
    assert_eq!(probed(&mut now), Some(5));
}

#[test]
fn a_check_that_another_configuration_has_too_goes_on() {
    let config = Config::parse(&TOML.replace("fall = 2", "fall = 1"), "dsc.toml").unwrap();
    let mut checks = Checks::new(&config, NodeId(0));
    let now = Time::from_ms(1_000);
    checks.follow(Time::ZERO, &view(&config, 0, &[0], json!([])));
    let probes = checks.due(now, 9);
    let of = |backend| probes.iter().find(|p| p.target.to.unwrap().to_string() == backend).unwrap();
    checks.ended(now, 9, of("10.2.0.201"), Err(Reason::Refused));
    // 202 goes, and 204 comes; its number is past the end.
    let text = config.to_toml().replace("10.2.0.202", "10.2.0.204");
    let next = config.successor(Config::parse(&text, "new").unwrap()).unwrap();
    checks.change(&next);
    assert_eq!(checks.digest(), next.digest());
    let verdicts = |checks: &Checks| {
        let all = checks.verdicts().unwrap().into_iter();
        all.map(|v| (v.backend.0, v.red)).collect::<Vec<_>>()
    };
    assert_eq!(verdicts(&checks), [(1, true)]);
    checks.ended(now, 9, of("10.2.0.202"), Err(Reason::Refused));
    checks.ended(now, 9, of("10.2.0.203"), Err(Reason::Refused));
    assert_eq!(verdicts(&checks), [(1, true), (3, true)], "what was gone is found no more");
    checks.follow(now, &view(&next, 0, &[0], json!([])));
    assert_eq!(made(&checks), [1, 3, 4]);
}

#[test]
fn the_end_of_a_probe_of_an_earlier_check_counts_for_nothing() {
    let text = TOML.replace("fall = 2", "fall = 1");
    let config = Config::parse(&text, "dsc.toml").unwrap();
    let mut checks = Checks::new(&config, NodeId(0));
    let alone = view(&config, 0, &[0], json!([]));
    let now = Time::from_ms(1_000);
    checks.follow(Time::ZERO, &alone);
    let old = checks.due(now, 9);
    checks.rows.iter_mut().for_each(|row| row.check = None);
    checks.follow(Time::ZERO, &alone);
    let new = checks.due(now, 9);
    assert_eq!((old.len(), new.len()), (3, 3));
    let mut found = |probes: &[Probe]| {
        probes.iter().for_each(|p| checks.ended(now, 9, p, Err(Reason::Refused)));
        checks.verdicts().unwrap().len()
    };
    assert_eq!((found(&old), found(&new)), (0, 3));
}
