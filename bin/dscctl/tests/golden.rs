//! What every reading command prints for every case below `views/`, against the files below `expected/`. Rewrite them
//! with `BLESS=1 cargo test -p dscctl --test golden`, and read the difference before you commit it.

mod answer;

use answer::{Case, case, folder};
use dscctl::arguments::{FlowsArguments, StatusArguments};
use dscctl::failure::Failure;
use dscctl::flows;
use dscctl::reads::{self, Reader};
use std::fmt::Write;
use std::fs;
use std::time::Duration;

type Read<'a> = Box<dyn Fn(&Case, &mut Reader) -> Result<u8, Failure> + 'a>;

fn reads(case: &Case) -> Vec<(String, Read<'_>)> {
    let status = |local| StatusArguments { local, global: !local, watch: false };
    let flows = |count| FlowsArguments { count, limit: 4, ..FlowsArguments::default() };
    let mut reads: Vec<(String, Read)> = vec![
        ("status".into(), Box::new(move |c, r| reads::show_status(c, r, &status(false)))),
        ("status --local".into(), Box::new(move |c, r| reads::show_status(c, r, &status(true)))),
        ("vip".into(), Box::new(|c, r| reads::show_vip(c, r, None))),
        ("node".into(), Box::new(|c, r| reads::show_node(c, r, None))),
        ("events".into(), Box::new(|c, r| reads::show_events(c, r, 0, false))),
        ("counters".into(), Box::new(|c, r| reads::show_counters(c, r))),
        ("service".into(), Box::new(|c, r| flows::show_services(c, r))),
        ("backend".into(), Box::new(|c, r| flows::show_backends(c, r))),
        ("flows --limit 4".into(), Box::new(move |c, r| flows::show_flows(c, r, &flows(false)))),
        ("flows --count".into(), Box::new(move |c, r| flows::show_flows(c, r, &flows(true)))),
    ];
    for vip in &case.view.names.vips {
        let read: Read = Box::new(move |c, r| reads::show_vip(c, r, Some(*vip)));
        reads.push((format!("vip {vip}"), read));
    }
    for node in &case.view.names.nodes {
        let read: Read = Box::new(move |c, r| reads::show_node(c, r, Some(node)));
        reads.push((format!("node {node}"), read));
    }
    reads
}

fn printed(case: &Case, json: bool) -> String {
    let mut page = String::new();
    for (command, read) in reads(case) {
        let mut out = Vec::new();
        let timeout = Duration::from_secs(1);
        let mut reader = Reader { out: &mut out, json, terminal: false, timeout };
        let (code, error) = match read(case, &mut reader) {
            Ok(code) => (code, String::new()),
            Err(failure) => (failure.code(), format!("dscctl: {failure}\n")),
        };
        let out = String::from_utf8(out).unwrap();
        let option = if json { " --json" } else { "" };
        writeln!(page, "$ dscctl {command}{option}\n{out}{error}exit {code}\n").unwrap();
    }
    page
}

#[test]
fn every_case_is_printed_as_expected() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    let mut cases = 0;
    for entry in fs::read_dir(folder("views")).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_string();
        let case = case(&name);
        cases += 1;
        for (json, ending) in [(false, "txt"), (true, "json")] {
            let expected = folder("expected").join(&name).with_extension(ending);
            let printed = printed(&case, json);
            if bless {
                fs::write(&expected, printed).unwrap();
            } else if fs::read_to_string(&expected).ok().as_ref() != Some(&printed) {
                wrong.push(format!("{}\n{printed}", expected.display()));
            }
        }
    }
    assert!(cases > 0, "no case was found");
    assert!(wrong.is_empty(), "BLESS=1 rewrites what is expected\n{}", wrong.join("\n"));
}

#[test]
fn each_line_of_json_is_one_object() {
    for name in ["steady", "troubled"] {
        let page = printed(&case(name), true);
        let objects: Vec<serde_json::Map<String, serde_json::Value>> = page
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(objects.len() > 20, "{name}");
    }
}

/// Set back by a year, the wall clock would have them warned of for a year.
#[test]
fn causes_from_before_the_clock_was_set_are_history() {
    let mut case = case("troubled");
    let lapses = |case: &Case| printed(case, false).matches(": its lease lapsed for").count();
    assert!(lapses(&case) > 0);
    case.wall_ms -= 31_536_000_000;
    assert_eq!(lapses(&case), 0);
}
