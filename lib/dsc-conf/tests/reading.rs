//! What a good file becomes, and that what is printed can be read.

use dsc_conf::{Config, Flows, KEYS, NodeUnknown};
use dsc_wire::{
    BackendId, BackendState, Balance, FlowTimeouts, NodeId, Partition, Persistence, Protocol,
    Routing, ServiceId, ServiceKind, SubnetId, Timing, VipId,
};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

const SHOP: &str = r#"
[cluster]
name = "shop"
key_file = "/etc/dsc/key"
port = 7946
partition = "majority"
timing = { profile = "fast", removal_ms = 4.25, lease_ms = 30 }

[[subnet]]
name = "ext"
networks = ["10.1.0.0/24", "fd00:1::/64"]
pool = ["10.1.0.100-10.1.0.102", "fd00:1::100"]

[[subnet]]
name = "int"
networks = ["10.2.0.0/24"]
pool = ["10.2.0.100"]

[[node]]
name = "n1"
addresses = { ext = "10.1.0.1", int = "10.2.0.1" }

[[node]]
name = "n2"
addresses = { int = "10.2.0.2", ext = "10.1.0.2" }

[[node]]
name = "n3"
addresses = { int = "10.2.0.3" }
witness = true

[[vip]]
address = "10.1.0.101"
preferred = "n2"
persistence = 3

[[vip]]
address = "fd00:1::100"
persistence = 0

[[service]]
name = "web"
vips = "ext"
port = 80
backends = [
  { address = "10.2.0.201", port = 8080, weight = 2 },
  { address = "10.2.0.202", state = "draining" },
]

[[service]]
name = "dns"
vips = ["10.1.0.102", "fd00:1::100"]
protocol = "udp"
port = 53
kind = "local"

[[service]]
name = "mail"
vips = ["10.1.0.101"]
port = 25
backends = [{ address = "10.2.0.201" }]

[flows]
max = 2048
"#;

