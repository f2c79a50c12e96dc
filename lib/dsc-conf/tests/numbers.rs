//! Numbers that stay: what `[numbers]` says, what the next configuration takes over from the one in force, and what it refuses.

use bolero::check;
use dsc_conf::{Config, Number, Numbered, Problems};
use dsc_wire::{BackendId, CheckId, NodeId, NodePlan, ServiceId, SubnetId, VipId, VipPlan};
use std::fmt::Write;
use std::net::IpAddr;

/// What a file shall have: a bit for each thing.
#[derive(Clone, Copy, Debug)]
struct Plan {
    nodes: u8,
    ext: u16,
    int: u8,
    backends: [u8; 3],
}

const ALL: Plan = Plan { nodes: 0b111, ext: 0b1111, int: 0b1, backends: [0b11, 0b1, 0] };

impl Plan {
    fn bits(bits: impl Into<u64>) -> impl Iterator<Item = usize> {
        let bits = bits.into();
        (0..64).filter(move |at| bits >> at & 1 == 1)
    }

    fn list(texts: impl Iterator<Item = String>) -> String {
        texts.map(|t| format!("{t:?}")).collect::<Vec<_>>().join(", ")
    }

    fn text(&self) -> String {
        let mut out = String::from("[cluster]\nname = \"t\"\n");
        for (name, network, bits) in [("ext", 1, u64::from(self.ext)), ("int", 2, self.int.into())]
        {
            let pool = Plan::list(Plan::bits(bits).map(|v| format!("10.{network}.0.{}", 100 + v)));
            let _ = writeln!(
                out,
                "[[subnet]]\nname = {name:?}\nnetworks = [\"10.{network}.0.0/24\"]\npool = [{pool}]"
            );
        }
        for n in Plan::bits(self.nodes) {
            let _ = writeln!(
                out,
                "[[node]]\nname = \"n{n}\"\naddresses = {{ ext = \"10.1.0.{0}\", int = \"10.2.0.{0}\" }}",
                n + 1
            );
        }
        for (s, backends) in self.backends.iter().enumerate() {
            if *backends == 0 || self.ext == 0 {
                continue;
            }
            let _ = writeln!(
                out,
                "[[service]]\nname = \"s{s}\"\nvips = \"ext\"\nport = {}\nbackends = [",
                80 + s
            );
            for b in Plan::bits(*backends) {
                let _ = writeln!(out, "  {{ address = \"10.2.0.{}\" }},", 200 + b);
            }
            out.push_str("]\n");
        }
        out
    }

    fn config(&self) -> Config {
        parse(&self.text())
    }
}

