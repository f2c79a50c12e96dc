//! Configurations as operators change them: what is shown, what is sent, what is said of what came of it. The daemon is a fake on
//! real sockets that decides as every member would.

use crate::answer::{Case, case};
use crate::fake::{Daemons, Dir, dscctl, run};
use dsc_conf::Config;
use dsc_wire::local::Reply;
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

const SHOP: &str = r#"
[cluster]
name = "shop"
[[subnet]]
name = "ext"
networks = ["10.1.0.0/24"]
pool = ["10.1.0.100-10.1.0.103"]
[[subnet]]
name = "int"
networks = ["10.2.0.0/24"]
pool = ["10.2.0.100"]
[[node]]
name = "n1"
addresses = { ext = "10.1.0.1", int = "10.2.0.1" }
[[node]]
name = "n2"
addresses = { ext = "10.1.0.2", int = "10.2.0.2" }
[[node]]
name = "n3"
addresses = { ext = "10.1.0.3", int = "10.2.0.3" }
[[vip]]
address = "10.1.0.100"
preferred = "n3"
"#;

fn parse(text: &str) -> Config {
    Config::parse(text, "dsc.toml").unwrap_or_else(|p| panic!("{p}"))
}

fn shop() -> Case {
    Case { config: Some(parse(SHOP)), ..case("steady") }
}

fn daemons(dir: &Dir) -> Daemons {
    Daemons::start(&dir.0, shop(), |_, _, _| panic!("no command was given"))
}

