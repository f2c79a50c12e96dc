//! The systemd units: systemd understands every line of them, they give away little, and they fit the programs.

use dsc_test_workspace::{Source, crates, sources};
use std::path::PathBuf;
use std::process::{Command, Output};

/// The most that `systemd-analyze security` may find in a service, in tenths; 96 is a service without any hardening.
const EXPOSURE_MAX: &str = "30";
/// A daemon speaks once a second, and one word in three may be lost.
const WATCHDOG_MIN_S: u64 = 3;

fn units() -> Vec<Source> {
    sources().into_iter().filter(|s| s.path.starts_with("conf/systemd/")).collect()
}

fn services() -> Vec<Source> {
    units().into_iter().filter(|s| s.is("service")).collect()
}

fn name(unit: &Source) -> &str {
    unit.path.rsplit('/').next().unwrap_or_default()
}

/// The values of a setting, in their order.
fn settings<'a>(unit: &'a Source, key: &'a str) -> impl Iterator<Item = &'a str> {
    unit.text.lines().filter_map(move |l| l.strip_prefix(key)?.strip_prefix('='))
}

/// A service that ends is worth nothing without the timer that starts it again.
#[test]
fn each_service_that_ends_has_its_timer() {
    for service in services() {
        if settings(&service, "Type").next() == Some("oneshot") {
            let timer = service.path.replace(".service", ".timer");
            assert!(units().iter().any(|u| u.path == timer), "no {timer}");
        }
    }
}

/// The units as they would be on a machine where the programs and their pages are installed.
struct Installed(PathBuf);

impl Installed {
    fn new(test: &str) -> Installed {
        let dir = std::env::temp_dir().join(format!("dsc-units-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        for unit in units() {
            let line = |l: &str| match l.split_once('=') {
                Some(("ExecStart", _)) => "ExecStart=/bin/true\n".to_owned(),
                Some(("Documentation", _)) => String::new(),
                _ => format!("{l}\n"),
            };
            let text: String = unit.text.lines().map(line).collect();
            std::fs::write(dir.join(name(&unit)), text).expect("a file");
        }
        Installed(dir)
    }

    fn analyze(&self, words: &[&str], units: &[Source]) -> Output {
        let files = units.iter().map(|unit| self.0.join(name(unit)));
        let mut command = Command::new("systemd-analyze");
        command.env_clear().args(words).args(files).output().expect("systemd-analyze")
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn systemd_understands_every_line() {
    let output = Installed::new("verify").analyze(&["verify"], &units());
    let said = String::from_utf8_lossy(&output.stderr);
    // A setting that it does not know is only warned of.
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn services_are_hardened() {
    let installed = Installed::new("security");
    for service in services() {
        let words = ["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE_MAX];
        let output = installed.analyze(&words, std::slice::from_ref(&service));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}:\n{said}", service.path);
    }
}

#[test]
fn each_service_runs_its_daemon_as_the_daemon_expects() {
    let programs = crates();
    // The others are run by a timer, and end.
    let lasting = |s: &Source| settings(s, "Type").next() != Some("oneshot");
    let daemons: Vec<Source> = services().into_iter().filter(lasting).collect();
    assert_eq!(daemons.len(), 4);
    for service in daemons {
        let daemon = name(&service).trim_end_matches(".service");
        let one = |key: &'static str| {
            let values: Vec<&str> = settings(&service, key).collect();
            assert_eq!(values.len(), 1, "{}: {key}", service.path);
            values[0].to_owned()
        };
        assert!(programs.contains_key(daemon), "no program {daemon}");
        assert_eq!(one("ExecStart"), format!("/usr/sbin/{daemon}"));
        assert_eq!((one("Type"), one("NotifyAccess")), ("notify".into(), "main".into()));
        assert_eq!(one("Restart"), "always");
        assert_eq!(one("RuntimeDirectory"), "dsc");
        let limit = one("WatchdogSec");
        let seconds: u64 = limit.trim_end_matches('s').parse().expect("seconds");
        assert!(seconds >= WATCHDOG_MIN_S, "{}: WatchdogSec={limit}", service.path);
    }
}

/// A thread that begins as a real-time one and sets its own policy again, as ZeroMQ's do, is refused with RestrictRealtime.
#[test]
fn a_service_that_begins_real_time_leaves_its_threads_ordinary() {
    let services = services();
    let real_time = services.iter().filter(|s| settings(s, "CPUSchedulingPolicy").count() > 0);
    let real_time: Vec<&Source> = real_time.collect();
    assert_eq!(real_time.len(), 1);
    for service in real_time {
        let values: Vec<&str> = settings(service, "CPUSchedulingResetOnFork").collect();
        assert_eq!(values, ["yes"], "{}", service.path);
    }
}

/// With ProtectKernelTunables systemd makes the BPF file system read-only, and lets no ReadWritePaths open it again: neither
/// daemon could start. What else it protects is named instead.
#[test]
fn a_service_that_pins_maps_may_write_where_they_are() {
    let has =
        |unit: &Source, key: &str, value: &str| settings(unit, key).any(|v| v.contains(value));
    // The health daemon only brings packets in, by a program that it keeps to itself.
    let keeps = |s: &Source| name(s) == "dsc-mon.service";
    let pins = |s: &Source| has(s, "CapabilityBoundingSet", "CAP_BPF") && !keeps(s);
    let services = services();
    let pinning: Vec<&Source> = services.iter().filter(|s| pins(s)).collect();
    assert_eq!(pinning.len(), 2);
    for service in pinning {
        assert!(has(service, "ReadWritePaths", "/sys/fs/bpf"), "{}", service.path);
        assert!(has(service, "ReadOnlyPaths", "/sys"), "{}", service.path);
        assert!(!has(service, "ProtectKernelTunables", "yes"), "{}", service.path);
    }
}
