//! Under a service manager that the test plays: each daemon works with exactly the capabilities that its unit grants,
//! says when it is ready, that it lives, and that it stops; a frozen one is missed.

use dsc_lab::cluster;
use dsc_lab::program;
use dsc_test_lab::service::{Ear, grants, start_with};
use dsc_test_lab::{TestLab, beside_a_calm_cluster};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

const N1: usize = 0;
/// The shortest of the units'.
const LIMIT: Duration = Duration::from_secs(3);
/// Longest that anything else may take.
const PATIENCE: Duration = Duration::from_secs(20);
const ALIVE: &str = "WATCHDOG=1";

fn start(lab: &TestLab, daemon: &str) -> Ear {
    let ear = Ear::open(lab.dir().join(format!("n1/{daemon}.notify")));
    let mut argv = vec!["env".to_owned()];
    argv.extend(ear.environment(LIMIT));
    argv.extend(start_with(&grants(daemon)));
    argv.push(lab.bin_dir.join(daemon).display().to_string());
    program::start_as(lab, N1, daemon, &argv).unwrap();
    ear
}

fn expect(ear: &Ear, daemon: &str, what: &str) {
    let end = Instant::now() + PATIENCE;
    let mut said = Vec::new();
    while Instant::now() < end {
        let Some(text) = ear.hear(LIMIT) else { continue };
        if text.lines().any(|line| line == what) {
            assert!(text.contains("STATUS="), "{daemon} says not how it is: {text}");
            return;
        }
        said.push(text);
    }
    panic!("{daemon} never said {what}, only {said:?}");
}

/// One of three may be lost: two are within the limit.
fn is_alive(ear: &Ear, daemon: &str) {
    ear.forget();
    for _ in 0..2 {
        let start = Instant::now();
        for _ in 0..2 {
            let left = LIMIT.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
            assert_eq!(ear.hear(left).as_deref(), Some(ALIVE), "{daemon} is late");
        }
    }
}

/// Said before it was stopped, perhaps; then no more.
fn is_silent(ear: &Ear, daemon: &str) {
    ear.forget();
    assert_eq!(ear.hear(LIMIT), None, "{daemon} speaks while it is frozen");
}

fn each(ears: &[(&str, Ear)], judge: impl Fn(&Ear, &str) + Sync) {
    std::thread::scope(|scope| {
        for (daemon, ear) in ears {
            scope.spawn(|| judge(ear, daemon));
        }
    });
}

#[test]
fn each_daemon_runs_with_what_its_unit_grants_and_keeps_its_watchdog_quiet() {
    beside_a_calm_cluster(Some(N1), |lab| {
        let space = lab.node(N1).unwrap();
        space.write("/etc/dsc/group", "dsc:x:991:\ndsc-admin:x:990:\n", 0o644).unwrap();
        space.run(&["mount", "--bind", "/etc/dsc/group", "/etc/group"]).unwrap();
        // It hosts nothing meanwhile, so that nobody misses it when it is frozen.
        cluster::drain(lab, N1).unwrap();
        let daemons = program::daemons(&lab.plan.system);
        let ears: Vec<(&str, Ear)> = daemons
            .iter()
            .map(|daemon| {
                program::stop(lab, N1, daemon).unwrap();
                (*daemon, start(lab, daemon))
            })
            .collect();
        each(&ears, |ear, daemon| expect(ear, daemon, "READY=1"));
        cluster::wait_whole(lab, PATIENCE.as_millis() as u64).unwrap();
        each(&ears, is_alive);
        let signal = |signal| {
            for daemon in daemons {
                program::signal(lab, N1, daemon, signal).unwrap();
            }
        };
        signal(Signal::SIGSTOP);
        each(&ears, is_silent);
        signal(Signal::SIGCONT);
        each(&ears, is_alive);
        signal(Signal::SIGTERM);
        each(&ears, |ear, daemon| expect(ear, daemon, "STOPPING=1"));
        for daemon in daemons {
            let log = std::fs::read_to_string(program::log_file(lab, N1, daemon)).unwrap();
            assert!(!log.contains("CAP_"), "{daemon} lacks something: {log}");
            dsc_lab::wait::until("it ends", 10_000, || {
                program::find(lab, N1, daemon).is_none().then_some(())
            })
            .unwrap();
            program::start(lab, N1, daemon).unwrap();
        }
    });
}
