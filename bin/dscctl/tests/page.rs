//! The manual page against the program: every command, option, warning and JSON name stands in it.

use clap::Command;
use std::collections::BTreeSet;
use std::fs;

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../man/dscctl.8");
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Does a `.It` line of the page begin with these words?
fn has_item(page: &str, words: &str) -> bool {
    let start = format!(".It Cm {words}");
    page.lines().any(|line| {
        line.strip_prefix(&start).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    })
}

fn check_command(page: &str, command: &Command, path: &str) {
    for argument in command.get_arguments() {
        let Some(long) = argument.get_long() else { continue };
        assert!(page.contains(&format!("-{long}")), "no option --{long} ({path}) in the page");
        if let Some(short) = argument.get_short() {
            assert!(page.contains(&format!("Fl {short} ")), "no option -{short} in the page");
        }
    }
    for below in command.get_subcommands() {
        let path = format!("{path} {}", below.get_name());
        let words = path.trim();
        let group = below.has_subcommands() && words == "config";
        assert!(group || has_item(page, words), "no command {words} in the page");
        if words != "help" && !words.ends_with(" help") {
            check_command(page, below, &path);
        }
    }
}

#[test]
fn every_command_and_option_is_in_the_page() {
    check_command(&page(), &dscctl::command(), "");
}

#[test]
fn every_warning_is_in_the_page_and_no_other() {
    let page = page();
    let section = page.split(".Sh WARNINGS").nth(1).unwrap().split(".Sh ").next().unwrap();
    let items = section.lines().filter_map(|line| line.strip_prefix(".It Cm "));
    let told: BTreeSet<&str> = items.flat_map(|line| line.split(" , ")).collect();
    let known: BTreeSet<&str> = dscctl::warnings::WORDS.iter().copied().collect();
    assert_eq!(told, known);
}

#[test]
fn every_json_name_is_in_the_page() {
    let page = page();
    let section = page.split(".Sh JSON").nth(1).unwrap().split(".Sh ").next().unwrap();
    let told: BTreeSet<&str> =
        section.split(|c: char| !(c.is_alphanumeric() || "_-".contains(c))).collect();
    let mut names = BTreeSet::new();
    let expected = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/expected");
    for entry in fs::read_dir(expected).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines().filter(|line| line.starts_with('{')) {
            collect(&serde_json::from_str(line).unwrap(), &mut names);
        }
    }
    assert!(names.len() > 50, "{names:?}");
    let missing: Vec<&String> = names.iter().filter(|n| !told.contains(n.as_str())).collect();
    assert!(missing.is_empty(), "not in the page: {missing:?}");
}

#[test]
fn every_metric_is_in_the_page_and_no_other() {
    let page = page();
    let section = page.split(".Sh METRICS").nth(1).unwrap().split(".Sh ").next().unwrap();
    let told: BTreeSet<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix(".It Cm "))
        .flat_map(|line| line.split(" , "))
        .collect();
    let mut written = BTreeSet::new();
    for case in ["steady", "troubled", "checks", "link"] {
        let path = format!("{}/tests/expected/{case}.prom", env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(path).unwrap();
        let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        written.extend(kinds.filter_map(|line| Some(line.split_once(' ')?.0.to_owned())));
    }
    assert_eq!(told, written.iter().map(String::as_str).collect());
}

/// The names of all objects, except those that stand for subnets, checks and nodes.
fn collect(value: &serde_json::Value, names: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                names.insert(name.clone());
                if !["bytes_per_s", "macs", "lights", "checkers"].contains(&name.as_str()) {
                    collect(value, names);
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        _ => {}
    }
}
