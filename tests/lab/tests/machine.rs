//! A machine that lacks something, the kernel's clock, room on a disk, a capability: a clear error, and the cluster
//! that is there does not notice.

use dsc_lab::topology::System;
use dsc_lab::{cluster, program, wait};
use dsc_test_lab::service::{grants, start_with};
use dsc_test_lab::{REFUSES, TestLab, beside_a_calm_cluster, refused, refused_under};
use std::time::{Duration, Instant};

const N1: usize = 0;
/// Where nothing fits any more.
const FULL: &str = "/run/dsc/full";
/// Longest wait for the cluster to be whole, ms.
const WHOLE_MS: u64 = 30_000;

fn shell(lab: &TestLab, line: &str) -> String {
    lab.node(N1).unwrap().run(&["sh", "-euc", line]).unwrap()
}

/// Exit code and words of a program on n1.
fn ends(lab: &TestLab, argv: &[&str]) -> (Option<i32>, String) {
    let output = lab.node(N1).unwrap().output(argv, "").unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// How long ago the ring daemon of n1 heard of dsc-mon.
fn mon_silent_ms(lab: &TestLab) -> Option<u64> {
    let said = cluster::dscctl(lab, N1, &["status", "--local", "--json"]).ok()?;
    serde_json::from_str::<serde_json::Value>(&said).ok()?["mon_silent_ms"].as_u64()
}

/// A lease by a shifted clock would outlast the fence of the others: two hosts.
#[test]
fn a_clock_that_the_kernel_does_not_go_by_is_refused() {
    beside_a_calm_cluster(None, |lab| {
        let all: [(&str, &[&str]); 3] =
            [("dsc-ringd", &[]), ("dsc-fwd", &[]), ("dsc-fwd", &["--detach"])];
        for (daemon, arguments) in all {
            let shifted = |clock| ["unshare", "--time", "--fork", clock, "3600"];
            let said = refused_under(lab, &shifted("--boottime"), daemon, arguments);
            assert!(said.contains("shifts it by 3600 s 0 ns"), "{said}");
            // The shift of another clock does no harm: it comes as far as the lock.
            let said = refused_under(lab, &shifted("--monotonic"), daemon, arguments);
            assert!(said.contains("another dsc-"), "{said}");
        }
    });
}

#[test]
fn on_a_full_disk_no_daemon_starts_and_it_says_so() {
    beside_a_calm_cluster(None, |lab| {
        shell(lab, &format!("mkdir {FULL}; mount -t tmpfs -o nr_inodes=8 tmpfs {FULL}"));
        shell(lab, &format!("cd {FULL}; touch 1 2 3 4 5 6 7; ! touch 8"));
        for daemon in program::daemons(&System::Dsc) {
            let said = refused(lab, daemon, &["--run-dir", FULL]);
            let start = format!("cannot lock {FULL}/{daemon}.pid: No space left");
            assert!(said.contains(&start) && said.contains("make room"), "{said}");
        }
        for (daemon, socket) in [("dsc-ringd", "status"), ("dsc-fwd", "fwd")] {
            // Room for two locks and no socket.
            shell(lab, &format!("cd {FULL}; rm -f *; touch 1 2 3 4 5"));
            let said = refused(lab, daemon, &["--run-dir", FULL, "--bpf-dir", "/sys/fs/bpf/other"]);
            let start = format!("cannot serve {FULL}/{socket}: No space left");
            assert!(said.contains(&start) && said.contains("make room"), "{said}");
        }
        for daemon in program::daemons(&System::Dsc) {
            let program = lab.bin_dir.join(daemon).display().to_string();
            let line = format!("exec {program} --config /nowhere 2>/dev/full");
            let code = ends(lab, &["sh", "-c", &line]).0;
            assert!(code.is_some_and(|c| REFUSES.contains(&c)), "{daemon}, unheard: {code:?}");
        }
    });
}

#[test]
fn on_a_full_disk_a_key_file_stays_as_it_is() {
    beside_a_calm_cluster(None, |lab| {
        let dscctl = lab.bin_dir.join("dscctl").display().to_string();
        let key = format!("{FULL}/key");
        shell(lab, &format!("mkdir {FULL}; mount -t tmpfs -o size=16k tmpfs {FULL}"));
        shell(lab, &format!("{dscctl} keygen {key}; ! head -c 64k /dev/zero >{FULL}/rest"));
        let all = || shell(lab, &format!("cd {FULL}; ls -la --time-style=full-iso; cat key"));
        let before = all();
        let other = format!("{FULL}/other");
        for arguments in [[&*key, "--force"], [&*key, "--add"], [&*other, "--force"]] {
            let (code, said) = ends(lab, &[&[&*dscctl, "keygen"], &arguments[..]].concat());
            assert_eq!(code, Some(4), "{said}");
            assert!(said.contains("no space left on device: make room there"), "{said}");
        }
        // The time of the folder itself may differ.
        let files = |text: &str| text.lines().filter(|l| !l.ends_with('.')).collect::<String>();
        assert_eq!(files(&all()), files(&before));
    });
}

#[test]
fn on_a_full_disk_daemons_go_on_and_are_replaced() {
    beside_a_calm_cluster(Some(N1), |lab| {
        shell(lab, "mount -o remount,size=256k /run/dsc");
        for daemon in program::daemons(&System::Dsc) {
            program::stop(lab, N1, daemon).unwrap();
            // Its number would fit where its predecessor's was.
            let fill = format!("! head -c 1M /dev/zero >/run/dsc/before-{daemon}");
            shell(lab, &format!("rm /run/dsc/{daemon}.pid; {fill}"));
            program::start(lab, N1, daemon).unwrap();
            // The cluster may be whole without it.
            wait::until(&format!("{daemon} warns of its pid"), WHOLE_MS, || {
                let log = std::fs::read_to_string(program::log_file(lab, N1, daemon)).ok()?;
                log.contains("cannot write the pid").then_some(())
            })
            .unwrap();
            cluster::wait_whole(lab, WHOLE_MS).unwrap();
            let said = refused(lab, daemon, &[]);
            assert!(said.contains(&format!("another {daemon} is running (lock ")), "{said}");
        }
        // No line of its log can be written.
        program::stop(lab, N1, "dsc-mon").unwrap();
        let mon = lab.bin_dir.join("dsc-mon").display().to_string();
        let argv = ["sh", "-c", &format!("exec {mon} --log trace 2>/dev/full")].map(str::to_owned);
        let before = Instant::now();
        program::start_as(lab, N1, "dsc-mon", &argv).unwrap();
        // A second after its start, so not with its first word alone.
        wait::until("dsc-mon goes on speaking", WHOLE_MS, || {
            let silent = Duration::from_millis(mon_silent_ms(lab)?);
            (silent + Duration::from_secs(1) < before.elapsed()).then_some(())
        })
        .unwrap();
        assert!(program::find(lab, N1, "dsc-mon").is_some(), "it has ended");
    });
}

/// Each one that the unit grants, taken away; and the two without which the ring daemon goes on.
#[test]
fn a_missing_capability_is_named() {
    beside_a_calm_cluster(Some(N1), |lab| {
        lab.node(N1)
            .unwrap()
            .write("/etc/dsc/group", "dsc:x:991:\ndsc-admin:x:990:\n", 0o644)
            .unwrap();
        shell(lab, "mount --bind /etc/dsc/group /etc/group");
        for daemon in ["dsc-fwd", "dsc-ringd"] {
            program::stop(lab, N1, daemon).unwrap();
            let unpunctual = ["CAP_SYS_NICE", "CAP_IPC_LOCK"];
            let granted = grants(daemon);
            for missing in granted.iter().filter(|c| !unpunctual.contains(&&***c)) {
                let rest: Vec<_> = granted.iter().filter(|c| *c != missing).cloned().collect();
                let by = start_with(&rest);
                let by: Vec<&str> = by.iter().map(String::as_str).collect();
                let said = refused_under(lab, &by, daemon, &[]);
                assert!(said.contains(missing.as_str()), "without {missing}: {said}");
            }
            if daemon == "dsc-fwd" {
                program::start(lab, N1, daemon).unwrap();
                cluster::wait_whole(lab, WHOLE_MS).unwrap();
                continue;
            }
            let rest: Vec<_> =
                granted.iter().filter(|c| !unpunctual.contains(&&***c)).cloned().collect();
            let mut argv = vec!["prlimit".into(), "--memlock=65536".into()];
            argv.extend(start_with(&rest));
            argv.push(lab.bin_dir.join(daemon).display().to_string());
            program::start_as(lab, N1, daemon, &argv).unwrap();
            cluster::wait_whole(lab, WHOLE_MS).unwrap();
            let log = std::fs::read_to_string(program::log_file(lab, N1, daemon)).unwrap();
            for missing in unpunctual {
                assert!(log.contains(&format!("needs {missing}")), "without {missing}: {log}");
            }
        }
    });
}
