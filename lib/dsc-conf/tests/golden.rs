//! Each `cases/NAME.toml` is wrong in the way its first lines tell; `cases/NAME.txt` is what the operator reads.
//! `BLESS=1 cargo test -p dsc-conf golden::` writes the expected texts again; review the difference.

use dsc_conf::{Config, Problems};
use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Compares with the expected text beside the case, or writes it.
fn compare(case: &Path, found: &str) -> Result<(), String> {
    let expected = case.with_extension("txt");
    if std::env::var_os("BLESS").is_some() {
        return fs::write(&expected, found).map_err(|e| format!("{}: {e}", expected.display()));
    }
    match fs::read_to_string(&expected) {
        Ok(text) if text == found => Ok(()),
        Ok(text) => Err(format!("{}:\nexpected\n{text}\nfound\n{found}", case.display())),
        Err(e) => Err(format!("{}: {e}", expected.display())),
    }
}

fn name(case: &Path) -> String {
    case.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_case_reads_as_expected() {
    let mut failures = Vec::new();
    let mut count = 0;
    for case in cases().iter().filter(|p| p.extension().is_some_and(|e| e == "toml")) {
        let text = fs::read_to_string(case).unwrap();
        assert!(text.starts_with("# "), "{} tells no story", case.display());
        let found = match Config::parse(&text, &name(case)) {
            Ok(config) => format!("no problem\n\n{}", config.to_toml()),
            Err(problems) => {
                places_are_true(&text, &problems);
                problems.to_string()
            }
        };
        failures.extend(compare(case, &found).err());
        count += 1;
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(count > 15, "only {count} cases");
}

/// Line, column and text of each problem are what the file has there.
fn places_are_true(text: &str, problems: &Problems) {
    for problem in problems.list().iter().filter(|p| p.line > 0) {
        let line = text.split('\n').nth(problem.line - 1).unwrap();
        let rest: String = line.chars().skip(problem.column - 1).collect();
        assert!(rest.starts_with(&problem.text), "{problem:?} is not at {line:?}");
    }
}

#[test]
fn no_expected_text_is_without_its_case() {
    let stem = |p: &PathBuf| p.file_stem().map(|s| s.to_owned());
    let of = |ending: &str| -> BTreeSet<_> {
        cases().iter().filter(|p| p.extension().is_some_and(|e| e == ending)).map(stem).collect()
    };
    assert_eq!(of("toml"), of("txt"));
}

/// The same good file against machines that it does not fit.
#[test]
fn machines_that_do_not_fit() {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines/three.toml");
    let text = fs::read_to_string(&case).unwrap();
    let config = Config::parse(&text, "three.toml").unwrap_or_else(|p| panic!("{p}"));
    let n1 = config.node_named("n1").unwrap();
    let own = |rows: &[(&str, &str, u8)]| -> Vec<(String, IpAddr, u8)> {
        rows.iter().map(|(i, a, p)| ((*i).to_owned(), a.parse().unwrap(), *p)).collect()
    };
    let good = [("lo", "127.0.0.1", 8), ("eth0", "10.1.0.1", 24), ("eth1", "fd00:2::1", 64)];
    assert!(config.check_machine(n1, &own(&good)).is_empty());
    let ours = [("lo", "10.1.0.100", 32), good[1], good[2]];
    assert!(config.check_machine(n1, &own(&ours)).is_empty(), "VIPs on lo are ours");
    let mut found = String::new();
    for (story, rows) in [
        ("no interface is configured", &own(&good[..1])),
        ("it is another node", &own(&[("eth0", "10.1.0.2", 24), ("eth1", "fd00:2::2", 64)])),
        ("a prefix length differs", &own(&[("eth0", "10.1.0.1", 16), good[2]])),
        ("the address is on lo", &own(&[("lo", "10.1.0.1", 32), good[2]])),
        ("keepalived is still running", &own(&[good[1], good[2], ("eth0", "10.1.0.101", 24)])),
    ] {
        let problems = config.check_machine(n1, rows);
        found += &format!("== {story}\n{problems}\n");
    }
    compare(&case, &found).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_without_a_line() {
    let problems = Config::read(Path::new("/nonexistent/dsc.toml")).unwrap_err();
    assert_eq!(problems.count(), 1);
    assert_eq!((problems.list()[0].line, problems.file()), (0, "/nonexistent/dsc.toml"));
    assert!(problems.to_string().contains("cannot read /nonexistent/dsc.toml: No such file"));
}

#[test]
fn problems_beyond_the_bound_are_counted() {
    let text = "x = 1\n".to_owned() + &(0..200).map(|n| format!("x{n} = 1\n")).collect::<String>();
    let problems = Config::parse(&text, "many").unwrap_err();
    assert_eq!(problems.list().len(), dsc_conf::PROBLEMS_MAX);
    assert_eq!(problems.count(), 201 + 3, "unknown keys and the three that are missing");
    assert!(problems.to_string().contains("154 more not shown"));
}

#[test]
fn colour_only_when_asked() {
    let problems = Config::parse("[cluster]\n", "dsc.toml").unwrap_err();
    assert!(!problems.to_string().contains('\u{1b}'));
    assert!(problems.render(true).contains('\u{1b}'));
    let hostile = Config::parse("[cluster] # \u{1b}[2J\nx = = 1\n", "dsc.toml").unwrap_err();
    assert!(!hostile.to_string().contains('\u{1b}'), "{hostile:?}");
}
