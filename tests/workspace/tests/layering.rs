//! Arrows between crates go down only: programs use libraries, libraries use the words (`dsc-wire`), and the
//! pure crates know neither clock nor socket. A new arrow fails here first.

use dsc_test_workspace::{Crate, Source, crates, sources};

/// The arrows within the project that are allowed: crate, what it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("dsc-wire", &[]),
    ("dsc-rml", &["dsc-wire"]),
    ("dsc-ring", &["dsc-wire"]),
    ("dsc-flow", &["dsc-wire"]),
    ("dsc-health", &["dsc-wire"]),
    ("dsc-resume", &["dsc-wire"]),
    ("dsc-conf", &["dsc-wire"]),
    ("dsc-sys", &["dsc-wire"]),
    ("dsc-bpf", &["dsc-wire"]),
    ("dsc-lab", &["dsc-wire", "dsc-conf"]),
    ("dsc-ringd", &["dsc-wire", "dsc-rml", "dsc-ring", "dsc-conf", "dsc-sys", "dsc-bpf"]),
    ("dsc-fwd", &["dsc-wire", "dsc-rml", "dsc-flow", "dsc-conf", "dsc-sys", "dsc-bpf"]),
    ("dsc-mon", &["dsc-wire", "dsc-health", "dsc-conf", "dsc-sys", "dsc-bpf"]),
    ("dsc-link", &["dsc-wire", "dsc-resume", "dsc-conf", "dsc-sys"]),
    ("dscctl", &["dsc-wire", "dsc-conf", "dsc-sys"]),
];

/// Tests that compare one crate with another: the kernel programs with the model of their decision.
const COMPARED: &[(&str, &str)] = &[("dsc-bpf", "dsc-flow")];

/// External crates that have one room: the crate, the only members that may use it. Tests may use any.
const ROOMS: &[(&str, &[&str])] = &[
    ("aya", &["dsc-bpf"]),
    ("zmq", &["dsc-sys"]),
    ("zmq-sys", &["dsc-sys"]),
    ("nix", &["dsc-sys", "dsc-lab"]),
    ("toml", &["dsc-conf"]),
    ("annotate-snippets", &["dsc-conf"]),
    ("chacha20poly1305", &["dsc-wire"]),
    ("blake3", &["dsc-wire"]),
    ("ratatui", &["dscctl"]),
    ("crossterm", &["dscctl"]),
    ("signal-hook", &["dscctl"]),
    ("clap", &["dsc-ringd", "dsc-fwd", "dsc-mon", "dsc-link", "dscctl", "dsc-lab"]),
    ("hyper", &["dsc-link"]),
];

/// Crates without a world: nothing external, no clock, no sockets, no threads.
const PURE: &[&str] = &["dsc-rml", "dsc-ring", "dsc-flow", "dsc-health", "dsc-resume"];

/// What a pure crate never says.
const WORLD: &[&str] = &[
    "std::time::Instant",
    "Instant::now",
    "SystemTime",
    "std::net::Udp",
    "std::net::Tcp",
    "UdpSocket",
    "TcpStream",
    "std::os",
    "std::fs",
    "std::env",
    "std::thread",
    "std::process",
    "tokio",
    "println!",
    "static mut",
    "thread_local!",
];

/// Clocks that somebody may set, or that stand still while the machine sleeps: no lease is kept by them. The file that
/// may name one, and why.
const CLOCKS: &[(&str, &str, &str)] = &[
    ("SystemTime", "lib/dsc-sys/src/clock.rs", "the one door to the wall clock"),
    ("CLOCK_REALTIME", "", ""),
    ("gettimeofday", "", ""),
    ("clock::wall_ms", "bin/dsc-ringd/src/daemon.rs", "events bear the wall clock's time"),
    ("clock::wall_ms", "bin/dsc-mon/src/probes.rs", "since when a light is red, for people"),
    ("clock::wall_ms", "bin/dsc-mon/src/probe/tls.rs", "certificates end by the calendar"),
    (
        "clock::wall_ms",
        "bin/dsc-link/src/access_log.rs",
        "lines of a log bear the wall clock's time",
    ),
    ("clock::wall_ms", "bin/dscctl/src/world.rs", "how long ago an event was, for people"),
    ("bpf_ktime_get_ns", "", ""),
    ("bpf_ktime_get_coarse_ns", "", ""),
    ("bpf_ktime_get_tai_ns", "", ""),
    ("bpf_jiffies64", "lib/dsc-bpf/src/bpf/clock.h", "tells one tick from the next, never a time"),
];

/// The only rooms with unsafe code.
const UNSAFE: &[&str] = &["lib/dsc-sys/", "lib/dsc-bpf/", "lib/dsc-lab/"];

fn allowed(name: &str) -> Option<&'static [&'static str]> {
    ARROWS.iter().find(|(n, _)| *n == name).map(|(_, a)| *a)
}

fn is_test(member: &Crate) -> bool {
    member.folder.starts_with("tests/")
}

