//! What `metrics` writes for every case below `views/`, against the `.prom` files below `expected/` (`BLESS=1` rewrites
//! them), read by a parser that takes nothing the format does not allow; and the file that it writes.

use crate::answer::{Case, case, folder};
use crate::fake::{Daemons, Dir, run};
use crate::prometheus::parse;
use clap::Parser;
use dsc_wire::Time;
use dsc_wire::local::{
    FlowFilter, FwdCounters, FwdFlows, FwdServices, LinkDownloads, LinkRequest, Reply, Request,
};
use dscctl::arguments::{Arguments, Command, MetricsArguments};
use dscctl::ask::Ask;
use dscctl::failure::Failure;
use dscctl::metrics;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::time::Duration;

fn written(world: &dyn Ask) -> (String, Result<u8, Failure>) {
    let mut out = Vec::new();
    let ended = metrics::run(world, &mut out, &MetricsArguments::default(), Duration::from_secs(1));
    (String::from_utf8(out).unwrap(), ended)
}

/// A node whose ring daemon does not answer.
struct Ringless(Case);

impl Ask for Ringless {
    fn ringd(&self, _: &Request, _: Duration) -> Result<Reply, Failure> {
        Err(Failure::Unreachable("no dsc-ringd".into()))
    }
    fn counters(&self, patience: Duration) -> Result<FwdCounters, Failure> {
        self.0.counters(patience)
    }
    fn services(&self, patience: Duration) -> Result<FwdServices, Failure> {
        self.0.services(patience)
    }
    fn flows(&self, filter: FlowFilter, limit: u32, p: Duration) -> Result<FwdFlows, Failure> {
        Ask::flows(&self.0, filter, limit, p)
    }
    fn link(&self, request: &LinkRequest, patience: Duration) -> Result<LinkDownloads, Failure> {
        self.0.link(request, patience)
    }
    fn now(&self) -> Time {
        self.0.now()
    }
    fn wall_ms(&self) -> u64 {
        self.0.wall_ms()
    }
    fn pause(&self, span: Duration) {
        self.0.pause(span);
    }
}

#[test]
fn every_case_is_written_as_expected_and_as_the_format_wants() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for entry in fs::read_dir(folder("views")).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_string();
        let case = case(&name);
        let (text, ended) = written(&case);
        assert_eq!(ended.is_ok(), case.fwd.is_some(), "{name}");
        let read = parse(&text).unwrap_or_else(|problem| panic!("{name}: {problem}\n{text}"));
        for (metric, kind) in &read.kinds {
            assert!(metric.starts_with("dsc_"), "{metric}");
            assert_eq!(metric.ends_with("_total"), kind == "counter", "{metric} is a {kind}");
        }
        let expected = folder("expected").join(&name).with_extension("prom");
        if bless {
            fs::write(&expected, text).unwrap();
        } else if fs::read_to_string(&expected).ok().as_ref() != Some(&text) {
            wrong.push(format!("{}\n{text}", expected.display()));
        }
    }
    assert!(wrong.is_empty(), "BLESS=1 rewrites what is expected\n{}", wrong.join("\n"));
}

#[test]
fn a_daemon_that_does_not_answer_is_told_and_the_others_are_still_there() {
    let (text, ended) = written(&Ringless(case("steady")));
    assert_eq!(ended.unwrap_err().code(), 3);
    let read = parse(&text).unwrap();
    for (daemon, up) in [("dsc-ringd", 0.0), ("dsc-fwd", 1.0), ("dsc-mon", 0.0)] {
        assert_eq!(read.value("dsc_up", &[("daemon", daemon)]), Some(up), "{daemon}");
    }
    assert_eq!(read.value("dsc_vip_bytes_total", &[("vip", "10.1.0.100")]), Some(640_000.0));
    assert_eq!(read.value("dsc_sharing_peer_missing", &[("node", "n3")]), Some(3.0));
    assert!(!read.kinds.contains_key("dsc_member"));

    let mut case = case("steady");
    case.fwd = None;
    let (text, ended) = written(&case);
    assert_eq!(ended.unwrap_err().code(), 3);
    let read = parse(&text).unwrap();
    for (daemon, up) in [("dsc-ringd", 1.0), ("dsc-fwd", 0.0), ("dsc-mon", 1.0)] {
        assert_eq!(read.value("dsc_up", &[("daemon", daemon)]), Some(up), "{daemon}");
    }
    assert_eq!(read.value("dsc_member", &[("node", "n3")]), Some(1.0));
    assert!(!read.kinds.contains_key("dsc_vip_bytes_total"));
    // What only `status --local` warns of.
    assert_eq!(read.value("dsc_warnings", &[("warning", "fwd-unreachable")]), Some(1.0));

    let mut case = self::case("link");
    case.link = None;
    let (text, ended) = written(&case);
    assert_eq!(ended.unwrap_err().code(), 3);
    let read = parse(&text).unwrap();
    for (daemon, up) in [("dsc-fwd", 1.0), ("dsc-link", 0.0)] {
        assert_eq!(read.value("dsc_up", &[("daemon", daemon)]), Some(up), "{daemon}");
    }
    assert!(!read.kinds.contains_key("dsc_link_running"));
}

