//! What the table of a link becomes, and that what is printed of it can be read.

use dsc_conf::{Certificate, Config, Forwarded, Link, LinkBalance, Speaks};
use dsc_wire::{ServiceId, ServiceKind, VipId};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

const BEFORE: &str = r#"
[cluster]
name = "shop"
[[subnet]]
name = "ext"
networks = ["10.1.0.0/24", "fd00:1::/64"]
pool = ["10.1.0.100", "fd00:1::100"]
[[subnet]]
name = "int"
networks = ["10.2.0.0/24"]
[[node]]
name = "n1"
addresses = { ext = "10.1.0.1", int = "10.2.0.1" }
[[service]]
name = "dns"
vips = "ext"
protocol = "udp"
port = 53
kind = "local"
"#;

#[test]
fn a_link_has_what_the_file_says_and_else_what_is_usual() {
    let read = |link: &str| {
        let text = format!(
            "{BEFORE}[[service]]\nname = \"files\"\nvips = [\"10.1.0.100\", \"fd00:1::100\"]\nport = 443\nkind = \"link\"\n\
             backends = [{{ address = \"10.2.0.201\" }}]\n[service.link]\n{link}"
        );
        Config::parse(&text, "t").unwrap_or_else(|problems| panic!("{problems}"))
    };
    let link = |config: &Config| config.services[ServiceId(1)].link.clone().unwrap();
    let usual = read("speaks = \"http\"");
    assert_eq!(usual.services[ServiceId(1)].kind, ServiceKind::Link);
    assert_eq!(usual.services[ServiceId(1)].vips, [VipId(0), VipId(1)], "of both families");
    assert_eq!(link(&usual), Link::of(Speaks::Http));
    assert_eq!(usual.services[ServiceId(0)].link, None);
    let written = "speaks = \"http\"\nbalance = \"weight\"\nresume = true\nsilence_ms = 3000\nconnect_ms = 1000\n\
        head_ms = 10000\nclient_head_ms = 10000\nidle_s = 60\nverify_overlap = 0\nforwarded = \"x-forwarded-for\"\n\
        proxy_in = false\nproxy_out = false\nbackend_http2 = false\nconnections = 10000\ncertificates = []";
    assert_eq!(read(written).digest(), usual.digest());
    let mut digests = BTreeSet::from([usual.digest(), read("speaks = \"ftp\"").digest()]);
    assert_eq!(link(&read("speaks = \"ftp\"")), Link::of(Speaks::Ftp));
    let ms = Duration::from_millis;
    let file = |text: &str| PathBuf::from(text);
    let certificates = vec![Certificate { chain: file("/a.pem"), key: file("/a.key") }];
    let http = || Link::of(Speaks::Http);
    let other = [
        ("balance = \"least-requests\"", Link { balance: LinkBalance::LeastRequests, ..http() }),
        ("resume = false", Link { resume: false, ..http() }),
        ("silence_ms = 100", Link { silence: ms(100), ..http() }),
        ("connect_ms = 11", Link { connect: ms(11), ..http() }),
        ("head_ms = 102", Link { head: ms(102), ..http() }),
        ("client_head_ms = 103", Link { client_head: ms(103), ..http() }),
        ("idle_s = 1", Link { idle: ms(1000), ..http() }),
        ("verify_overlap = 65536", Link { verify_overlap: 65_536, ..http() }),
        ("forwarded = \"forwarded\"", Link { forwarded: Forwarded::Forwarded, ..http() }),
        ("forwarded = \"off\"", Link { forwarded: Forwarded::Off, ..http() }),
        ("proxy_in = true", Link { proxy_in: true, ..http() }),
        ("backend_http2 = true", Link { backend_http2: true, ..http() }),
        ("proxy_out = true", Link { proxy_out: true, ..http() }),
        ("connections = 1", Link { connections: 1, ..http() }),
        ("access_log = \"/log\"", Link { access_log: Some(file("/log")), ..http() }),
        (
            "certificates = [{ chain = \"/a.pem\", key = \"/a.key\" }]",
            Link { certificates, ..http() },
        ),
    ];
    let count = other.len();
    for (written, wanted) in other {
        let config = read(&format!("speaks = \"http\"\n{written}"));
        assert_eq!(link(&config), wanted, "{written}");
        let printed = Config::parse(&config.to_toml(), "printed").unwrap_or_else(|p| panic!("{p}"));
        assert_eq!(printed, config, "{written}");
        digests.insert(config.digest());
    }
    assert_eq!(digests.len(), count + 2, "each is part of the digest");
}
