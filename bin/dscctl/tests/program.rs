//! The program as its users run it: exit codes, what goes where, waiting, following, other nodes. The daemons are fakes
//! on real sockets; what they would say is below `views/`.

use crate::answer::{Case, case};
use crate::fake::{self, Daemons, Dir, dscctl, run};
use dsc_wire::local::{Command, Duty, EventKind, Reply};
use dsc_wire::{Incarnation, NodeId, Time, VipId};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Stdio};

/// A case whose lease lasts by the real clock.
fn lasting(name: &str) -> Case {
    let mut case = case(name);
    case.view.lease_end = Time::NEVER;
    case
}

fn refuse(_: &mut Case, _: Command, _: u64) -> Option<Reply> {
    Some(Reply::Refused { reason: "node#2 is closed".into() })
}

/// Does what it is told, at once.
fn obey(case: &mut Case, command: Command, wait_ms: u64) -> Option<Reply> {
    if wait_ms == 0 {
        return Some(Reply::Pending { text: "not asked to wait".into() });
    }
    match command {
        Command::MoveVip { vip, node } => case.view.vips[vip.index()].host = Some(node),
        Command::Duty { node, duty } => {
            case.view.nodes[node.index()].duty =
                if duty == Duty::Draining { Duty::Closed } else { duty };
            for vip in &mut case.view.vips {
                if duty != Duty::Open && vip.host == Some(node) {
                    vip.host = Some(NodeId(0));
                }
            }
        }
        _ => {}
    }
    case.view.number += 1;
    Some(Reply::Done { text: format!("done within {wait_ms} ms") })
}

