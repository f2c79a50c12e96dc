//! What differs between two configurations, as operators read it.

use dsc_conf::{Change, Config};

const SHOP: &str = r#"
[cluster]
name = "shop"
[[subnet]]
name = "ext"
networks = ["10.1.0.0/24"]
pool = ["10.1.0.100-10.1.0.103"]
[[subnet]]
name = "int"
networks = ["10.2.0.0/24"]
pool = ["10.2.0.100"]
[[node]]
name = "n1"
addresses = { ext = "10.1.0.1", int = "10.2.0.1" }
[[node]]
name = "n3"
addresses = { ext = "10.1.0.3", int = "10.2.0.3" }
[[service]]
name = "web"
vips = ["10.1.0.100", "10.1.0.101"]
port = 80
backends = [{ address = "10.2.0.201", port = 8080 }, { address = "10.2.0.202" }]
[[source_nat]]
from = ["int"]
vips = ["10.1.0.102"]
"#;

fn parse(text: &str) -> Config {
    Config::parse(text, "dsc.toml").unwrap_or_else(|p| panic!("{p}"))
}

/// The lines that tell what `edits` change, each an old and a new text; both ways must be told.
fn lines(edits: &[(&str, &str)]) -> Vec<String> {
    let before = parse(SHOP);
    let text = edits.iter().fold(SHOP.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    let after = before.successor(parse(&text)).unwrap_or_else(|p| panic!("{p}"));
    let changes = before.changes(&after);
    assert_eq!(changes.len(), after.changes(&before).len());
    assert_eq!(changes.is_empty(), before.digest() == after.digest());
    changes.iter().map(Change::to_string).collect()
}

#[test]
fn what_comes_goes_and_changes_has_a_line() {
    let found = lines(&[
        ("10.1.0.103\"]", "10.1.0.102\", \"10.1.0.104\"]"),
        ("8080 }", "8080, weight = 2, state = \"draining\" }"),
        (", { address = \"10.2.0.202\" }", ", { address = \"10.2.0.203\", weight = 5 }"),
        (
            "[[node]]\nname = \"n3\"\naddresses = { ext = \"10.1.0.3\", int = \"10.2.0.3\" }",
            "[[node]]\nname = \"n4\"\naddresses = { ext = \"10.1.0.4\", int = \"10.2.0.4\" }\n\
             [[vip]]\naddress = \"10.1.0.100\"\npreferred = \"n4\"\npersistence = 3",
        ),
        ("name = \"shop\"", "name = \"shop\"\ntiming = { rotation_ms = 19 }"),
        ("vips = [\"10.1.0.102\"]", "vips = [\"10.1.0.102\"]\nports = \"40000-41000\""),
    ]);
    assert_eq!(
        found,
        [
            "~ timing rotation_ms 20 -> 19",
            "- node n3",
            "+ node n4 ext 10.1.0.4; int 10.2.0.4",
            "- vip 10.1.0.103",
            "~ vip 10.1.0.100 preferred none -> n4; persistence 1 -> 3",
            "+ vip 10.1.0.104 on ext",
            "- backend web 10.2.0.202:80",
            "~ backend web 10.2.0.201:8080 weight 1 -> 2; state enabled -> draining",
            "+ backend web 10.2.0.203:80 weight 5",
            "~ source_nat 10.2.0.0/24 ports 32768-60999 -> 40000-41000",
        ]
    );
}

#[test]
fn services_and_single_values_have_lines_too() {
    let found = lines(&[
        (
            "port = 80\n",
            "port = 81\ncheck = { kind = \"tcp\", every_ms = 200, fall = 3 }\non_red = \"reset\"\nslow_start_s = 9\n",
        ),
        ("{ address = \"10.2.0.202\" }", "{ address = \"10.2.0.202\", port = 80 }"),
        (
            "[[source_nat]]\nfrom = [\"int\"]\nvips = [\"10.1.0.102\"]\n",
            "[[service]]\nname = \"ssh\"\nvips = \"ext\"\nport = 22\nkind = \"local\"\n\
             [flows]\nrouting = \"symmetric\"\n[balance]\nmode = \"off\"\n",
        ),
    ]);
    assert_eq!(
        found,
        [
            "~ service web port 80 -> 81; check none -> { kind = \"tcp\", every_ms = 200, timeout_ms = 200, rise = 2, fall = 3 }; on_red keep -> reset; slow_start_s 0 -> 9",
            "+ service ssh vips 10.1.0.100, 10.1.0.101, 10.1.0.102, 10.1.0.103; protocol tcp; port 22; kind local",
            "- source_nat 10.2.0.0/24",
            "~ flows routing direct -> symmetric",
            "~ balance mode on -> off",
        ]
    );
}

#[test]
fn another_order_is_a_change_where_it_means_something() {
    let written = "\"10.1.0.100-10.1.0.103\"";
    let same = "\"10.1.0.100\", \"10.1.0.101-10.1.0.103\"";
    assert_eq!(lines(&[(written, same)]), [""; 0], "the same pool, written in another way");
    let turned = "\"10.1.0.102-10.1.0.103\", \"10.1.0.100-10.1.0.101\"";
    assert_eq!(
        lines(&[(written, turned)]),
        [
            "~ subnet ext order 10.1.0.100-10.1.0.103 -> 10.1.0.102-10.1.0.103, 10.1.0.100-10.1.0.101"
        ]
    );
    let backends = "{ address = \"10.2.0.201\", port = 8080 }, { address = \"10.2.0.202\" }";
    let turned = "{ address = \"10.2.0.202\" }, { address = \"10.2.0.201\", port = 8080 }";
    assert_eq!(
        lines(&[(backends, turned)]),
        ["~ service web order 10.2.0.201:8080, 10.2.0.202:80 -> 10.2.0.202:80, 10.2.0.201:8080"]
    );
}

#[test]
fn what_is_unusual_of_a_link_is_told() {
    let link = "port = 80\nkind = \"link\"\nlink = { speaks = \"http\", idle_s = 9, resume = true }\nbackends = [";
    assert_eq!(
        lines(&[("port = 80\nbackends = [", link)])[0].split("; silence_ms").next(),
        Some(
            "~ service web kind nat -> link; speaks none -> http; backend_http2 none -> false; forwarded none -> x-forwarded-for; balance none -> weight; resume none -> true"
        )
    );
    let added = format!(
        "{SHOP}[[service]]\nname = \"new\"\nvips = [\"10.1.0.103\"]\n{link}{{ address = \"10.2.0.209\" }}]\n"
    );
    let added = parse(SHOP).changes(&parse(&added));
    assert_eq!(
        added[0].to_string(),
        "+ service new vips 10.1.0.103; protocol tcp; port 80; kind link; speaks http; idle_s 9"
    );
}
