//! Every command that the project runs comes with a package of `scripts/packages`, so that a clean machine can
//! do all of it.

use dsc_test_workspace::{Source, sources};
use std::collections::BTreeSet;

/// Commands that are on no minimal system, and the Debian packages that bring them.
const BROUGHT_BY: &[(&str, &[&str])] = &[
    ("arping", &["arping", "iputils-arping"]),
    ("bpftool", &["bpftool"]),
    ("bridge", &["iproute2"]),
    ("cc", &["gcc", "build-essential"]),
    ("clang", &["clang"]),
    ("conntrackd", &["conntrackd"]),
    ("curl", &["curl"]),
    ("ethtool", &["ethtool"]),
    ("gcc", &["gcc", "build-essential"]),
    ("git", &["git"]),
    ("haproxy", &["haproxy"]),
    ("ip", &["iproute2"]),
    ("iperf3", &["iperf3"]),
    ("iptables", &["iptables"]),
    ("jq", &["jq"]),
    ("keepalived", &["keepalived"]),
    ("man", &["man-db"]),
    ("mandoc", &["mandoc"]),
    ("nft", &["nftables"]),
    ("nginx", &["nginx", "nginx-light", "nginx-core"]),
    ("openssl", &["openssl"]),
    ("ping", &["iputils-ping"]),
    ("pkg-config", &["pkg-config", "pkgconf"]),
    ("ps", &["procps"]),
    ("python3", &["python3"]),
    ("socat", &["socat"]),
    ("ss", &["iproute2"]),
    ("ssh", &["openssh-client"]),
    ("ssh-keygen", &["openssh-client"]),
    ("sshd", &["openssh-server"]),
    ("stress-ng", &["stress-ng"]),
    ("sysctl", &["procps"]),
    ("systemd-analyze", &["systemd"]),
    ("tc", &["iproute2"]),
    ("tcpdump", &["tcpdump"]),
    ("tmux", &["tmux"]),
    ("wget", &["wget"]),
];

/// Commands of packages that Debian always has (coreutils, util-linux, dash, bash, perl-base), and of Rust itself.
const ALWAYS: &[&str] = &[
    "bash", "cargo", "cat", "chgrp", "chmod", "cp", "dd", "env", "false", "flock", "id", "kill",
    "losetup", "mkdir", "mount", "nice", "nsenter", "perl", "rustc", "setsid", "sh", "sleep",
    "stat", "sync", "tail", "timeout", "true", "umount", "unshare", "useradd", "groupadd",
    "setpriv", "runuser", "su",
];

fn list() -> String {
    let list = sources().into_iter().find(|s| s.path == "scripts/packages");
    list.expect("scripts/packages").text
}

fn packages() -> Vec<String> {
    let line = |l: &str| l.split('#').next().unwrap_or_default().trim().to_owned();
    list().lines().map(line).filter(|l| !l.is_empty()).collect()
}

/// Parts of a line of shell that may be a command: words, without what stands in comments.
fn shell_words(source: &Source) -> BTreeSet<String> {
    let line = |l: &str| {
        let l = if l.trim_start().starts_with('#') { "" } else { l };
        l.split(" #").next().unwrap_or_default().to_owned()
    };
    let code: String = source.text.lines().map(|l| line(l) + "\n").collect();
    let is_part = |c: char| c.is_alphanumeric() || "-_./$".contains(c);
    code.split(|c| !is_part(c)).map(str::to_owned).collect()
}

/// The literal arguments of `Command::new` in Rust.
fn spawned(source: &Source) -> BTreeSet<String> {
    let start = "Command::new(\"";
    source
        .text
        .split(start)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(|path| path.rsplit('/').next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn the_list_is_one_package_a_line_without_repeats() {
    let packages = packages();
    let once: BTreeSet<&String> = packages.iter().collect();
    assert_eq!(once.len(), packages.len(), "a package stands twice");
    for package in &packages {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
        assert!(package.chars().all(legal), "{package:?} is not one package");
    }
}

#[test]
fn every_command_has_its_package() {
    let packages = packages();
    let mut wrong = Vec::new();
    for source in sources() {
        let (used, all_known) = if source.is_shell() {
            (shell_words(&source), false)
        } else if source.is("rs") && !source.path.starts_with("tests/workspace/") {
            (spawned(&source), true)
        } else {
            continue;
        };
        for command in used {
            match BROUGHT_BY.iter().find(|(c, _)| *c == command) {
                Some((_, any)) if !any.iter().any(|p| packages.iter().any(|q| q == p)) => wrong
                    .push(format!("{}: {command} needs {any:?} in scripts/packages", source.path)),
                None if all_known && !ALWAYS.contains(&command.as_str()) => {
                    wrong.push(format!("{}: which package has {command}?", source.path));
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn what_the_build_needs_is_listed() {
    let packages = packages();
    for package in ["clang", "libbpf-dev", "libzmq3-dev", "mandoc"] {
        assert!(packages.iter().any(|p| p == package), "{package}");
    }
}

/// README has an operator install that section, by hand and on a machine that may serve.
#[test]
fn the_section_of_the_build_is_complete_and_starts_no_service() {
    let list = list();
    let section = list.split("\n\n").find(|s| s.starts_with("# Build:")).expect("a section");
    let section: BTreeSet<&str> = section.lines().filter(|l| !l.starts_with('#')).collect();
    let needed = ["gcc", "libc6-dev", "clang", "libbpf-dev", "libzmq3-dev", "pkg-config"];
    assert!(needed.iter().all(|p| section.contains(p)), "{section:?}");
    let serving = ["nginx-light", "keepalived", "conntrackd", "haproxy"];
    assert!(serving.iter().all(|p| !section.contains(p)), "{section:?}");
}

/// There is one list: no script names packages itself.
#[test]
fn no_script_has_a_list_of_its_own() {
    for source in sources().iter().filter(|s| s.is_shell()) {
        for line in source.text.lines().filter(|l| l.contains("apt-get") && l.contains("install")) {
            let own = line.split_whitespace().any(|w| BROUGHT_BY.iter().any(|(c, _)| w == *c));
            assert!(!own, "{}: {line}", source.path);
        }
    }
}

#[test]
fn the_readme_names_the_two_commands() {
    let readme = sources().into_iter().find(|s| s.path == "README.md").expect("README.md").text;
    for command in ["scripts/demo", "scripts/test"] {
        assert!(readme.contains(command), "README.md does not mention {command}");
        assert!(sources().iter().any(|s| s.path == command), "there is no {command}");
    }
}
