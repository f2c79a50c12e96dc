//! The house rules about files: each opens with what it is, none grows too long, names use the project's words,
//! nothing is left half done, nothing generated or of one machine is kept.

use dsc_test_workspace::{Source, sources, words};

/// Most lines of a source file.
const LINES_MAX: usize = 450;

/// Words that say nothing, with what to write instead.
const BANNED: &[(&str, &str)] = &[
    ("manager", "what it does"),
    ("handler", "the event it is for"),
    ("engine", "what it computes"),
    ("helper", "what it does"),
    ("util", "what it does"),
    ("utils", "what it does"),
    ("common", "what it holds"),
    ("misc", "what it holds"),
    ("info", "what is known: view, facts, state"),
    ("leader", "holder or host"),
    ("master", "host"),
    ("slave", "member"),
    ("heartbeat", "token or beacon"),
    ("core", "what it decides"),
    ("types", "the words it defines"),
];

/// Names that belong to an interface outside the project: the folder, the word.
const FOREIGN: &[(&str, &str)] = &[
    // BPF_OBJ_GET_INFO_BY_FD and the structures it fills, as in linux/bpf.h.
    ("lib/dsc-bpf/", "info"),
];

/// Waits by the clock that are no guess: the file, why it may.
const SLEEPS: &[(&str, &str)] = &[
    (
        "bin/dsc-ringd/src/join.rs",
        "the pause between two looks at whether a machine that joins is configured by now",
    ),
    (
        "bin/dscctl/src/world.rs",
        "the pause between two pictures of --watch, and between tries to ask",
    ),
    (
        "lib/dsc-lab/src/wait.rs",
        "the pause between two looks at a condition, and a stretch of observation",
    ),
    ("bin/dsc-fwd/tests/net/mod.rs", "the pause between two looks at a condition"),
    (
        "bin/dsc-fwd/tests/net/probe.rs",
        "the pace of probes, and the pause between two looks at their answers",
    ),
    ("bin/dsc-link/tests/net/mod.rs", "the pause between two looks at a condition"),
    ("bin/dsc-fwd/tests/real.rs", "the pace of questions while a lease runs out"),
];

/// Keywords before a name that is being defined.
const DEFINES: &[&str] =
    &["fn", "struct", "enum", "union", "trait", "mod", "const", "static", "type", "let", "mut"];

/// What may stand in the top folder.
const TOP: &[&str] = &[
    ".cargo",
    ".ci",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "bin",
    "conf",
    "lib",
    "man",
    "rustfmt.toml",
    "scripts",
    "tests",
];

/// Files that a program made.
const GENERATED: &[&str] =
    &[".o", ".a", ".so", ".orig", ".rej", ".bak", ".swp", ".pyc", ".profraw", ".log", ".pid", "~"];

/// A word cut in two, so that this file does not contain it.
fn joined(parts: [&str; 2]) -> String {
    parts.concat()
}

fn code_files() -> Vec<Source> {
    sources().into_iter().filter(|s| s.is("rs") || s.is("c") || s.is("h") || s.is_shell()).collect()
}

fn report(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_is() {
    let opens = |source: &Source| {
        let mut lines = source.text.lines();
        if source.is("rs") {
            lines.next().is_some_and(|l| l.starts_with("//! "))
        } else if source.is_shell() {
            lines.nth(1).is_some_and(|l| l.starts_with("# "))
        } else {
            lines.next().is_some_and(|l| l.starts_with("/*") || l.starts_with("// "))
        }
    };
    let files = code_files();
    report(files.iter().filter(|s| !opens(s)).map(|s| s.path.clone()).collect());
}

#[test]
fn no_file_is_too_long() {
    let long = |s: &Source| s.text.lines().count() >= LINES_MAX;
    let files = code_files();
    let line = |s: &Source| format!("{}: {} lines", s.path, s.text.lines().count());
    report(files.iter().filter(|s| long(s)).map(line).collect());
}

#[test]
fn scripts_stop_at_the_first_error() {
    let strict = |s: &Source| {
        let line = s.text.lines().find(|l| !l.starts_with('#') && !l.trim().is_empty());
        line.is_some_and(|l| l.starts_with("set -eu"))
    };
    let scripts = sources().into_iter().filter(|s| s.is_script());
    report(scripts.filter(|s| !strict(s)).map(|s| s.path + ": `set -eu` is not first").collect());
}

#[test]
fn scripts_can_be_run_and_nothing_else_can() {
    use std::os::unix::fs::PermissionsExt;
    let runs = |s: &Source| {
        let path = dsc_test_workspace::root().join(&s.path);
        std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o111 != 0)
    };
    let wrong = |s: &Source| runs(s) != s.text.starts_with("#!");
    report(sources().iter().filter(|s| wrong(s)).map(|s| s.path.clone()).collect());
}

#[test]
fn files_are_named_by_what_they_hold() {
    let mut wrong = Vec::new();
    for source in sources() {
        for part in source.path.split('/') {
            for word in words(part) {
                if let Some((word, instead)) = BANNED.iter().find(|(b, _)| *b == word) {
                    wrong.push(format!("{}: {word}; say {instead}", source.path));
                }
            }
        }
    }
    report(wrong);
}

/// Names that a line of Rust or C defines: after a keyword, or before a single colon (fields, parameters).
fn defined(line: &str) -> Vec<&str> {
    let line = line.split("//").next().unwrap_or_default();
    line.split('"').step_by(2).flat_map(defined_outside_strings).collect()
}