fn file(dir: &Dir, text: &str) -> PathBuf {
    let path = dir.0.join("new.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn object(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// "87 ms" is another each time.
fn without_ms(text: &str) -> String {
    let (head, tail) = text.split_once(", ").unwrap_or_else(|| panic!("{text}"));
    let tail = tail.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{head}, N{tail}")
}

#[test]
fn a_file_is_compared_shown_and_put_in_force() {
    let dir = Dir::new();
    let daemons = daemons(&dir);
    let text = SHOP
        .replace("10.1.0.103", "10.1.0.104")
        .replace("preferred = \"n3\"", "preferred = \"n2\"");
    let path = file(&dir, &text);
    let path = path.to_str().unwrap();
    let lines = "~ vip 10.1.0.100 preferred n3 -> n2\n+ vip 10.1.0.104 on ext\n";
    let (code, out, err) = run(&dir.0, &["config", "diff", path]);
    assert_eq!((code, out), (1, format!("{lines}2 changes to version 0\n")), "{err}");
    let (code, out, _) = run(&dir.0, &["config", "apply", path, "--dry-run"]);
    assert_eq!((code, out), (0, format!("{lines}2 changes to version 0; nothing was changed\n")));
    assert_eq!(daemons.case().config, Some(parse(SHOP)));
    let (code, out, err) = run(&dir.0, &["config", "apply", path]);
    assert_eq!(code, 0, "{err}");
    let told = "version 1 is in force on all 3 members, N ms after it was asked for: 2 changes\n";
    assert_eq!(without_ms(out.strip_prefix(lines).unwrap()), told);
    let in_force = daemons.case().config.clone().unwrap();
    assert_eq!((in_force.version, in_force.vips.bound()), (1, 6));
    for verb in ["diff", "apply"] {
        let (code, out, _) = run(&dir.0, &["config", verb, path]);
        assert_eq!((code, out.as_str()), (0, "nothing to change: version 1 says the same\n"));
    }
    let (code, out, _) = run(&dir.0, &["config", "show"]);
    assert_eq!((code, &parse(&out)), (0, &in_force));
    let (_, out, _) = run(&dir.0, &["config", "show", "--json"]);
    let shown = object(&out);
    assert_eq!(
        (&shown["version"], shown["document"].as_str()),
        (&1.into(), Some(&*in_force.document()))
    );
}

#[test]
fn scripts_get_each_thing_with_its_values() {
    let dir = Dir::new();
    let _daemons = daemons(&dir);
    let path = file(
        &dir,
        &SHOP
            .replace("10.1.0.103", "10.1.0.104")
            .replace("preferred = \"n3\"\n", "persistence = 0\n"),
    );
    let (code, out, _) = run(&dir.0, &["--json", "config", "apply", path.to_str().unwrap()]);
    let told = object(&out);
    assert_eq!((code, &told["result"], &told["version"]), (0, &"done".into(), &1.into()));
    assert!(told["took_ms"].is_u64());
    let changes = told["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 2);
    assert_eq!(
        changes[0]["values"][0],
        serde_json::json!({"key": "preferred", "from": "n3", "to": "none"})
    );
    assert_eq!((&changes[1]["change"], &changes[1]["what"]), (&"added".into(), &"vip".into()));
    let wrong = file(&dir, &SHOP.replace("10.1.0.2", "10.1.0.22"));
    let (code, out, err) = run(&dir.0, &["--json", "config", "apply", wrong.to_str().unwrap()]);
    let told = object(&out);
    assert_eq!((code, err.as_str(), &told["result"]), (4, "", &"refused".into()));
    assert!(told["problems"][0]["help"].as_str().unwrap().contains("dscctl node remove n2"));
}

#[test]
fn what_cannot_be_applied_is_told_with_its_place_and_nothing_is_sent() {
    let dir = Dir::new();
    let daemons = daemons(&dir);
    let cases = [
        (SHOP.replace("10.1.0.2", "10.1.0.22"), "but 10.1.0.2 in the configuration in force"),
        (SHOP.replace("pool", "pond"), "`pond` is not a key of [[subnet]]"),
        (SHOP.replace("\"shop\"", "\"shop\"\nport = 9000"), "put the new file on each of them"),
        (
            SHOP.replace("\"shop\"", "\"shop\"\nversion = 3"),
            "it was made from version 3, but 0 is in force",
        ),
        (SHOP.replace("\"shop\"", "\"other\""), "is this the file of another cluster?"),
        ("x".repeat(dsc_conf::TEXT_MAX + 1), "is longer than"),
    ];
    for (text, told) in cases {
        let path = file(&dir, &text);
        let path = path.to_str().unwrap();
        let (code, out, err) = run(&dir.0, &["config", "apply", path]);
        assert_eq!((code, out.as_str()), (4, ""), "{told}");
        assert!(err.contains(told), "{err}");
        assert!(
            err.lines().last().unwrap().starts_with(&format!("dscctl: cannot apply {path}: ")),
            "{err}"
        );
    }
    let (code, _, err) = run(&dir.0, &["config", "apply", "/dev/null/x"]);
    assert_eq!((code, err.as_str()), (4, "dscctl: cannot read /dev/null/x: not a directory\n"));
    assert_eq!(daemons.case().config, Some(parse(SHOP)));
}

#[test]
fn the_cluster_has_the_last_word() {
    let dir = Dir::new();
    let daemons = daemons(&dir);
    let path = file(&dir, &SHOP.replace("10.1.0.103", "10.1.0.104"));
    let path = path.to_str().unwrap();
    let reason = "node#1 has refused it: its disk is full".to_owned();
    daemons.case().refusal = Some(Reply::Refused { reason });
    let (code, out, err) = run(&dir.0, &["config", "apply", path]);
    assert_eq!((code, out.as_str()), (4, "+ vip 10.1.0.104 on ext\n"));
    assert_eq!(err, format!("dscctl: cannot apply {path}: n2 has refused it: its disk is full\n"));
    daemons.case().refusal = Some(Reply::Pending { text: "node#2 has not stored it".into() });
    let (code, _, err) = run(&dir.0, &["config", "apply", path, "--timeout", "0.5"]);
    assert_eq!(code, 4);
    assert_eq!(
        err,
        format!(
            "dscctl: not seen by every member within 0.5 s: apply {path}: n3 has not stored it; it may still happen\n"
        )
    );
    daemons.case().refusal = None;
    let (code, out, _) = run(&dir.0, &["config", "apply", path, "--no-wait"]);
    assert_eq!(code, 0);
    assert!(
        out.ends_with(&format!("asked to apply {path} as version 1; not waited for\n")),
        "{out}"
    );
    let mut other = shop();
    other.config = None;
    *daemons.case() = other;
    let (code, _, err) = run(&dir.0, &["config", "apply", path]);
    assert_eq!((code, err.as_str()), (4, "dscctl: not by this case\n"), "of an older build");
}

#[test]
fn a_file_may_come_through_a_pipe() {
    let dir = Dir::new();
    let _daemons = daemons(&dir);
    let mut child = dscctl(&dir.0, &["config", "apply", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = SHOP.replace("10.1.0.103", "10.1.0.104");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.starts_with("+ vip 10.1.0.104 on ext\nversion 1 is in force"), "{out}");
}

#[test]
fn a_node_comes_and_goes_and_nothing_else_is_touched() {
    let dir = Dir::new();
    let daemons = daemons(&dir);
    let add = ["node", "add", "n4", "ext=10.1.0.4", "int=10.2.0.4"];
    let line = "+ node n4 ext 10.1.0.4; int 10.2.0.4\n";
    let (code, out, _) = run(&dir.0, &[&add[..], &["--dry-run"]].concat());
    assert_eq!((code, out), (0, format!("{line}1 change to version 0; nothing was changed\n")));
    let (code, out, err) = run(&dir.0, &add);
    assert_eq!(code, 0, "{err}");
    let told = "version 1 is in force on all 3 members, N ms after it was asked for: 1 change\n";
    assert_eq!(without_ms(out.strip_prefix(line).unwrap()), told);
    let (code, _, err) = run(&dir.0, &add);
    assert_eq!(code, 4);
    assert!(err.contains("two nodes are called `n4`"), "{err}");
    assert!(err.ends_with("dscctl: cannot add n4: 3 problems\n"), "{err}");
    let (code, _, err) = run(&dir.0, &["node", "add", "n5", "ext=10.9.0.5"]);
    assert_eq!(code, 4);
    assert!(err.contains("is outside subnet `ext`"), "{err}");
    assert_eq!(run(&dir.0, &["node", "add", "n5"]).0, 2);
    assert_eq!(run(&dir.0, &["node", "add", "n5", "ext"]).0, 2);
    let (code, out, _) = run(&dir.0, &["node", "remove", "n2"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("- node n2\nversion 2 is in force on all 3 members, "), "{out}");
    let (code, _, err) = run(&dir.0, &["node", "remove", "n2"]);
    assert_eq!(
        (code, err.as_str()),
        (2, "dscctl: no node \"n2\": the nodes of this cluster are n1, n3, n4\n")
    );
    let (code, _, err) = run(&dir.0, &["node", "remove", "n3"]);
    assert_eq!(code, 4);
    assert!(err.contains("node `n3` is the preferred host of 10.1.0.100"), "{err}");
    let config = daemons.case().config.clone().unwrap();
    assert_eq!(config.names().nodes, ["n1", "", "n3", "n4"]);
    assert_eq!(config.changes(&parse(SHOP)).len(), 2, "and nothing else");
}

#[test]
fn old_files_become_a_configuration_or_it_is_said_why_not() {
    let dir = Dir::new();
    let put = |name: &str, text: &str| {
        let path = dir.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let nodes = put("nodemap.cfg", "131.143.36.1\n131.143.36.2\n");
    let vips = put(
        "vip.cfg",
        "virtual IP Pool\nVIRTUAL_IP 131.143.36.0 {\n131.143.36.91,\n131.143.36.92\n}\n",
    );
    let import = ["config", "import", &nodes, &vips, "--cluster", "old"];
    let (code, out, err) = run(&dir.0, &import);
    assert_eq!((code, err.as_str()), (0, ""));
    let config = parse(&out);
    assert_eq!((config.name.as_str(), config.nodes.count(), config.vips.count()), ("old", 2, 2));
    let (_, out, _) = run(&dir.0, &[&import[..], &["--json"]].concat());
    assert_eq!(parse(object(&out)["document"].as_str().unwrap()), config);
    let wrong = put("vip.cfg", "VIRTUAL_IP 131.143.36.0 {\n131.143.36.91;\n");
    let (code, out, err) = run(&dir.0, &["config", "import", &nodes, &wrong]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains(&format!("--> {wrong}:2:14")), "{err}");
    let (code, out, _) = run(&dir.0, &["config", "import", &nodes, &wrong, "--json"]);
    let told = object(&out);
    assert_eq!((code, &told["problems"][0]["problems"][0]["line"]), (1, &2.into()));
    let (code, _, err) = run(&dir.0, &["config", "import", "/etc/hosts"]);
    assert_eq!(code, 2);
    assert!(err.contains("expected nodemap.cfg, vip.cfg, localmonitor.cfg"), "{err}");
    let (code, _, err) = run(&dir.0, &["config", "import", "/dev/null/vip.cfg"]);
    assert_eq!(
        (code, err.as_str()),
        (4, "dscctl: cannot read /dev/null/vip.cfg: not a directory\n")
    );
}

#[test]
fn ten_thousand_lines_are_read_and_their_problems_are_bounded() {
    let dir = Dir::new();
    let daemons = daemons(&dir);
    let comments = "# nothing\n".repeat(10_000) + &SHOP.replace("10.1.0.103", "10.1.0.104");
    let path = file(&dir, &comments);
    let (code, out, err) = run(&dir.0, &["config", "apply", path.to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("+ vip 10.1.0.104 on ext\nversion 1 is in force"), "{out}");
    let entry = "[[vip]]\naddress = \"10.1.0.100\"\ncolour = 1\n";
    let path = file(&dir, &(SHOP.to_owned() + &entry.repeat(3_300)));
    let (code, _, err) = run(&dir.0, &["config", "apply", path.to_str().unwrap()]);
    assert_eq!(code, 4);
    assert!(
        err.contains("`colour` is not a key of [[vip]]") && err.contains("more not shown"),
        "{err}"
    );
    assert!(err.len() < 40_000, "{}", err.len());
    let newer = parse(SHOP).document().replacen(env!("CARGO_PKG_VERSION"), "99.0.0", 1);
    let path = file(&dir, &(newer + "[colours]\n"));
    let (code, _, err) = run(&dir.0, &["config", "apply", path.to_str().unwrap()]);
    assert_eq!(code, 4);
    assert!(err.contains("it was written by dsc 99.0.0, a newer build than this one"), "{err}");
    assert_eq!(daemons.case().config.as_ref().unwrap().version, 1);
}
