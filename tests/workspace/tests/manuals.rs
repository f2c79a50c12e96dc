//! The manual pages: clean, complete, and true where they can be compared with the configuration reader. What a
//! program's own page says about its options is compared in the program's own tests (`tests/manual.rs`).

use dsc_conf::{Config, KEYS};
use dsc_test_workspace::{Source, crates, sources};
use std::collections::BTreeSet;
use std::process::Command;

fn pages() -> Vec<Source> {
    sources().into_iter().filter(|s| s.path.starts_with("man/")).collect()
}

fn page(name: &str) -> String {
    let page = pages().into_iter().find(|p| p.path == format!("man/{name}"));
    page.unwrap_or_else(|| panic!("there is no man/{name}")).text
}

fn programs() -> Vec<String> {
    crates().values().filter(|c| c.folder.starts_with("bin/")).map(|c| c.name.clone()).collect()
}

#[test]
fn every_page_is_clean() {
    let paths: Vec<_> = pages().iter().map(|p| dsc_test_workspace::root().join(&p.path)).collect();
    let run = Command::new("mandoc").args(["-Tlint", "-Wwarning"]).args(&paths).output();
    let run = run.expect("mandoc, which is in scripts/packages");
    let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.is_empty(), "{said}");
}

#[test]
fn every_program_has_a_page_and_a_test_that_compares_it() {
    let pages: BTreeSet<String> = pages().into_iter().map(|p| p.path).collect();
    let mut wrong = Vec::new();
    for program in programs() {
        if !pages.contains(&format!("man/{program}.8")) {
            wrong.push(format!("{program} has no man/{program}.8"));
        }
        let test = format!("bin/{program}/tests/manual.rs");
        let compares = sources()
            .iter()
            .any(|s| s.path == test && s.text.contains(&format!("manual::compare(\"{program}\"")));
        if !compares {
            wrong.push(format!("{test} does not compare the page with the program"));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// A page names its neighbours, and those exist.
#[test]
fn references_lead_somewhere() {
    let names: BTreeSet<String> =
        pages().iter().map(|p| p.path.trim_start_matches("man/").to_owned()).collect();
    let mut wrong = Vec::new();
    for page in pages() {
        let mut seen = BTreeSet::new();
        for line in page.text.lines().filter(|l| l.starts_with('.')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            for at in (0..words.len()).filter(|i| words[*i].trim_start_matches('.') == "Xr") {
                let (Some(name), Some(section)) = (words.get(at + 1), words.get(at + 2)) else {
                    wrong.push(format!("{}: {line}", page.path));
                    continue;
                };
                let target = format!("{name}.{section}");
                if name.starts_with("dsc") && !names.contains(&target) {
                    wrong.push(format!("{}: {name}({section}) does not exist", page.path));
                }
                seen.insert(target);
            }
        }
        if page.path != "man/dsc.7" && !seen.contains("dsc.7") {
            wrong.push(format!("{} does not lead to dsc(7)", page.path));
        }
    }
    for program in programs() {
        if !page("dsc.7").contains(&format!(".Xr {program} 8")) {
            wrong.push(format!("dsc(7) does not name {program}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// Keys that dsc.toml(5) explains: `.It Cm KEY` below the `.Ss` of their table.
fn explained() -> BTreeSet<(String, String)> {
    let mut table = String::new();
    let mut found = BTreeSet::new();
    for line in page("dsc.toml.5").lines() {
        if let Some(title) = line.strip_prefix(".Ss ") {
            table = title.trim_matches(['[', ']']).to_owned();
        } else if line.starts_with(".Sh ") {
            table.clear();
        } else if let Some(rest) = line.strip_prefix(".It Cm ") {
            let key = rest.split_whitespace().next().unwrap_or_default();
            found.insert((table.clone(), key.to_owned()));
        }
    }
    found
}

#[test]
fn the_page_explains_exactly_the_keys_that_are_read() {
    let read = KEYS.iter().filter(|k| !k.table.is_empty());
    let read: BTreeSet<_> = read.map(|k| (k.table.to_owned(), k.key.to_owned())).collect();
    assert_eq!(explained(), read);
}

#[test]
fn required_keys_are_called_so() {
    let text = page("dsc.toml.5");
    for key in KEYS.iter().filter(|k| !k.table.is_empty()) {
        let table = text
            .split(".Ss ")
            .find(|t| t.lines().next().is_some_and(|l| l.trim_matches(['[', ']']) == key.table));
        let item = table
            .and_then(|t| t.split(".It Cm ").find(|i| i.starts_with(&format!("{} ", key.key))));
        let item = item.unwrap_or_else(|| panic!("{} {}", key.table, key.key));
        let says = item.contains("Must be there") || item.contains("At least one.");
        assert_eq!(says, key.required, "{} {}", key.table, key.key);
    }
}

/// The literal displays of a page.
fn displays(text: &str) -> Vec<&str> {
    text.split(".Bd -literal")
        .skip(1)
        .filter_map(|d| d.split_once('\n')?.1.split_once(".Ed").map(|(d, _)| d))
        .collect()
}

#[test]
fn the_page_s_examples_are_legal_and_its_mistake_is_told_as_shown() {
    let text = page("dsc.toml.5");
    let (shown, examples): (Vec<&str>, Vec<&str>) =
        displays(&text).into_iter().partition(|d| d.starts_with("error: "));
    assert_eq!((shown.len(), examples.len()), (1, 4));
    for example in &examples {
        if let Err(problems) = Config::parse(example, "example") {
            panic!("{problems}");
        }
    }
    let range = "pool = [\"10.1.0.100-10.1.0.103\"]";
    let mistake = examples[0].replace(range, "pool = [\"10.1.2.100\"]");
    let told = Config::parse(&mistake, "/etc/dsc/dsc.toml").expect_err("a mistake").to_string();
    assert_eq!(told, shown[0]);
}

#[test]
fn the_page_gives_the_profiles_values() {
    let text = page("dsc.toml.5");
    let printed = |profile: &str, extra: &str| {
        let timing = format!("{{ profile = \"{profile}\"{extra} }}");
        let example = displays(&text)[0].replacen(
            "name = \"shop\"",
            &format!("name = \"shop\"\ntiming = {timing}"),
            1,
        );
        Config::parse(&example, "example").unwrap_or_else(|p| panic!("{p}")).timing
    };
    let (default, fast) = (printed("default", ""), printed("fast", ""));
    for (key, a, b) in [
        ("rotation_ms", default.rotation, fast.rotation),
        ("removal_ms", default.removal, fast.removal),
        ("starve_ms", default.starve, fast.starve),
        ("lease_ms", default.lease, fast.lease),
        ("beacon_ms", default.beacon, fast.beacon),
        ("stall_ms", default.stall, fast.stall),
    ] {
        let ms = |d: std::time::Duration| d.as_secs_f64() * 1000.0;
        let expected = format!(".Pq {}; fast: {}", ms(a), ms(b));
        let item = text.split(".It Cm ").find(|i| i.starts_with(&format!("{key} ")));
        assert!(item.is_some_and(|i| i.contains(&expected)), "{key}: {expected}");
    }
    let most = default.lease_max.as_millis();
    assert!(text.contains(&format!("grows up to {most}")), "lease_max is {most}");
}
