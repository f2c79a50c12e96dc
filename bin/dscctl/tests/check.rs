//! `dscctl check` with a word: what ringd is asked for, what is told, and what is refused before anybody is asked.

use crate::answer::{Case, case};
use crate::fake::{Daemons, Dir, run};
use dsc_wire::local::{Command, Reply};
use dsc_wire::{CheckId, NodeId};
use serde_json::{Value, json};

/// Does it if it is what this test asks for.
fn obey(_: &mut Case, command: Command, _: u64) -> Option<Reply> {
    let Command::Check { check, node, on } = command else { panic!("{command:?}") };
    Some(match (check, node, on) {
        (CheckId(0), None, false) | (CheckId(3), Some(NodeId(2)), true) => {
            Reply::Done { text: String::new() }
        }
        _ => Reply::Refused { reason: format!("another command has undone it: {check}") },
    })
}

#[test]
fn a_check_is_switched_everywhere_or_on_a_node() {
    let dir = Dir::new();
    let _daemons = Daemons::start(&dir.0, case("checks"), obey);
    let done = |text: &str| (0, format!("{text}; all 3 members show it\n"), String::new());
    let told = run(&dir.0, &["check", "disable", "uplink"]);
    assert_eq!(told, done("check uplink is disabled"));
    let told = run(&dir.0, &["checks", "en", "disk", "n3"]);
    assert_eq!(told, done("check disk is enabled on n3"));
    let (code, out, _) = run(&dir.0, &["--json", "check", "enable", "disk", "n3"]);
    let out: Value = serde_json::from_str(&out).unwrap();
    let expected = json!({
        "command": "check enable", "about": "disk", "result": "done",
        "text": "check disk is enabled on n3; all 3 members show it", "moved": [],
    });
    assert_eq!((code, out), (0, expected));
}

#[test]
fn what_is_refused_is_said_in_names() {
    let dir = Dir::new();
    let _daemons = Daemons::start(&dir.0, case("checks"), obey);
    for (arguments, code, expected) in [
        (
            ["check", "disable", "cert", "n1"],
            4,
            "cannot disable check cert on n1: another command has undone it: cert",
        ),
        (
            ["check", "disable", "certs", "n1"],
            2,
            "no check \"certs\": the checks of this cluster are uplink, inside, cert, disk",
        ),
        (
            ["check", "disable", "cert", "n4"],
            2,
            "no node \"n4\": the nodes of this cluster are n1, n2, n3",
        ),
    ] {
        let told = run(&dir.0, &arguments);
        assert_eq!(told, (code, String::new(), format!("dscctl: {expected}\n")));
    }
}