/// Names come from the configuration and from other builds: none of them may break the text, nor any sample stand twice.
#[test]
fn odd_and_repeated_names_are_still_one_right_text() {
    let mut case = case("steady");
    case.view.names.nodes[1] = "a\"b\\c\nd {e=\"f\"} 1".into();
    case.view.names.nodes[2] = "n1".into();
    case.view.names.subnets[1] = "ext".into();
    let counter = case.view.counters[0].clone();
    case.view.counters.push(counter);
    case.services.services[1].name = case.services.services[0].name.clone();
    let read = parse(&written(&case).0).unwrap();
    assert_eq!(read.value("dsc_member", &[("node", "a\"b\\c\nd {e=\"f\"} 1")]), Some(1.0));
}

#[test]
fn the_file_is_replaced_whole_and_readable_by_all() {
    let dir = Dir::new();
    let file = dir.0.join("dsc.prom");
    let output = file.to_str().unwrap();
    let only_file = || {
        let names = fs::read_dir(&dir.0).unwrap().map(|e| e.unwrap().file_name());
        let mut names: Vec<_> = names.filter(|n| n.to_str().unwrap().contains("prom")).collect();
        assert_eq!(names.pop().unwrap(), "dsc.prom");
        assert!(names.is_empty(), "{names:?} left behind");
    };
    let (code, out, err) = run(&dir.0, &["metrics", "--output", output]);
    assert_eq!((code, out.as_str()), (3, ""), "{err}");
    let read = parse(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(read.value("dsc_up", &[("daemon", "dsc-ringd")]), Some(0.0));
    only_file();

    let daemons = Daemons::start(&dir.0, case("steady"), |_, _, _| panic!("told to change"));
    // Whoever has the old file open goes on to read all of it.
    let old = fs::read_to_string(&file).unwrap();
    let mut open = fs::File::open(&file).unwrap();
    let status = std::process::Command::new("sh")
        .args(["-c", "umask 077; exec \"$0\" --run-dir \"$1\" metrics --output \"$2\""])
        .args([env!("CARGO_BIN_EXE_dscctl"), dir.0.to_str().unwrap(), output])
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(std::io::read_to_string(&mut open).unwrap(), old);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o644);
    let text = fs::read_to_string(&file).unwrap();
    let read = parse(&text).unwrap();
    assert_eq!(read.value("dsc_up", &[("daemon", "dsc-ringd")]), Some(1.0));
    only_file();

    assert_eq!(read.value("dsc_member", &[("node", "n3")]), Some(1.0));

    daemons.case().view.nodes[2].member = false;
    let (code, printed, err) = run(&dir.0, &["metrics"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(parse(&printed).unwrap().value("dsc_member", &[("node", "n3")]), Some(0.0));

    for (arguments, expected) in [
        (&["metrics", "--json"][..], 2),
        (&["metrics", "--output", "/nowhere/dsc.prom"], 4),
        (&["metrics", "--output", dir.0.to_str().unwrap()], 4),
        (&["metrics", "--output", ""], 2),
    ] {
        let (code, out, err) = run(&dir.0, arguments);
        assert_eq!((code, out.as_str()), (expected, ""), "{arguments:?}: {err}");
        assert!(!err.is_empty());
    }
    only_file();
}

#[test]
fn what_is_no_file_is_written_to_and_stays_what_it_is() {
    let dir = Dir::new();
    let _daemons = Daemons::start(&dir.0, case("steady"), |_, _, _| panic!("told to change"));
    let pipe = dir.0.join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Opened both ways, so that a file in the pipe's place keeps nobody waiting here.
    let mut reader = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let (code, out, err) = run(&dir.0, &["metrics", "--output", pipe.to_str().unwrap()]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", ""));
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    let mut first = [0; 6];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"# HELP");

    let (file, link) = (dir.0.join("file"), dir.0.join("link"));
    fs::write(&file, "old").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let (code, _, err) = run(&dir.0, &["metrics", "--output", link.to_str().unwrap()]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "it leads where it led");
    assert!(parse(&fs::read_to_string(&file).unwrap()).is_ok());
    fs::remove_file(&file).unwrap();
    let socket = dir.0.join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for bad in [&link, &socket] {
        let (code, _, err) = run(&dir.0, &["metrics", "--output", bad.to_str().unwrap()]);
        assert_eq!(code, 4, "{err}");
        assert!(err.contains("cannot write"), "{err}");
    }
}

/// The unit that a timer starts asks for what the program knows.
#[test]
fn the_unit_writes_where_the_collector_looks() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conf/systemd/dsc-metrics.service");
    let unit = fs::read_to_string(path).unwrap();
    let value = |key: &str| unit.lines().find_map(|l| l.strip_prefix(key)).unwrap().to_owned();
    let line = value("ExecStart=");
    let words = line.strip_prefix("/usr/bin/").unwrap().split_whitespace();
    let arguments = Arguments::try_parse_from(words).unwrap();
    let Some(Command::Metrics(wanted)) = arguments.command else { panic!("{line}") };
    let file = wanted.output.unwrap();
    assert_eq!(file.extension().unwrap(), "prom", "the collector takes no other");
    assert_eq!(file.parent().unwrap().to_str().unwrap(), value("ReadWritePaths="));
}
