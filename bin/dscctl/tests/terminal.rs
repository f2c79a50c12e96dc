//! `top` in a real terminal against daemons on real sockets: keys become commands, what becomes of them is said, and the
//! terminal is given back, however the program ends.

use crate::answer::{Case, case};
use crate::fake::{Daemons, Dir, dscctl, run};
use crate::pty::{PATIENCE, Pty};
use dsc_wire::local::{Command, Reply};
use dsc_wire::{Incarnation, NodeId, Time, VipId};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process;
use std::sync::mpsc;
use std::thread;

fn lasting(name: &str) -> Case {
    let mut case = case(name);
    case.view.lease_end = Time::NEVER;
    case
}

/// Moves VIPs and refuses all else.
fn obey(case: &mut Case, command: Command, wait_ms: u64) -> Option<Reply> {
    assert_eq!(wait_ms, 7000, "--timeout 7");
    let Command::MoveVip { vip, node } = command else {
        return Some(Reply::Refused { reason: "node#1 is a witness".into() });
    };
    case.view.vips[vip.index()].host = Some(node);
    case.view.number += 1;
    Some(Reply::Done { text: "done".into() })
}

#[test]
fn keys_change_the_cluster_and_the_terminal_is_given_back() {
    let dir = Dir::new();
    let daemons = Daemons::start(&dir.0, lasting("steady"), obey);
    let mut top = Pty::run(&dscctl(&dir.0, &["top", "--timeout", "7"]));
    top.see("shop: n1 member, 3 of 3 in ring");
    top.see_taken();
    top.see("+10.1.0.102");
    top.press("jm");
    top.see("move 10.1.0.100 to n2? arrows choose");
    top.press("\x1b[C\r");
    top.see("move 10.1.0.100 to n3? y/n");
    assert_eq!(daemons.case().view.vips[0].host, Some(NodeId(0)), "not before the answer");
    top.press("y");
    top.see("10.1.0.100 moved from n1 to n3; all 3 members show it");
    assert_eq!(daemons.case().view.vips[0].host, Some(NodeId(2)));
    // The selection has gone there with it, so up and left is n2.
    top.see("+10.1.0.100     +10.1.0.102");
    top.press("k\x1b[Dd");
    top.see("drain n2: hand its VIPs over one by one? y/n");
    top.press("y");
    top.see("cannot drain n2: n2 is a witness");
    // What others change is seen.
    let other = VipId(4).index();
    daemons.case().view.vips[other].next = Some(NodeId(0));
    daemons.case().view.number += 1;
    top.see(">10.2.0.100");
    top.press("q");
    assert!(top.end().success());
}

#[test]
fn a_daemon_that_goes_is_told_and_found_again() {
    let dir = Dir::new();
    let daemons = Daemons::start(&dir.0, lasting("steady"), obey);
    let mut top = Pty::run(&dscctl(&dir.0, &["top"]));
    top.see("3 of 3 in ring");
    drop(daemons);
    top.see("! this is old: cannot ask");
    top.press("jm");
    top.see("the picture is old: wait until dsc-ringd answers");
    let mut later = lasting("steady");
    later.view.members.pop();
    // Another life of it, which counts its events from 1 again.
    later.view.incarnation = Incarnation(7);
    later.events.truncate(1);
    let _daemons = Daemons::start(&dir.0, later, obey);
    top.see("2 of 3 in ring");
    top.see("founded a ring");
    top.press("\x03");
    assert!(top.end().success());
}

#[test]
fn the_terminal_is_given_back_when_the_program_is_told_to_end() {
    let dir = Dir::new();
    let _daemons = Daemons::start(&dir.0, lasting("steady"), obey);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let top = Pty::run(&dscctl(&dir.0, &["top"]));
        top.see("3 of 3 in ring");
        top.see_taken();
        kill(Pid::from_raw(top.program.0.id() as i32), signal).unwrap();
        assert_eq!(top.end().signal(), Some(signal as i32));
    }
}

/// It cannot give back what takes nothing, but it must not stay for ever.
#[test]
fn a_terminal_that_takes_nothing_does_not_keep_the_program() {
    let dir = Dir::new();
    let _daemons = Daemons::start(&dir.0, lasting("steady"), obey);
    let top = Pty::run(&dscctl(&dir.0, &["top"]));
    top.see("3 of 3 in ring");
    top.stall();
    let (pid, mut program) = (Pid::from_raw(top.program.0.id() as i32), top.program);
    let (told, ended) = mpsc::channel();
    let waiting = thread::spawn(move || told.send(program.0.wait().unwrap()).unwrap());
    let ended = (0..200).find_map(|_| {
        // It may have gone meanwhile.
        let _ = kill(pid, Signal::SIGTERM);
        ended.recv_timeout(PATIENCE / 200).ok()
    });
    if ended.is_none() {
        kill(pid, Signal::SIGKILL).unwrap();
    }
    waiting.join().unwrap();
    let ended = ended.expect("an end within so long");
    assert_eq!(ended.signal(), Some(Signal::SIGTERM as i32));
}

/// Runs itself in a terminal, with a word in the environment, and there takes the terminal and panics.
#[test]
fn the_terminal_is_given_back_after_a_panic() {
    const PANIC: &str = "DSCCTL_TEST_PANIC";
    if std::env::var_os(PANIC).is_some() {
        let _terminal = dscctl::top::terminal::Terminal::take().unwrap();
        panic!("as was to be shown");
    }
    let mut itself = process::Command::new(std::env::current_exe().unwrap());
    itself.args(["--exact", "terminal::the_terminal_is_given_back_after_a_panic", "--nocapture"]);
    itself.env(PANIC, "1");
    let panicked = Pty::run(&itself);
    panicked.see("as was to be shown");
    assert_eq!(panicked.end().code(), Some(101));
}

/// ssh is asked for a terminal there; this one, like sshd, gives the words to a login shell.
#[test]
fn another_node_shows_its_screen_here() {
    let (dir, bin) = (Dir::new(), Dir::new());
    let _daemons = Daemons::start(&dir.0, lasting("steady"), obey);
    let ssh = bin.0.join("ssh");
    fs::write(&ssh, "#!/bin/sh\n[ \"$1\" = -t ] || exit 9\nshift 5\nexec sh -c \"$*\"\n").unwrap();
    fs::set_permissions(&ssh, PermissionsExt::from_mode(0o755)).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_dscctl")).parent().unwrap();
    let path = format!("{}:{}:/usr/bin:/bin", bin.0.display(), program.display());
    let mut far = dscctl(&dir.0, &["top", "-H", "n2"]);
    far.env("PATH", path);
    let mut top = Pty::run(&far);
    top.see("3 of 3 in ring");
    top.see_taken();
    top.press("q");
    assert!(top.end().success());
}

#[test]
fn without_a_terminal_it_says_what_there_is_instead() {
    let dir = Dir::new();
    let (code, out, err) = run(&dir.0, &["top"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert_eq!(err, "dscctl: top needs a terminal: in a pipe, use dscctl status --watch\n");
    assert_eq!(run(&dir.0, &["top", "--json"]).0, 2);

    // In a terminal, but without a daemon: no screen, the usual words.
    let mut top = Pty::run(&dscctl(&dir.0, &["top"]));
    top.see("no dsc-ringd is running on this node");
    assert_eq!(top.program.0.wait().unwrap().code(), Some(3));
}
