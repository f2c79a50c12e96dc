//! `dscctl link` as its users run it, against a dsc-link that answers on a real socket.

use crate::answer::{Case, case};
use crate::fake::{Daemons, Dir, run};
use dsc_wire::local::{Command, Reply};
use serde_json::Value;

fn nobody(_: &mut Case, _: Command, _: u64) -> Option<Reply> {
    panic!("told to change something")
}

fn object(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn downloads_are_those_of_the_service_that_is_asked_for() {
    let dir = Dir::new();
    let daemons = Daemons::start(&dir.0, case("link"), nobody);
    let objects = |arguments: &[&str]| {
        let (code, out, err) = run(&dir.0, &[&["link", "--json"], arguments].concat());
        assert_eq!(code, 0, "{arguments:?}: {err}");
        let text = |line| object(line)["object"].as_str().unwrap().to_owned();
        out.lines().map(text).collect::<Vec<_>>()
    };
    let all = objects(&[]);
    assert_eq!(all.len(), 3);
    assert_eq!(objects(&["--limit", "1"]), all[..1], "the oldest first");
    assert_eq!(objects(&["--service", "files"]), ["/pub/disk.iso"]);
    let (_, out, _) = run(&dir.0, &["link", "--service", "files", "--count", "--json"]);
    assert_eq!((out.lines().count(), &object(&out)["running"]), (1, &1.into()));
    let (code, _, err) = run(&dir.0, &["link", "--service", "web"]);
    assert_eq!(code, 2);
    assert!(err.contains("no service \"web\": the links of this cluster are shop, files"), "{err}");
    let (_, out, _) = run(&dir.0, &["link"]);
    assert!(!out.contains('\u{1b}'), "a client's word moves no cursor: {out:?}");
    daemons.case().link.as_mut().unwrap().downloads.clear();
    let (_, out, _) = run(&dir.0, &["link"]);
    assert!(out.ends_with("\n0 of 0 downloads that run\n"), "{out}");

    let other = Dir::new();
    let _daemons = Daemons::start(&other.0, case("steady"), nobody);
    let (code, _, err) = run(&other.0, &["link"]);
    assert_eq!(code, 3);
    assert!(
        err.contains("no dsc-link is running") && err.ends_with("systemctl start dsc-link\n"),
        "{err}"
    );
}