fn defined_outside_strings(line: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut names = Vec::new();
    let mut before = "";
    let mut rest = line;
    while let Some(start) = rest.find(is_part) {
        let end = rest[start..].find(|c| !is_part(c)).map_or(rest.len(), |n| start + n);
        let (token, after) = (&rest[start..end], &rest[end..]);
        let is_path = rest[..start].ends_with("::") || rest[..start].ends_with('.');
        let is_field = after.starts_with(": ") && !is_path;
        if DEFINES.contains(&before) && rest[..start].trim().is_empty() || is_field {
            names.push(token);
        }
        before = token;
        rest = after;
    }
    names
}

#[test]
fn names_use_words_that_say_something() {
    let mut wrong = Vec::new();
    for source in code_files().iter().filter(|s| !s.is_shell()) {
        for (number, line) in source.text.lines().enumerate() {
            for name in defined(line) {
                for word in words(name) {
                    let foreign =
                        |(path, w): &(&str, &str)| source.path.starts_with(path) && *w == word;
                    if FOREIGN.iter().any(foreign) {
                        continue;
                    }
                    if let Some((word, instead)) = BANNED.iter().find(|(b, _)| *b == word) {
                        let place = format!("{}:{}", source.path, number + 1);
                        wrong.push(format!("{place}: {name}: {word}; say {instead}"));
                    }
                }
            }
        }
    }
    report(wrong);
}

#[test]
fn the_search_for_names_finds_them() {
    let line = "pub fn run_engine(mut common_part: u8, other: core::fmt::X) { let info = a.core; }";
    assert_eq!(defined(line), ["run_engine", "common_part", "other", "info"]);
    assert_eq!(words("runEngine_now2Info"), ["run", "engine", "now2", "info"]);
    assert_eq!(words("HTTPServer"), ["httpserver"]);
}

#[test]
fn nothing_is_left_half_done() {
    let marks = [
        joined(["TO", "DO"]),
        joined(["FIX", "ME"]),
        joined(["XX", "X:"]),
        joined(["todo", "!("]),
        joined(["unimple", "mented!("]),
        joined(["dbg", "!("]),
        joined(["#[ig", "nore"]),
        joined(["allow(dead", "_code"]),
    ];
    let text = |s: &Source| {
        s.is("rs")
            || s.is("c")
            || s.is("h")
            || s.is("md")
            || s.is("toml")
            || s.is_shell()
            || s.path.starts_with("man/")
    };
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|s| text(s)) {
        for (number, line) in source.text.lines().enumerate() {
            for mark in marks.iter().filter(|m| line.contains(m.as_str())) {
                // An example compiles it beside the tests, and uses a part of it.
                if mark.contains("dead") && source.path == "lib/dsc-bpf/tests/place/mod.rs" {
                    continue;
                }
                wrong.push(format!("{}:{}: {mark}", source.path, number + 1));
            }
        }
    }
    report(wrong);
}

#[test]
fn nobody_sleeps_instead_of_waiting() {
    let sleep = joined(["thread::", "sleep"]);
    let allowed = |s: &Source| SLEEPS.iter().any(|(path, _)| s.path == *path);
    let mut wrong = Vec::new();
    for source in code_files().iter().filter(|s| s.text.contains(&sleep) && !allowed(s)) {
        wrong.push(format!("{}: {sleep} without a reason in SLEEPS", source.path));
    }
    for (path, reason) in SLEEPS {
        let is_used = sources().iter().any(|s| s.path == *path && s.text.contains(&sleep));
        if !is_used || reason.is_empty() {
            wrong.push(format!("{path} needs no row in SLEEPS"));
        }
    }
    report(wrong);
}

#[test]
fn nothing_belongs_to_one_machine() {
    let paths = [joined(["/wo", "rk/"]), joined(["/tmp/", "t-"]), joined(["/home", "/"])];
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|s| s.path != "Cargo.lock") {
        for (number, line) in source.text.lines().enumerate() {
            for path in paths.iter().filter(|p| line.contains(p.as_str())) {
                wrong.push(format!("{}:{}: {path}", source.path, number + 1));
            }
        }
    }
    report(wrong);
}

#[test]
fn nothing_generated_is_kept() {
    let generated = |s: &Source| {
        GENERATED.iter().any(|g| s.path.ends_with(g))
            || s.path.contains("/target/")
            || s.path.contains("__pycache__")
    };
    report(sources().iter().filter(|s| generated(s)).map(|s| s.path.clone()).collect());
}

#[test]
fn the_top_folder_stays_as_it_is() {
    let top = |s: &Source| s.path.split('/').next().unwrap_or_default().to_owned();
    let mut found: Vec<String> = sources().iter().map(top).collect();
    found.dedup();
    report(found.into_iter().filter(|name| !TOP.contains(&name.as_str())).collect());
}

#[test]
fn lines_end_as_they_should() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|s| s.is("c") || s.is("h") || s.is("md") || s.is_shell())
    {
        if !source.text.is_empty() && !source.text.ends_with('\n') {
            wrong.push(format!("{}: no line end at its end", source.path));
        }
        for (number, line) in source.text.lines().enumerate() {
            if line.ends_with([' ', '\t', '\r']) {
                wrong.push(format!("{}:{}: space at the end", source.path, number + 1));
            }
        }
    }
    report(wrong);
}