fn object(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn exit_codes_of_reads() {
    let dir = Dir::new();
    let (code, out, err) = run(&dir.0, &["status"]);
    assert_eq!((code, out.as_str()), (3, ""));
    let start = format!("dscctl: cannot ask {}/status: no dsc-ringd is running", dir.0.display());
    assert!(err.starts_with(&start) && err.ends_with("systemctl start dsc-ringd\n"), "{err}");

    let daemons = Daemons::start(&dir.0, lasting("steady"), refuse);
    let alone = run(&dir.0, &[]);
    assert_eq!(alone.0, 0, "{}", alone.2);
    assert!(alone.1.starts_with("cluster   shop\n"), "{}", alone.1);
    for prefix in ["status", "st", "sta"] {
        assert_eq!(run(&dir.0, &[prefix]).0, 0, "{prefix}");
    }
    assert!(!alone.1.contains('\u{1b}'), "colour or control in a pipe");
    assert_eq!(run(&dir.0, &["vip", "10.1.0.101"]).0, 0);
    *daemons.case() = lasting("crash");
    for (arguments, expected) in [
        (&["status"][..], 1),
        (&["vip"], 0),
        (&["vip", "10.1.0.100"], 0),
        (&["vip", "10.2.0.100"], 1),
        (&["node"], 0),
        (&["node", "n3"], 1),
        (&["events"], 0),
        (&["counters"], 0),
        (&["service"], 0),
        (&["backend"], 0),
        (&["flows"], 0),
    ] {
        assert_eq!(run(&dir.0, arguments).0, expected, "{arguments:?}");
    }
}

#[test]
fn what_does_not_exist_is_a_usage_error_that_says_what_does() {
    let dir = Dir::new();
    let _daemons = Daemons::start(&dir.0, lasting("steady"), |_, _, _| panic!("asked ringd"));
    for (arguments, listed) in [
        (&["vip", "10.9.9.9"][..], "10.1.0.100, 10.1.0.101"),
        (&["node", "n9"], "n1, n2, n3"),
        (&["move-vip", "10.1.0.100", "n9"], "n1, n2, n3"),
        (&["move-vip", "10.9.9.9", "n1"], "10.1.0.100, 10.1.0.101"),
        (&["pin", "10.1.0.100", "n9"], "n1, n2, n3"),
        (&["node", "close", "n9"], "n1, n2, n3"),
        (&["flows", "--service", "ftp"], "web, six, ssh"),
    ] {
        let (code, out, err) = run(&dir.0, arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(err.contains(listed), "{err}");
    }
    for arguments in [
        &["x"][..],
        &["vip", "n1"],
        &["move-vip", "10.1.0.100"],
        &["--timeout", "0"],
        &["--timeout", "61"],
        &["status", "--local", "--global"],
        &["-H", "-oProxyCommand=x"],
        &["-H", ""],
        &["keygen", "-", "--add"],
        &["keygen", "--add", "--force"],
        &["service", "web"],
        &["flows", "--limit", "0"],
        &["flows", "--limit", "10001"],
        &["flows", "--limit", "9", "--count"],
        &["flows", "--client", "n1"],
        &["flows", "--backend", "10.2.0.201"],
    ] {
        assert_eq!(run(&dir.0, arguments).0, 2, "{arguments:?}");
    }
}

#[test]
fn a_change_is_told_by_what_the_members_show() {
    let dir = Dir::new();
    let daemons = Daemons::start(&dir.0, lasting("steady"), obey);
    for (arguments, expected) in [
        (
            &["move-vip", "10.1.0.100", "n2"][..],
            "10.1.0.100 moved from n1 to n2; all 3 members show it\n",
        ),
        (
            &["move-vip", "10.1.0.100", "n2"],
            "10.1.0.100 is hosted by n2 already; all 3 members show it\n",
        ),
        (&["pin", "10.1.0.100", "n2"], "10.1.0.100 is pinned to n2; all 3 members show it\n"),
        (&["pin", "10.1.0.100"], "10.1.0.100 is pinned where it is; all 3 members show it\n"),
        (&["unpin", "10.1.0.100"], "10.1.0.100 is free; all 3 members show it\n"),
        (
            &["node", "drain", "n2"],
            "n2 is closed; moved: 10.1.0.100 from n2 to n1, 10.1.0.101 from n2 to n1, \
             10.2.0.100 from n2 to n1; all 3 members show it\n",
        ),
        (&["node", "open", "n2"], "n2 is open; all 3 members show it\n"),
    ] {
        assert_eq!(run(&dir.0, arguments), (0, expected.into(), String::new()));
    }
    let (code, out, _) = run(&dir.0, &["--json", "move-vip", "fd00:1::100", "n3"]);
    let told = object(&out);
    assert_eq!((code, &told["result"], &told["command"]), (0, &"done".into(), &"move-vip".into()));
    assert_eq!(told["moved"][0]["to"], "n3");
    let vip = VipId(3);
    assert_eq!(daemons.case().view.vips[vip.index()].host, Some(NodeId(2)));
}

#[test]
fn a_change_refused_or_not_seen_in_time_is_a_failure_that_says_why() {
    let dir = Dir::new();
    let daemons = Daemons::start(&dir.0, lasting("steady"), refuse);
    let (code, out, err) = run(&dir.0, &["move-vip", "10.1.0.100", "n3"]);
    assert_eq!((code, out.as_str()), (4, ""));
    assert_eq!(err, "dscctl: cannot move 10.1.0.100 to n3: n3 is closed\n");
    let (code, out, err) = run(&dir.0, &["--json", "node", "close", "n3"]);
    assert_eq!((code, err.as_str()), (4, ""));
    assert_eq!(object(&out)["result"], "refused");
    drop(daemons);

    let slow = Daemons::start(&dir.0, lasting("steady"), |_, _, wait_ms| {
        Some(Reply::Pending { text: format!("node#1 has not shown it after {wait_ms} ms") })
    });
    let (code, _, err) = run(&dir.0, &["--timeout", "1.5", "unpin", "10.1.0.100"]);
    assert_eq!(code, 4);
    let expected = "dscctl: not seen by every member within 1.5 s: unpin 10.1.0.100: n2 has not \
                    shown it after 1500 ms; it may still happen\n";
    assert_eq!(err, expected);
    let (code, out, err) = run(&dir.0, &["--no-wait", "unpin", "10.1.0.100"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, "asked to unpin 10.1.0.100; not waited for\n");
    drop(slow);

    let _mute = Daemons::start(&dir.0, lasting("steady"), |_, _, _| None);
    let (code, _, err) = run(&dir.0, &["--timeout", "0.1", "unpin", "10.1.0.100"]);
    assert_eq!(code, 3);
    assert!(err.contains("/control: no answer within 2.1 s"), "{err}");
    assert!(err.ends_with("the change may still happen\n"), "{err}");
}

#[test]
fn a_user_without_the_right_is_told_whose_right_it_is() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65534;
    let dir = Dir::new();
    // Where nobody can read it, whatever directory the build is in.
    let program = dir.0.join("dscctl");
    std::fs::copy(env!("CARGO_BIN_EXE_dscctl"), &program).unwrap();
    std::fs::set_permissions(&dir.0, PermissionsExt::from_mode(0o755)).unwrap();
    let _daemons = Daemons::start(&dir.0, lasting("steady"), refuse);
    for (arguments, open, group) in [
        (&["status"][..], None, "group dsc\n"),
        (&["unpin", "10.1.0.100"], Some("status"), "group dsc-admin\n"),
    ] {
        if let Some(name) = open {
            std::fs::set_permissions(dir.0.join(name), PermissionsExt::from_mode(0o666)).unwrap();
        }
        let mut command = std::process::Command::new(&program);
        command.arg("--run-dir").arg(&dir.0).args(arguments).uid(NOBODY).gid(NOBODY);
        let (code, _, err) = fake::told(command.output().expect("this test needs root"));
        assert_eq!(code, 4, "{err}");
        assert!(err.contains("permission denied: needs root or "), "{err}");
        assert!(err.ends_with(group), "{err}");
    }
}

#[test]
fn without_fwd_the_local_status_and_the_counters_say_so() {
    let dir = Dir::new();
    let _daemons = Daemons::start(&dir.0, lasting("troubled"), refuse);
    let (code, out, _) = run(&dir.0, &["status", "--local", "--json"]);
    assert_eq!(code, 1);
    let words: Vec<Value> =
        object(&out)["warnings"].as_array().unwrap().iter().map(|w| w["warning"].clone()).collect();
    assert!(words.contains(&"fwd-unreachable".into()), "{words:?}");
    let (code, out, err) = run(&dir.0, &["counters"]);
    assert_eq!(code, 3);
    assert!(
        out.contains("tokens_accepted") && err.contains("start it with systemctl start dsc-fwd")
    );
}

#[test]
fn flows_are_chosen_by_all_that_is_given() {
    let dir = Dir::new();
    let _daemons = Daemons::start(&dir.0, lasting("steady"), refuse);
    let (of_250, far) = ("10.1.0.250:40000 10.1.0.250:40001", "192.0.2.9:443");
    for (arguments, clients) in [
        (&[][..], &*format!("10.1.0.9:40000 {of_250} 10.1.0.251:40000 {far} [fd00:1::fa]:40000")),
        (&["--client", "10.1.0.250"], of_250),
        (&["--service", "six"], "[fd00:1::fa]:40000"),
        (&["--backend", "10.2.0.201:8080"], "10.1.0.250:40001 10.1.0.251:40000"),
        (&["--backend", "[fd00:2::201]:53"], "[fd00:1::fa]:40000"),
        (&["--backend", "10.2.0.201:51000"], far),
        (&["--client", "10.1.0.250", "--backend", "10.2.0.201:8080"], "10.1.0.250:40001"),
        (&["--client", "10.1.0.250", "--service", "six"], ""),
    ] {
        let (code, out, _) = run(&dir.0, &[&["flows", "--json"], arguments].concat());
        assert_eq!(code, 0, "{arguments:?}");
        let client = |line| object(line)["client"].as_str().unwrap().parse().unwrap();
        let mut found: Vec<SocketAddr> = out.lines().map(client).collect();
        found.sort_unstable();
        let expected: Vec<SocketAddr> =
            clients.split_whitespace().map(|c| c.parse().unwrap()).collect();
        assert_eq!(found, expected, "{arguments:?}");
    }
    let (_, out, _) = run(&dir.0, &["flows", "--service", "web", "--limit", "1"]);
    assert!(out.ends_with("\n1 of 3 flows that match; the table has 6 of 131072\n"), "{out}");
    let (_, out, _) = run(&dir.0, &["flows", "--service", "web", "--count", "--json"]);
    assert_eq!((&object(&out)["matched"], &object(&out)["now"]), (&3.into(), &6.into()));
}

/// A program that runs until it is killed.
struct Endless {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Endless {
    fn start(dir: &Dir, arguments: &[&str]) -> Endless {
        let mut child = dscctl(&dir.0, arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Endless { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "the program has ended");
        line
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn watching_shows_each_new_view() {
    let dir = Dir::new();
    let daemons = Daemons::start(&dir.0, lasting("steady"), refuse);
    let mut watch = Endless::start(&dir, &["status", "--watch", "--json"]);
    assert_eq!(object(&watch.line())["view"], 42);
    daemons.case().view.number = 43;
    assert_eq!(object(&watch.line())["view"], 43);
}

#[test]
fn following_goes_on_through_a_restart_of_the_daemon() {
    let dir = Dir::new();
    let daemons = Daemons::start(&dir.0, lasting("steady"), refuse);
    let arguments = ["events", "--follow", "--since", "4", "--json", "--timeout", "5"];
    let mut follow = Endless::start(&dir, &arguments);
    assert_eq!(object(&follow.line())["number"], 5);
    let next = |number, kind| {
        let mut event = case("steady").events[0].clone();
        (event.number, event.kind) = (number, kind);
        event
    };
    daemons.case().events.push(next(6, EventKind::Regenerated));
    assert_eq!(object(&follow.line())["event"], "regenerated");
    drop(daemons);
    let mut restarted = lasting("steady");
    restarted.view.incarnation = Incarnation(77);
    restarted.events = vec![next(1, EventKind::Founded)];
    let _daemons = Daemons::start(&dir.0, restarted, refuse);
    let event = object(&follow.line());
    assert_eq!((&event["number"], &event["event"]), (&1.into(), &"founded".into()));
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let dir = Dir::new();
    let _daemons = Daemons::start(&dir.0, lasting("steady"), refuse);
    for arguments in [&["status"][..], &["events", "--json"], &["completions", "bash"], &["--help"]]
    {
        let mut command = dscctl(&dir.0, arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let status = child.wait().unwrap();
        assert_eq!((status.code(), err.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let dir = Dir::new();
    let _daemons = Daemons::start(&dir.0, lasting("steady"), refuse);
    for arguments in [&["status"][..], &["events", "--json"], &["completions", "zsh"]] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let output = dscctl(&dir.0, arguments).stdout(full).output().unwrap();
        let (code, _, err) = fake::told(output);
        assert_eq!((code, err.as_str()), (4, "dscctl: cannot print: no space left on device\n"));
    }
}

#[test]
fn another_node_runs_the_same_words() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    let bin = Dir::new();
    let _daemons = Daemons::start(&dir.0, lasting("crash"), refuse);
    // Like sshd: the words after the destination, joined by blanks, go to a login shell.
    let ssh = "#!/bin/sh\n[ \"$1$3\" = -o-- ] || exit 9\necho \"to $4, $2\" >&2\nshift 4\n\
               [ -n \"$DOWN\" ] && exit 255\nexec sh -c \"$*\"\n";
    std::fs::write(bin.0.join("ssh"), ssh).unwrap();
    std::fs::set_permissions(bin.0.join("ssh"), PermissionsExt::from_mode(0o755)).unwrap();
    let remote = bin.0.join("dscctl");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_dscctl"), &remote).unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.0.display());
    let far = |arguments: &[&str], down: &str| {
        let mut command = dscctl(&dir.0, arguments);
        fake::told(command.env("PATH", &path).env("DOWN", down).output().unwrap())
    };
    let (code, out, err) = far(&["-H", "ssh://ops@n2", "vip", "10.2.0.100", "--json"], "");
    assert_eq!(
        (code, err.as_str()),
        (1, "to ssh://ops@n2, ConnectTimeout=10\n"),
        "the answer there is no"
    );
    assert_eq!(object(&out)["state"], "unserved");
    let (code, _, err) = far(&["-Hn2", "node", "a; touch /dev/null/x '\"$(id)"], "");
    assert_eq!(code, 2);
    assert!(err.contains("no node \"a; touch /dev/null/x '\\\"$(id)\""), "{err}");
    let (code, _, err) = far(&["--host=n2", "--timeout", "2.5"], "1");
    assert_eq!(code, 3);
    assert!(err.starts_with("to n2, ConnectTimeout=3\n"), "{err}");
    assert!(err.contains("dscctl: cannot reach n2: ssh failed"), "{err}");
    std::fs::remove_file(&remote).unwrap();
    let (code, _, err) = far(&["-H", "n2"], "");
    assert_eq!(code, 3);
    assert!(err.contains("dscctl: cannot run dscctl on n2: is it installed there?"), "{err}");
}

#[test]
fn a_key_file_is_made_and_printed() {
    let dir = Dir::new();
    let file = dir.0.join("key");
    let name = file.to_str().unwrap();
    let (code, out, _) = run(&dir.0, &["keygen", name]);
    assert_eq!(code, 0);
    assert_eq!(out, format!("{name}: wrote a new key; copy the file to every node\n"));
    let (code, _, err) = run(&dir.0, &["keygen", name]);
    assert_eq!(code, 4);
    assert!(err.contains("it exists: --force replaces it"), "{err}");
    let (code, out, _) = run(&dir.0, &["keygen", name, "--add", "--json"]);
    assert_eq!((code, &object(&out)["keys"]), (0, &2.into()));
    let (code, out, _) = run(&dir.0, &["keygen", "-"]);
    assert_eq!((code, out.trim().len()), (0, 64));
    let (code, _, err) = run(&dir.0, &["keygen", "/dev/null/key"]);
    assert_eq!(code, 4);
    assert_eq!(err, "dscctl: cannot write /dev/null/key: not a directory\n");
}

#[test]
fn a_configuration_is_checked_without_any_daemon() {
    let dir = Dir::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conf/dsc.toml");
    let (code, out, _) = run(&dir.0, &["config", "check", example]);
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains(": right: cluster shop, 3 nodes, 2 subnets, 6 VIPs, 2 services, 4 backends"),
        "{out}"
    );
    let wrong = dir.0.join("wrong.toml");
    let text = std::fs::read_to_string(example).unwrap();
    std::fs::write(&wrong, text.replace("port = 7946", "port = 99999")).unwrap();
    let wrong = wrong.to_str().unwrap();
    let (code, out, _) = run(&dir.0, &["config", "check", wrong]);
    assert_eq!(code, 1);
    assert!(out.contains("99999") && out.contains(wrong), "{out}");
    let (code, out, _) = run(&dir.0, &["--json", "config", "check", wrong]);
    assert_eq!(code, 1);
    let told = object(&out);
    assert_eq!((&told["right"], &told["problems"][0]["found"]), (&false.into(), &"99999".into()));
    assert!(told["problems"][0]["line"].as_u64().unwrap() > 1);
    let (code, _, err) = run(&dir.0, &["config", "check", "/dev/null/x"]);
    assert_eq!((code, err.as_str()), (4, "dscctl: cannot read /dev/null/x: not a directory\n"));
}

#[test]
fn completions_know_every_command() {
    let dir = Dir::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, out, _) = run(&dir.0, &["completions", shell]);
        assert_eq!(code, 0, "{shell}");
        for command in dscctl::command().get_subcommands() {
            assert!(out.contains(command.get_name()), "{shell}: {}", command.get_name());
        }
    }
}