fn parse(text: &str) -> Config {
    Config::parse(text, "dsc.toml").unwrap_or_else(|p| panic!("{p}\n{text}"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn next(before: &Config, plan: Plan) -> Config {
    before.successor(plan.config()).unwrap_or_else(|p| panic!("{p}"))
}

fn refused(before: &Config, text: &str) -> Problems {
    before.successor(parse(text)).expect_err(text)
}

#[test]
fn without_numbers_a_thing_has_its_position() {
    let config = ALL.config();
    assert_eq!(config.node_named("n2"), Some(NodeId(2)));
    assert_eq!(config.vip_with_address(ip("10.2.0.100")), Some(VipId(4)));
    assert!(!config.to_toml().contains("numbers"));
}

#[test]
fn what_goes_leaves_a_hole_and_what_comes_gets_a_number_past_the_end() {
    let config = Plan { nodes: 0b101, ext: 0b1101, backends: [0b10, 0, 0], ..ALL };
    let config = next(&ALL.config(), config);
    assert_eq!(config.node_named("n2"), Some(NodeId(2)));
    assert_eq!(config.vip_with_address(ip("10.2.0.100")), Some(VipId(4)));
    assert_eq!((config.nodes.count(), config.nodes.bound()), (2, 3));
    assert_eq!(config.nodes.get(NodeId(1)), None);
    assert_eq!(config.services.get(ServiceId(1)), None);
    assert_eq!(config.backends.iter().map(|(id, _)| id).collect::<Vec<_>>(), [BackendId(1)]);
    let cluster = config.cluster();
    assert_eq!((cluster.nodes[1], cluster.vips[1]), (NodePlan::HOLE, VipPlan::HOLE));
    assert_eq!(
        cluster.backends.iter().map(Option::is_some).collect::<Vec<_>>(),
        [false, true, false]
    );
    assert_eq!(config.names().nodes, ["n0", "", "n2"]);
    assert_eq!((config.version, cluster.version), (1, 1));
    let config = next(&config, Plan { nodes: 0b1111, ext: 0b11111, ..ALL });
    assert_eq!(config.node_named("n1"), Some(NodeId(3)), "it is another node of that name");
    assert_eq!(config.node_named("n3"), Some(NodeId(4)));
    assert_eq!(config.vip_with_address(ip("10.1.0.101")), Some(VipId(5)));
    assert_eq!(config.vip_with_address(ip("10.1.0.104")), Some(VipId(6)));
    assert_eq!(config.version, 2);
}

#[test]
fn the_last_one_that_goes_leaves_a_hole_too() {
    let config = next(&ALL.config(), Plan { nodes: 0b11, ..ALL });
    assert_eq!((config.nodes.count(), config.nodes.bound()), (2, 3));
    let text = config.to_toml();
    assert!(text.ends_with("\n[numbers]\nnodes = [\"n0\", \"n1\", \"\"]\n"), "{text}");
    assert_eq!(parse(&text), config);
    assert_ne!(config.digest(), Plan { nodes: 0b11, ..ALL }.config().digest());
}

#[test]
fn numbers_of_what_was_taken_out_of_the_file_are_holes_and_new_things_need_none() {
    let text =
        Plan { nodes: 0b1011, ..ALL }.text() + "[numbers]\nnodes = [\"n1\", \"n2\", \"n0\"]\n";
    let config = parse(&text);
    assert_eq!(config.names().nodes, ["n1", "", "n0", "n3"]);
    assert_eq!(config.nodes[NodeId(0)].address_on(SubnetId(1)), Some(ip("10.2.0.2")));
}

#[test]
fn a_hole_is_filled_only_when_there_is_no_other_number_left() {
    let nodes = |range: std::ops::Range<usize>| {
        let mut text = String::from(
            "[cluster]\nname = \"t\"\n[[subnet]]\nname = \"ext\"\nnetworks = [\"10.1.0.0/16\"]\n",
        );
        for n in range {
            let _ = writeln!(
                text,
                "[[node]]\nname = \"n{n}\"\naddresses = {{ ext = \"10.1.1.{}\" }}",
                n + 1
            );
        }
        text
    };
    let full = parse(&nodes(0..64));
    let problems = refused(&full, &nodes(1..65)).to_string();
    assert!(problems.contains("there are 1 new nodes, but only 0 numbers"), "{problems}");
    let without = full.successor(parse(&nodes(2..64))).unwrap();
    assert_eq!((without.nodes.count(), without.nodes.bound()), (62, 64));
    let again = without.successor(parse(&nodes(2..65))).unwrap();
    assert_eq!(again.node_named("n64"), Some(NodeId(0)));
    assert_eq!(again.nodes.get(NodeId(1)), None);
}

#[test]
fn what_only_a_start_reads_is_refused_with_a_way_out() {
    let text = ALL.text();
    let config = parse(&text);
    let twice = |from: &str, to: &str| refused(&config, &text.replace(from, to));
    let problems =
        twice("name = \"t\"\n", "name = \"other\"\nport = 9000\nkey_file = \"/etc/other\"\n");
    let texts: Vec<&str> = problems.list().iter().map(|p| p.message.as_str()).collect();
    assert_eq!(
        texts,
        [
            "the cluster's name is \"other\", but \"t\" in the configuration in force",
            "port is 9000, but 7946 in the configuration in force",
            "key_file is \"/etc/other\", but \"/etc/dsc/key\" in the configuration in force",
        ]
    );
    let problems = refused(&config, &format!("{text}[flows]\nmax = 2048\n"));
    assert!(problems.list()[0].help.as_ref().unwrap().contains("`version`"), "{problems}");
    let problems = twice("10.2.0.3", "10.2.0.33");
    let [problem] = problems.list() else { panic!("{problems}") };
    assert!(problem.line > 0, "{problem:?}");
    assert_eq!(
        problem.message,
        "the address of node `n2` on subnet `int` is 10.2.0.33, but 10.2.0.3 in the configuration in force"
    );
    assert!(problem.help.as_ref().unwrap().contains("dscctl node remove n2"));
    let plain = Plan { backends: [0; 3], ..ALL };
    let problems = refused(&plain.config(), &plain.text().replace(", int = \"10.2.0.3\"", ""));
    assert!(problems.to_string().contains("is none, but 10.2.0.3"), "{problems}");
    let one = "[[node]]\nname = \"x\"\naddresses = { ext = \"10.1.0.9\" }\n";
    let nobody = Plan { nodes: 0, backends: [0; 3], int: 0, ..ALL }.text() + one;
    let problems = refused(&config, &nobody).to_string();
    assert!(
        problems.contains("none of the nodes of the configuration in force stays"),
        "{problems}"
    );
}

#[test]
fn checks_of_nodes_keep_their_numbers_and_lose_nodes_that_go() {
    let ping = |name: &str, more: &str| {
        format!("[[check]]\nname = {name:?}\nkind = \"ping\"\naddress = \"10.1.0.254\"\n{more}")
    };
    let text = ALL.text() + &ping("a", "") + &ping("b", "nodes = [\"n1\", \"n2\"]\n");
    let both = parse(&text);
    let one = ALL.text() + &ping("b", "nodes = [\"n1\", \"n2\"]\ncritical = \"int\"\n");
    let one = both.successor(parse(&one)).unwrap();
    let b = CheckId(1);
    assert_eq!((one.checks.get(CheckId(0)), one.checks[b].name.as_str()), (None, "b"));
    assert_eq!(parse(&one.document()), one);
    assert!(one.to_toml().ends_with("\n[numbers]\nchecks = [\"\", \"b\"]\n"));
    let names: Vec<String> = one.names().checks.into_iter().map(|c| c.name).collect();
    assert_eq!(names, ["", "b"]);
    let lines = |changes: Vec<dsc_conf::Change>| -> Vec<String> {
        changes.iter().map(ToString::to_string).collect()
    };
    assert_eq!(lines(both.changes(&one)), ["- check a", "~ check b critical none -> int"]);
    let without = both.successor(both.without_node(NodeId(1)).unwrap()).unwrap();
    assert_eq!(without.checks[b].nodes.iter().collect::<Vec<_>>(), [NodeId(2)]);
    let addresses = [("ext".to_owned(), ip("10.1.0.9")), ("int".to_owned(), ip("10.2.0.9"))];
    let with = without.with_node("n9", &addresses, false).unwrap();
    let with = without.successor(with).unwrap();
    assert_eq!(with.node_named("n9"), Some(NodeId(3)));
    let everywhere = with.checks[CheckId(0)].nodes.iter().collect::<Vec<_>>();
    assert_eq!(everywhere, [NodeId(0), NodeId(2), NodeId(3)], "the usual is every node");
    assert_eq!(with.checks[b].nodes.iter().collect::<Vec<_>>(), [NodeId(2)]);
}

/// Whatever is changed, in however many steps.
#[test]
fn numbers_never_change_for_what_stays() {
    fn stays<I: Number + PartialEq, T>(
        before: &Numbered<I, T>,
        after: &Numbered<I, T>,
        name: impl Fn(&T) -> String,
        after_name: impl Fn(&T) -> String,
    ) {
        assert!(after.bound() >= before.bound());
        for (id, thing) in after.iter() {
            let known = before.iter().find(|(_, t)| name(t) == after_name(thing));
            match known {
                Some((before, _)) => assert_eq!(before, id),
                None => assert!(id.index() >= before.bound(), "{id:?} was in use"),
            }
        }
    }
    check!().with_iterations(100).with_type::<Vec<(u8, u16, u8, [u8; 3])>>().for_each(|steps| {
        let mut before = ALL.config();
        for (nodes, ext, int, backends) in steps.iter().take(6).copied() {
            let plan = Plan { nodes: nodes & 0x3f | 1, ext: ext & 0x3ff, int: int & 7, backends };
            let after = next(&before, plan);
            assert_eq!(after.version, before.version + 1);
            stays(&before.nodes, &after.nodes, |n| n.name.clone(), |n| n.name.clone());
            stays(&before.subnets, &after.subnets, |s| s.name.clone(), |s| s.name.clone());
            let vip = |v: &dsc_conf::Vip| v.address.to_string();
            stays(&before.vips, &after.vips, vip, vip);
            stays(&before.services, &after.services, |s| s.name.clone(), |s| s.name.clone());
            let called = |b: &dsc_conf::Backend| before.backend_called(b);
            let now = |b: &dsc_conf::Backend| after.backend_called(b);
            stays(&before.backends, &after.backends, called, now);
            let read = parse(&after.document());
            assert_eq!(read, after);
            assert_eq!(read.digest(), after.digest());
            assert_eq!(before.successor(read).unwrap(), after, "every member finds the same");
            let changes = before.changes(&after);
            assert_eq!(changes.is_empty(), before.digest() == after.digest(), "{changes:?}");
            before = after;
        }
    });
}

#[test]
fn numbers_are_kept_unless_what_stays_has_another_one() {
    let all = ALL.config();
    let one = next(&all, ALL);
    assert!(one.keeps_numbers_of(&all), "nothing has changed");
    let grown = next(&one, Plan { nodes: 0b1111, ..ALL });
    assert!(grown.keeps_numbers_of(&one) && one.keeps_numbers_of(&grown));
    let without = next(&one, Plan { nodes: 0b101, ..ALL });
    let back = next(&without, ALL);
    assert!(without.keeps_numbers_of(&one) && back.keeps_numbers_of(&without));
    assert!(!back.keeps_numbers_of(&one), "n1 has a new number");
    let without = next(&one, Plan { ext: 0b1101, ..ALL });
    let back = next(&without, ALL);
    assert!(back.keeps_numbers_of(&one), "a VIP came back in steps that can be made in one");
    assert!(!back.keeps_numbers_of(&all), "a file may have been written in another order");
}