fn shop() -> Config {
    Config::parse(SHOP, "dsc.toml").unwrap_or_else(|p| panic!("{p}"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn every_value_arrives() {
    let config = shop();
    assert_eq!((config.name.as_str(), config.port), ("shop", 7946));
    assert_eq!(config.partition, Partition::Majority);
    assert_eq!(config.timing.removal, Duration::from_micros(4_250));
    assert_eq!(config.timing.lease, Duration::from_millis(30));
    assert_eq!(config.timing.lease_max, config.timing.lease, "a lease that is given is fixed");
    assert_eq!(config.timing.rotation, Timing::FAST.rotation);
    let vips: Vec<_> = config.vips.values().map(|v| v.address.to_string()).collect();
    assert_eq!(
        vips,
        ["10.1.0.100", "10.1.0.101", "10.1.0.102", "fd00:1::100", "10.2.0.100"],
        "the order of the pools is the order of the VIPs"
    );
    assert_eq!(config.vips[VipId(1)].preferred, Some(NodeId(1)));
    assert_eq!(config.vips[VipId(1)].persistence, Persistence::Preferred);
    assert_eq!(config.vips[VipId(3)].persistence, Persistence::Free);
    assert_eq!(config.vips[VipId(0)].persistence, Persistence::Current, "without an entry: 1");
    assert_eq!(config.vips[VipId(4)].subnet, SubnetId(1));
    assert_eq!(config.nodes[NodeId(2)].addresses, [None, Some(ip("10.2.0.3"))]);
    assert_eq!(config.flows, Flows { max: 2048, ..Flows::default() });
}

#[test]
fn services_and_backends_get_numbers() {
    let config = shop();
    let services: Vec<_> = config.services.values().collect();
    let [web, dns, mail] = services[..] else { panic!("{:?}", config.services) };
    let of_ext = [VipId(0), VipId(1), VipId(2)];
    assert_eq!(web.vips, of_ext, "the pool's VIPs of the backends' family");
    assert_eq!((web.protocol, web.kind), (Protocol::Tcp, ServiceKind::Nat), "the defaults");
    assert_eq!(web.backends, [BackendId(0), BackendId(1)]);
    assert_eq!((dns.protocol, dns.port, dns.kind), (Protocol::Udp, 53, ServiceKind::Local));
    assert_eq!((dns.vips.as_slice(), dns.backends.len()), (&[VipId(2), VipId(3)][..], 0));
    assert_eq!(mail.backends, [BackendId(2)]);
    let called: Vec<String> = config.backends.values().map(|b| b.called()).collect();
    assert_eq!(
        called,
        ["10.2.0.201:8080", "10.2.0.202:80", "10.2.0.201:25"],
        "their port, or the service's"
    );
    let of = |id| config.backends_of(ServiceId(id)).map(|(b, _)| b.0).collect::<Vec<_>>();
    assert_eq!((of(0), of(1), of(2), of(3)), (vec![0, 1], vec![], vec![2], vec![]));
    let second = &config.backends[BackendId(1)];
    assert_eq!((second.service, second.subnet), (ServiceId(0), SubnetId(1)));
    assert_eq!((second.weight, second.state), (1, BackendState::Draining));
    assert_eq!(
        (config.backends[BackendId(0)].weight, config.backends[BackendId(0)].state),
        (2, BackendState::Enabled)
    );
    assert_eq!(config.service_named("mail"), Some(ServiceId(2)));
    assert_eq!(config.service_named("ftp"), None);
    let ends: Vec<_> = config.ends().map(|(p, at, id)| format!("{p} {at} {}", id.0)).collect();
    assert_eq!(
        ends,
        [
            "tcp 10.1.0.100:80 0",
            "tcp 10.1.0.101:80 0",
            "tcp 10.1.0.102:80 0",
            "udp 10.1.0.102:53 1",
            "udp [fd00:1::100]:53 1",
            "tcp 10.1.0.101:25 2",
        ]
    );
}

#[test]
fn flows_are_kept_and_routed_as_the_file_says() {
    let read = |more: &str| {
        let text = SHOP.replace("max = 2048", more);
        Config::parse(&text, "dsc.toml").unwrap_or_else(|p| panic!("{p}"))
    };
    let hold = Duration::from_millis(50);
    let usual =
        Flows { max: 131_072, routing: Routing::Direct, hold, timeouts: FlowTimeouts::DEFAULT };
    assert_eq!(read("").flows, usual);
    assert_eq!(read("routing = \"direct\"").flows, usual);
    let config = read("routing = \"symmetric\"\nhold_ms = 7");
    let hold = Duration::from_millis(7);
    assert_eq!(config.flows, Flows { routing: Routing::Symmetric, hold, ..usual });
    assert_eq!(Config::parse(&config.to_toml(), "printed").unwrap().flows, config.flows);
    let s = Duration::from_secs;
    let timeouts = FlowTimeouts {
        tcp_syn_sent: s(5),
        tcp_established: s(604_800),
        tcp_fin_wait: s(61),
        tcp_time_wait: s(62),
        udp: s(63),
        udp_stream: s(64),
    };
    let config = read(
        "tcp_timeout_syn_sent_s = 5\ntcp_timeout_established_s = 604800\n\
         tcp_timeout_fin_wait_s = 61\ntcp_timeout_time_wait_s = 62\n\
         udp_timeout_s = 63\nudp_timeout_stream_s = 64",
    );
    assert_eq!(config.flows, Flows { timeouts, ..usual });
    assert_eq!(Config::parse(&config.to_toml(), "printed").unwrap().flows, config.flows);
}

#[test]
fn vips_move_for_the_load_as_the_file_says() {
    let read = |more: &str| {
        let text = format!("{SHOP}\n[balance]\n{more}");
        Config::parse(&text, "t").unwrap_or_else(|problems| panic!("{problems}"))
    };
    let usual = Config::parse(SHOP, "t").unwrap();
    assert_eq!((usual.balance, usual.cluster().balance), (Balance::DEFAULT, Balance::DEFAULT));
    assert_eq!(
        read("mode = \"on\"\nhysteresis_percent = 5\ncooldown_s = 3").digest(),
        usual.digest()
    );
    let config = read("mode = \"off\"\nhysteresis_percent = 50\ncooldown_s = 3600");
    let vip_cooldown = Duration::from_secs(3600);
    let wanted = Balance { on: false, hysteresis_percent: 50, vip_cooldown, ..Balance::DEFAULT };
    assert_eq!(config.balance, wanted);
    assert_eq!(Config::parse(&config.to_toml(), "printed").unwrap().balance, wanted);
    let digests = ["mode = \"off\"", "hysteresis_percent = 6", "cooldown_s = 4", ""]
        .map(|more| read(more).digest());
    let all: BTreeSet<u64> = digests.into_iter().collect();
    assert_eq!(all.len(), 4, "each is part of the digest");
}

#[test]
fn without_services_flows_are_as_usual() {
    let (before, _) = SHOP.split_once("[[service]]").unwrap();
    let config = Config::parse(before, "dsc.toml").unwrap_or_else(|p| panic!("{p}"));
    assert_eq!((config.services.count(), config.backends.count()), (0, 0));
    assert_eq!(config.flows, Flows::default());
}

#[test]
fn the_ring_gets_numbers_and_people_get_names() {
    let config = shop();
    let cluster = config.cluster();
    assert_eq!(cluster.nodes.len(), 3);
    assert!(cluster.nodes[0].subnets.contains(SubnetId(0)));
    assert!(!cluster.nodes[2].subnets.contains(SubnetId(0)));
    assert!(cluster.nodes[2].witness);
    assert_eq!(cluster.vips.len(), 5);
    assert_eq!(cluster.digest, config.digest());
    let names = config.names();
    assert_eq!(names.nodes, ["n1", "n2", "n3"]);
    assert_eq!(names.vips[4], ip("10.2.0.100"));
    assert_eq!(names.vip_subnets[4], SubnetId(1));
    assert_eq!(config.node_named("n3"), Some(NodeId(2)));
    assert_eq!(config.node_named("n4"), None);
    assert_eq!(config.vip_with_address(ip("fd00:1::100")), Some(VipId(3)));
}

#[test]
fn a_machine_finds_itself_by_its_addresses() {
    let config = shop();
    let find = |own: &[&str]| {
        let own: Vec<IpAddr> = own.iter().map(|t| ip(t)).collect();
        config.find_node(None, &own)
    };
    assert_eq!(find(&["127.0.0.1", "10.1.0.2", "10.2.0.2"]), Ok(NodeId(1)));
    assert_eq!(find(&["127.0.0.1", "10.1.0.9"]), Err(NodeUnknown::None));
    let several = vec!["n1".to_owned(), "n2".to_owned()];
    assert_eq!(find(&["10.1.0.1", "10.2.0.2"]), Err(NodeUnknown::Several(several)));
    assert_eq!(
        config.find_node(Some("n3"), &[ip("10.1.0.1")]),
        Ok(NodeId(2)),
        "its name goes first"
    );
    let unknown = NodeUnknown::NoSuch("n9".to_owned());
    assert_eq!(config.find_node(Some("n9"), &[]), Err(unknown));
}

#[test]
fn what_is_printed_can_be_read() {
    let config = shop();
    let again = Config::parse(&config.to_toml(), "printed").unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(again, config);
    assert_eq!(again.to_toml(), config.to_toml());
    assert_eq!(again.digest(), config.digest());
}

#[test]
fn the_profiles_print_as_their_names() {
    for (name, timing) in [("default", Timing::DEFAULT), ("fast", Timing::FAST)] {
        let text = SHOP.replace(
            r#"{ profile = "fast", removal_ms = 4.25, lease_ms = 30 }"#,
            &format!("{name:?}"),
        );
        let config = Config::parse(&text, "dsc.toml").unwrap_or_else(|p| panic!("{p}"));
        assert_eq!(config.timing, timing);
        assert!(config.to_toml().contains(&format!("timing = {name:?}")));
    }
}

#[test]
fn the_digest_covers_what_must_be_equal() {
    let digest = |from: &str, to: &str| {
        assert!(SHOP.contains(from), "{from}");
        let text = SHOP.replacen(from, to, 1);
        Config::parse(&text, "dsc.toml").unwrap_or_else(|p| panic!("{p}")).digest()
    };
    let ours = shop().digest();
    for (from, to) in [
        ("\"shop\"", "\"stop\""),
        ("port = 7946", "port = 7947"),
        ("lease_ms = 30", "lease_ms = 31"),
        ("removal_ms = 4.25", "removal_ms = 4.26"),
        ("10.1.0.102", "10.1.0.103"),
        ("fd00:1::/64", "fd00:1::/63"),
        ("persistence = 0", "persistence = 1"),
        ("preferred = \"n2\"", "preferred = \"n1\""),
        ("ext = \"10.1.0.1\"", "ext = \"10.1.0.11\""),
        ("witness = true", "witness = false"),
        ("\"web\"", "\"wet\""),
        ("[\"10.1.0.101\"]", "[\"10.1.0.102\"]"),
        ("port = 25", "port = 26"),
        ("port = 53\nkind", "port = 54\nkind"),
        ("\"udp\"", "\"tcp\""),
        ("weight = 2", "weight = 3"),
        ("port = 8080", "port = 8081"),
        ("\"draining\"", "\"disabled\""),
        ("max = 2048", "max = 2049"),
        ("max = 2048", "max = 2048\nrouting = \"symmetric\""),
        ("max = 2048", "max = 2048\nhold_ms = 51"),
        ("max = 2048", "max = 2048\ntcp_timeout_established_s = 7441"),
        ("max = 2048", "max = 2048\nudp_timeout_s = 31"),
    ] {
        assert_ne!(digest(from, to), ours, "{from} -> {to}");
    }
    for (from, to) in [
        ("/etc/dsc/key", "/root/key"),
        ("port = 7946", "# the same in other words\nport = 0x1f0a"),
        ("\"10.1.0.100-10.1.0.102\"", "\"10.1.0.100\", \"10.1.0.101-10.1.0.102\""),
        (
            "vips = \"ext\"",
            "kind = \"nat\"\nvips = [\"10.1.0.100\", \"10.1.0.101\", \"10.1.0.102\"]",
        ),
        ("state = \"draining\"", "state = \"draining\", weight = 1, port = 80"),
        ("max = 2048", "max = 2048\nrouting = \"direct\"\nhold_ms = 50\nudp_timeout_s = 30"),
    ] {
        assert_eq!(digest(from, to), ours, "{from} -> {to}");
    }
}

#[test]
fn the_digest_does_not_change_between_builds() {
    let (before, services) = SHOP.split_at(SHOP.find("[[service]]").unwrap());
    let text = before.replace(
        r#"{ profile = "fast", removal_ms = 4.25, lease_ms = 30 }"#,
        "{ rotation_ms = 4, removal_ms = 4.25, starve_ms = 7, lease_ms = 30, beacon_ms = 10, stall_ms = 2 }",
    );
    let config = Config::parse(&text, "dsc.toml").unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(
        config.digest(),
        17326074821609395443,
        "nodes of two builds would refuse each other"
    );
    let config = Config::parse(&(text + services), "dsc.toml").unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(config.digest(), 12_619_335_106_550_929_617, "and so would they with services");
}

#[test]
fn the_example_we_ship_is_legal_and_complete() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/dsc.toml");
    let config = Config::read(&path).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(config.timing, Timing::DEFAULT);
    assert_eq!(config.vips.count(), 6);
    let text = std::fs::read_to_string(path).unwrap();
    for doc in KEYS.iter().filter(|d| !d.table.is_empty()) {
        assert!(text.contains(&format!("{} = ", doc.key)), "{} is not shown", doc.key);
    }
    let comment = text.lines().find_map(|l| l.strip_prefix("#   timing = ")).unwrap();
    let changed = text.replace("\ntiming = \"default\"", &format!("\ntiming = {comment}"));
    let timing = Config::parse(&changed, "changed").unwrap_or_else(|p| panic!("{p}")).timing;
    let fixed = Timing { lease_max: Timing::DEFAULT.lease, ..Timing::DEFAULT };
    assert_eq!(timing, fixed, "the comment's values are the default ones");
}

/// Each key of the table is accepted in its place, and one that is not in the table is refused there.
#[test]
fn the_table_of_keys_is_the_truth() {
    for doc in KEYS.iter().filter(|d| !d.table.is_empty()) {
        let header = match doc.table {
            "cluster" => "[cluster]".to_owned(),
            "timing" => "[cluster.timing]".to_owned(),
            "flows" | "balance" | "numbers" => format!("[{}]", doc.table),
            "backends" => "[[service]]\n[[service.backends]]".to_owned(),
            "service.check" => "[[service]]\n[service.check]".to_owned(),
            "service.link" => "[[service]]\n[service.link]".to_owned(),
            "certificates" => "[[service]]\n[[service.link.certificates]]".to_owned(),
            table => format!("[[{table}]]"),
        };
        let unknown = |key: &str| {
            let problems = Config::parse(&format!("{header}\n{key} = 1979-05-27\n"), "key");
            problems.unwrap_err().list().iter().any(|p| p.message.contains("is not a key of"))
        };
        assert!(!unknown(doc.key), "{} {}", doc.table, doc.key);
        assert!(unknown(&format!("{}x", doc.key)), "{} {}x", doc.table, doc.key);
    }
}

/// The kernel's maps of source NAT have sizes.
#[test]
fn source_nat_has_bounds() {
    let text = |entries: usize, networks: usize, vips: usize| {
        let mut text = String::from(
            "[cluster]\nname = \"t\"\n[[subnet]]\nname = \"ext\"\nnetworks = [\"10.1.0.0/16\"]\n\
             pool = [\"10.1.1.0-10.1.2.255\"]\n[[subnet]]\nname = \"int\"\nnetworks = [\"10.2.0.0/16\"]\n\
             pool = [\"10.2.0.100\"]\n[[node]]\nname = \"n1\"\n\
             addresses = { ext = \"10.1.0.1\", int = \"10.2.0.1\" }\n",
        );
        for n in 0..entries {
            let from: Vec<String> =
                (0..networks).map(|k| format!("\"10.2.{}.0/24\"", n * networks + k)).collect();
            let vips: Vec<String> = (0..vips)
                .map(|k| n * vips + k)
                .map(|k| format!("\"10.1.{}.{}\"", 1 + k / 256, k % 256))
                .collect();
            text += &format!(
                "[[source_nat]]\nfrom = [{}]\nvips = [{}]\n",
                from.join(", "),
                vips.join(", ")
            );
        }
        text
    };
    let most = Config::parse(&text(16, 16, 16), "t.toml").unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(most.source_nats.len(), 16);
    assert!(most.source_nats.iter().all(|s| s.from.len() == 16 && s.vips.len() == 16));
    assert_eq!(most.source_nats[0].slice(3), 9_410, "of 28232 ports");
    for (entries, networks, vips, told) in [
        (17, 1, 1, "17 source_nats are too many"),
        (1, 17, 1, "17 networks of one source NAT are too many"),
        (1, 1, 17, "17 VIPs of one source NAT are too many"),
    ] {
        let problems = Config::parse(&text(entries, networks, vips), "t.toml").unwrap_err();
        assert!(problems.to_string().contains(told), "{problems}");
        assert_eq!(problems.count(), 1, "{problems}");
    }
}

/// The kernel's map of VIPs and ports has a size; a configuration beyond it would fail on every node at its start.
#[test]
fn services_may_not_have_more_ends_than_the_kernel_has_room_for() {
    let text = |services: u16| {
        let mut text = String::from(
            "[cluster]\nname = \"t\"\n[[subnet]]\nname = \"ext\"\nnetworks = [\"10.1.0.0/16\"]\n\
             pool = [\"10.1.1.0-10.1.4.255\"]\n[[node]]\nname = \"n1\"\naddresses = { ext = \"10.1.0.1\" }\n\
             [[node]]\nname = \"n2\"\naddresses = { ext = \"10.1.0.2\" }\n",
        );
        for n in 0..services {
            text += &format!(
                "[[service]]\nname = \"s{n}\"\nvips = \"ext\"\nport = {}\nkind = \"local\"\n",
                1000 + n
            );
        }
        text
    };
    let most = Config::parse(&text(16), "t.toml").unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(most.ends().count(), 16_384);
    let problems = Config::parse(&text(18), "t.toml").unwrap_err().to_string();
    assert!(problems.contains("with service `s16` there are too many ends"), "{problems}");
    assert!(problems.contains("1 problem"), "{problems}");
}
