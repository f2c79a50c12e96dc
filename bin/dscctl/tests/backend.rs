//! `dscctl backend` with a word: what ringd is asked for, what is told, and what is refused before anybody is asked.

use crate::answer::{Case, case};
use crate::fake::{Daemons, Dir, run};
use dsc_wire::local::{Command, Reply};
use dsc_wire::{BackendId, BackendState};
use serde_json::{Value, json};

/// Does it if it is what this test asks for, and answers with what it was asked.
fn obey(_: &mut Case, command: Command, wait_ms: u64) -> Option<Reply> {
    let Command::Backend { backend, state } = command else { panic!("{command:?}") };
    Some(match (backend, state, wait_ms) {
        (_, _, 0) => Reply::Pending { text: "not asked to wait".into() },
        (BackendId(0), BackendState::Enabled, _)
        | (BackendId(1), BackendState::Draining, _)
        | (BackendId(2), BackendState::Disabled, _) => Reply::Done { text: String::new() },
        _ => Reply::Refused { reason: format!("another command has undone it: {backend}") },
    })
}

#[test]
fn a_backend_is_named_by_its_service_and_its_address() {
    let dir = Dir::new();
    let _daemons = Daemons::start(&dir.0, case("steady"), obey);
    for (arguments, expected) in [
        (
            ["backend", "drain", "web", "10.2.0.202:8080"],
            "10.2.0.202:8080 of web is draining; all 3 members show it\n",
        ),
        (
            ["backend", "disable", "six", "[fd00:2::201]:53"],
            "[fd00:2::201]:53 of six is disabled; all 3 members show it\n",
        ),
        (
            ["backend", "en", "web", "10.2.0.201:8080"],
            "10.2.0.201:8080 of web is enabled; all 3 members show it\n",
        ),
    ] {
        assert_eq!(run(&dir.0, &arguments), (0, expected.into(), String::new()));
    }
    let (code, out, _) = run(&dir.0, &["--json", "backend", "drain", "web", "10.2.0.202:8080"]);
    let out: Value = serde_json::from_str(&out).unwrap();
    let expected = json!({
        "command": "backend drain", "about": "10.2.0.202:8080 of web", "result": "done",
        "text": "10.2.0.202:8080 of web is draining; all 3 members show it", "moved": [],
    });
    assert_eq!((code, out), (0, expected));
}

#[test]
fn what_is_refused_or_not_waited_for_is_said_so() {
    let dir = Dir::new();
    let _daemons = Daemons::start(&dir.0, case("steady"), obey);
    let (code, out, err) = run(&dir.0, &["backend", "disable", "web", "10.2.0.202:8080"]);
    let expected = "dscctl: cannot disable 10.2.0.202:8080 of web: another command has undone it: \
                    10.2.0.202:8080 of web\n";
    assert_eq!((code, out.as_str(), err.as_str()), (4, "", expected));
    let waited = run(&dir.0, &["--no-wait", "backend", "drain", "web", "10.2.0.201:8080"]);
    let expected = "asked to drain 10.2.0.201:8080 of web; not waited for\n";
    assert_eq!(waited, (0, expected.into(), String::new()));
}

#[test]
fn what_does_not_exist_is_a_usage_error_and_asks_for_no_change() {
    let dir = Dir::new();
    let _daemons = Daemons::start(&dir.0, case("steady"), |_, _, _| panic!("asked for a change"));
    for (service, backend, expected) in [
        (
            "ftp",
            "10.2.0.201:8080",
            "no service \"ftp\": the services of this cluster are web, six, ssh",
        ),
        (
            "web",
            "10.2.0.209:8080",
            "no backend 10.2.0.209:8080: the backends of web are 10.2.0.201:8080, 10.2.0.202:8080",
        ),
        (
            "six",
            "10.2.0.201:8080",
            "no backend 10.2.0.201:8080: the backends of six are [fd00:2::201]:53",
        ),
    ] {
        let (code, out, err) = run(&dir.0, &["backend", "drain", service, backend]);
        assert_eq!((code, out), (2, String::new()));
        assert_eq!(err, format!("dscctl: {expected}\n"));
    }
    for arguments in [
        &["backend", "web"][..],
        &["backend", "drain", "web"],
        &["backend", "drain", "web", "10.2.0.201"],
        &["backend", "close", "web", "10.2.0.201:8080"],
        &["backend", "d", "web", "10.2.0.201:8080"],
    ] {
        assert_eq!(run(&dir.0, arguments).0, 2, "{arguments:?}");
    }
}
