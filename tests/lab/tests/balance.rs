//! Unequal loads on addresses that are free, all on one node: the cluster spreads them, rests, and no download notices.

use dsc_lab::{cluster, spread};
use dsc_test_lab::TestLab;

/// How long nothing may move once the load lies well, ms.
const QUIET_MS: u64 = 8_000;

#[test]
fn downloads_of_a_loaded_node_spread_and_none_breaks() {
    let lab = TestLab::up(spread::plan(4));
    let seen = spread::run(&lab, QUIET_MS).unwrap();
    println!("{seen:?}");
    let report = &seen.report;
    assert_eq!((report.broken, report.reset), (0, 0), "{seen:?}");
    assert_eq!(report.live, spread::SHARES.iter().sum::<usize>(), "{seen:?}");
    // The machine of a test is busy; the bench measures.
    assert!(seen.good_s <= 20.0, "{seen:?}");
    assert!((3..=20).contains(&seen.moves), "{seen:?}");
    assert!(seen.ratio <= spread::GOOD, "{seen:?}");
    let events = cluster::dscctl(&lab, 3, &["events", "--json"]).unwrap();
    let balanced: Vec<serde_json::Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &serde_json::Value| event["event"] == "balanced")
        .collect();
    assert_eq!(balanced.len() as u64, seen.moves, "{events}");
    let first = &balanced[0];
    assert_eq!(first["node"], "n1", "{first}");
    for (figure, least) in [("bytes_per_s", 50_000), ("from_bytes_per_s", 500_000)] {
        assert!(first[figure].as_u64().unwrap() >= least, "{first}");
    }
    assert_eq!(cluster::status(&lab, 1).unwrap()["balanced"]["event"], "balanced");
}
