//! What every reading command prints for every case below `views/`, against the files below `expected/`. Rewrite them
//! with `BLESS=1 cargo test -p dscctl golden::`, and read the difference before you commit it.

use crate::answer::{Case, case, folder};
use dsc_wire::local::{BackendName, FwdBackend, FwdService, NodeView, VipView};
use dsc_wire::{BackendState, NodeId, ServiceId, SubnetId, VipId};
use dscctl::arguments::{FlowsArguments, LinkArguments, StatusArguments};
use dscctl::failure::Failure;
use dscctl::reads::{self, Reader};
use dscctl::{checks, flows, link};
use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
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
        ("check".into(), Box::new(|c, r| checks::show_checks(c, r))),
        ("flows --limit 4".into(), Box::new(move |c, r| flows::show_flows(c, r, &flows(false)))),
        ("flows --count".into(), Box::new(move |c, r| flows::show_flows(c, r, &flows(true)))),
    ];
    if case.link.is_some() {
        let link = |count| LinkArguments { count, limit: 2, service: None };
        let downloads: Read = Box::new(move |c, r| link::show(c, r, &link(false)));
        reads.push(("link --limit 2".into(), downloads));
        let counts: Read = Box::new(move |c, r| link::show(c, r, &link(true)));
        reads.push(("link --count".into(), counts));
    }
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

/// A number whose thing was taken out of the configuration is nothing to anybody.
#[test]
fn what_is_gone_is_not_shown() {
    for name in ["steady", "lessened"] {
        let there = case(name);
        let mut gone = there.clone();
        let view = &mut gone.view;
        view.nodes.push(NodeView { id: NodeId(3), member: false, ..view.nodes[0].clone() });
        view.vips.push(VipView { id: VipId(5), host: None, ..view.vips[0].clone() });
        let nowhere = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let (service, address) = (ServiceId(0), SocketAddr::new(nowhere, 0));
        let no_backend = BackendName { service, address, state: BackendState::Disabled };
        for names in [&mut view.names, &mut gone.services.names] {
            assert_eq!((names.nodes.len(), names.vips.len()), (3, 5), "{name}");
            names.nodes.push(String::new());
            names.vips.push(nowhere);
            names.vip_subnets.push(SubnetId::NOWHERE);
            names.services.push(String::new());
            names.backends.push(no_backend);
        }
        gone.services.services.push(FwdService::default());
        gone.services.backends.push(FwdBackend::default());
        for json in [false, true] {
            for (command, read) in reads(&there) {
                let page = |case: &Case| {
                    let mut out = Vec::new();
                    let timeout = Duration::from_secs(1);
                    let mut reader = Reader { out: &mut out, json, terminal: false, timeout };
                    let code = read(case, &mut reader).unwrap();
                    (code, String::from_utf8(out).unwrap())
                };
                assert_eq!(page(&gone), page(&there), "{name}: {command}");
            }
        }
        let missing = reads::show_node(
            &gone,
            &mut Reader {
                out: &mut Vec::new(),
                json: false,
                terminal: false,
                timeout: Duration::from_secs(1),
            },
            Some(""),
        );
        assert!(missing.unwrap_err().to_string().ends_with("are n1, n2, n3"));
    }
}