#[test]
fn no_new_arrow() {
    let crates = crates();
    let mut wrong = Vec::new();
    for member in crates.values().filter(|c| !is_test(c)) {
        let Some(allowed) = allowed(&member.name) else {
            wrong.push(format!("{} has no row in ARROWS", member.name));
            continue;
        };
        for table in ["dependencies", "build-dependencies"] {
            for need in member.needs(table).iter().filter(|n| crates.contains_key(*n)) {
                if !allowed.contains(&need.as_str()) {
                    wrong.push(format!("{} -> {need} is a new arrow", member.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (name, _) in ARROWS {
        assert!(crates.contains_key(*name), "{name} is in ARROWS, but there is no such crate");
    }
}

#[test]
fn tests_of_a_crate_reach_no_further_than_the_crate_the_lab_and_the_pages() {
    let crates = crates();
    for member in crates.values().filter(|c| !is_test(c)) {
        let allowed = allowed(&member.name).unwrap_or_default();
        for need in member.needs("dev-dependencies") {
            let known = allowed.contains(&need.as_str())
                || ["dsc-lab", "dsc-test-workspace"].contains(&need.as_str())
                || COMPARED.contains(&(member.name.as_str(), need.as_str()));
            assert!(known || !crates.contains_key(&need), "{} tests with {need}", member.name);
        }
    }
}

#[test]
fn external_crates_stay_in_their_rooms() {
    let crates = crates();
    for member in crates.values().filter(|c| !is_test(c)) {
        for need in member.needs("dependencies") {
            let room = ROOMS.iter().find(|(n, _)| *n == need);
            assert!(
                room.is_none_or(|(_, rooms)| rooms.contains(&member.name.as_str())),
                "{} uses {need}, which belongs to {room:?}",
                member.name
            );
        }
    }
}

#[test]
fn pure_crates_need_nothing_external() {
    let crates = crates();
    for name in PURE {
        assert_eq!(crates[*name].needs("dependencies"), ["dsc-wire"], "{name}");
        assert!(crates[*name].needs("build-dependencies").is_empty(), "{name}");
    }
}

/// The code of a file, without comments and without the tests at its end.
fn code(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let code = source.text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().enumerate().map(|(n, l)| (n + 1, l.split("//").next().unwrap_or_default()))
}

#[test]
fn pure_crates_know_no_world() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|s| s.is("rs")) {
        let is_pure = |name: &&&str| source.path.starts_with(&format!("lib/{name}/src/"));
        if PURE.iter().find(is_pure).is_none() {
            continue;
        }
        for (number, line) in code(source) {
            for word in WORLD.iter().filter(|w| line.contains(**w)) {
                wrong.push(format!("{}:{number}: {word}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_decision_is_made_by_a_clock_that_can_be_set() {
    let shipped = |s: &&Source| {
        let code = s.is("rs") || s.is("c") || s.is("h");
        // The lab judges what clients saw, on one machine, in one run.
        let room = s.path.starts_with("lib/") || s.path.starts_with("bin/");
        code && room && !s.path.starts_with("lib/dsc-lab/") && !s.path.contains("/tests/")
    };
    let mut wrong = Vec::new();
    let mut used = Vec::new();
    for source in sources().iter().filter(shipped) {
        for (number, line) in code(source) {
            for (clock, ..) in CLOCKS.iter().filter(|(clock, ..)| line.contains(clock)) {
                let row = CLOCKS.iter().find(|(c, file, _)| c == clock && source.path == *file);
                match row {
                    Some(row) => used.push(row),
                    None => wrong.push(format!("{}:{number}: {clock}", source.path)),
                }
            }
        }
    }
    for row in CLOCKS.iter().filter(|(_, file, _)| !file.is_empty()) {
        if !used.contains(&row) {
            wrong.push(format!("{} needs no {}", row.1, row.0));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_only_where_the_system_is() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|s| s.is("rs")) {
        if UNSAFE.iter().any(|u| source.path.starts_with(u)) {
            continue;
        }
        for (number, line) in code(source) {
            let mut tokens = line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '"');
            if tokens.any(|t| t == "unsafe") {
                wrong.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn manifests_share_the_workspace_s_versions_and_lints() {
    for member in crates().values() {
        let package = &member.manifest["package"];
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            let shared = package.get(key).and_then(|v| v.get("workspace"));
            assert!(shared.is_some(), "{}: {key} is not the workspace's", member.name);
        }
        let lints = member.manifest.get("lints").and_then(|l| l.get("workspace"));
        assert!(lints.is_some(), "{}: lints are not the workspace's", member.name);
        let description = package.get("description").and_then(|d| d.as_str());
        assert!(description.is_some_and(|d| !d.is_empty()), "{} says not what it is", member.name);
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(needs) = member.manifest.get(table).and_then(|t| t.as_table()) else {
                continue;
            };
            for (need, value) in needs {
                let shared = value.get("workspace").is_some() || value.get("path").is_some();
                assert!(shared, "{}: {need} has a version of its own", member.name);
            }
        }
    }
}

/// Where the tests of a crate are one program, a file that it does not name would never run.
#[test]
fn every_file_of_tests_is_run() {
    let all = sources();
    let mut looked_at = 0;
    let mut wrong = Vec::new();
    for root in all.iter().filter(|s| s.path.ends_with("/tests/all.rs")) {
        let folder = root.path.trim_end_matches("all.rs");
        for file in all.iter().filter(|s| s.is("rs") && s.path != root.path) {
            let Some(name) = file.path.strip_prefix(folder).and_then(|n| n.strip_suffix(".rs"))
            else {
                continue;
            };
            if name.contains('/') {
                continue;
            }
            looked_at += 1;
            if !root.text.lines().any(|line| line == format!("mod {name};")) {
                wrong.push(format!("{} does not name {name}", root.path));
            }
        }
    }
    assert!(looked_at > 0, "no such crate");
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
