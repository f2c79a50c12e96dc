//! How a `link` service is proxied: from the table [service.link] to its values and back. They are compared with the service's
//! here too: a link needs no other part of the file.

use crate::config::{Service, Vip};
use crate::draft::ServiceDraft;
use crate::fields::{Fields, mistyped};
use crate::link::{Certificate, Forwarded, Link, LinkBalance, Speaks};
use crate::problem::{Problem, Problems};
use crate::timing::ms;
use dsc_wire::{Protocol, ServiceKind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// Most certificates of one service.
const CERTIFICATES_MAX: usize = 64;
/// Longest path of a file.
const PATH_MAX: usize = 4095;
/// Keys that say something about HTTP only.
const OF_HTTP: &[&str] = &["certificates", "backend_http2", "forwarded"];
/// What is expected of `certificates`.
const CERTIFICATES: &str =
    "tables such as { chain = \"/etc/dsc/tls/shop.pem\", key = \"/etc/dsc/tls/shop.key\" }";

const SPEAKS: &[(&str, Speaks)] = &[("http", Speaks::Http), ("ftp", Speaks::Ftp)];
const BALANCES: &[(&str, LinkBalance)] =
    &[("weight", LinkBalance::Weight), ("least-requests", LinkBalance::LeastRequests)];
const FORWARDED: &[(&str, Forwarded)] = &[
    ("x-forwarded-for", Forwarded::XForwardedFor),
    ("forwarded", Forwarded::Forwarded),
    ("both", Forwarded::Both),
    ("off", Forwarded::Off),
];

/// The link of a service that is called so; `None` if it has none, or if nobody knows what it speaks.
pub(super) fn read(
    service: &Fields,
    called: &str,
    kind: Option<ServiceKind>,
    protocol: Option<Protocol>,
    problems: &mut Problems,
) -> Option<Link> {
    let is_link = kind == Some(ServiceKind::Link);
    if let Some(value) = service.get("protocol").filter(|_| is_link)
        && protocol.is_some_and(|protocol| protocol != Protocol::Tcp)
    {
        let message = format!("service `{called}` is link, but its protocol is not tcp");
        problems.add(Problem::at(value.span(), message, "expected \"tcp\""));
    }
    let Some(value) = service.get("link") else {
        if let Some(value) = service.get("kind").filter(|_| is_link) {
            let message = format!("service `{called}` is link, but has no [service.link]");
            let expected = "expected that table, with what it speaks";
            problems.add(Problem::at(value.span(), message, expected));
        }
        return None;
    };
    let Some(table) = value.get_ref().as_table() else {
        problems.add(mistyped("link", value, "a table that begins with [service.link]"));
        return None;
    };
    if kind.is_some() && !is_link {
        let message = format!("service `{called}` has a [service.link], but is no link");
        problems.add(Problem::at(value.span(), message, "expected kind = \"link\""));
    }
    let own = Fields::open("service.link", value.span(), table, problems);
    let speaks = own.choice("speaks", SPEAKS, problems).map(Spanned::into_inner);
    if speaks == Some(Speaks::Ftp) {
        for key in OF_HTTP {
            if let Some(value) = own.get(key) {
                let message = format!("`{key}` says nothing about FTP");
                problems.add(Problem::at(value.span(), message, "expected it with \"http\" only"));
            }
        }
    }
    let usual = Link::of(speaks.unwrap_or(Speaks::Http));
    let link = settings(&own, usual, problems);
    if let Some(value) = own.get("backend_http2").filter(|_| link.backend_http2 && link.proxy_out) {
        let message = "`backend_http2` and `proxy_out` contradict each other".to_owned();
        let problem = Problem::at(value.span(), message, "expected one of them");
        problems.add(problem.help("a connection of HTTP/2 is for the requests of many clients"));
    }
    speaks.map(|_| link)
}

/// What is written, and what is usual where nothing is, or something wrong.
fn settings(own: &Fields, usual: Link, problems: &mut Problems) -> Link {
    let word = |yes: Option<Spanned<bool>>, usual| yes.map_or(usual, Spanned::into_inner);
    let balance = own.choice("balance", BALANCES, problems).map(Spanned::into_inner);
    let forwarded = own.choice("forwarded", FORWARDED, problems).map(Spanned::into_inner);
    let mut time = |key, low, high, unit: fn(u64) -> Duration, usual| {
        own.integer(key, low, high, problems).map_or(usual, |n| unit(n as u64))
    };
    let ms = Duration::from_millis;
    let silence = time("silence_ms", 100, 600_000, ms, usual.silence);
    let connect = time("connect_ms", 10, 60_000, ms, usual.connect);
    let head = time("head_ms", 100, 3_600_000, ms, usual.head);
    let client_head = time("client_head_ms", 100, 600_000, ms, usual.client_head);
    let idle = time("idle_s", 1, 3600, Duration::from_secs, usual.idle);
    let overlap = own.integer("verify_overlap", 0, 65_536, problems);
    let connections = own.integer("connections", 1, 1_000_000, problems);
    Link {
        speaks: usual.speaks,
        certificates: certificates(own, problems),
        backend_http2: word(own.boolean("backend_http2", problems), usual.backend_http2),
        balance: balance.unwrap_or(usual.balance),
        resume: word(own.boolean("resume", problems), usual.resume),
        silence,
        connect,
        head,
        client_head,
        idle,
        verify_overlap: overlap.map_or(usual.verify_overlap, |n| n as u32),
        forwarded: forwarded.unwrap_or(usual.forwarded),
        proxy_in: word(own.boolean("proxy_in", problems), usual.proxy_in),
        proxy_out: word(own.boolean("proxy_out", problems), usual.proxy_out),
        connections: connections.map_or(usual.connections, |n| n as u32),
        access_log: path(own, "access_log", "/var/log/dsc/shop.log", problems),
    }
}

fn certificates(own: &Fields, problems: &mut Problems) -> Vec<Certificate> {
    let tables = own.tables_such_as("certificates", CERTIFICATES, problems);
    if let Some((at, _)) = tables.get(CERTIFICATES_MAX) {
        let message = format!("{} certificates of one service are too many", tables.len());
        let expected = format!("expected at most {CERTIFICATES_MAX}");
        problems.add(Problem::at(at.clone(), message, expected));
    }
    let mut found = Vec::new();
    for (at, table) in tables.into_iter().take(CERTIFICATES_MAX) {
        let fields = Fields::open("certificates", at, table, problems);
        let chain = path(&fields, "chain", "/etc/dsc/tls/shop.pem", problems);
        let key = path(&fields, "key", "/etc/dsc/tls/shop.key", problems);
        found.extend(chain.zip(key).map(|(chain, key)| Certificate { chain, key }));
    }
    found
}

/// The absolute path of a file, which is not looked at: it is one of each node.
fn path(fields: &Fields, key: &str, such_as: &str, problems: &mut Problems) -> Option<PathBuf> {
    let text = fields.string(key, problems)?;
    let path = Path::new(text.get_ref());
    let expected = format!("expected an absolute path such as {such_as}");
    if !path.is_absolute() {
        let message = format!("{key} {:?} is a relative path", text.get_ref());
        let problem = Problem::at(text.span(), message, expected);
        problems.add(problem.help("the daemons and dscctl do not run in the same directory"));
    } else if text.get_ref().len() > PATH_MAX || text.get_ref().chars().any(char::is_control) {
        let message = format!("`{key}` is too long, or has a control character");
        problems.add(Problem::at(text.span(), message, expected));
    }
    Some(path.to_owned())
}

/// No other service has a port that a link tells its clients to connect to.
pub(super) fn data_ports(
    drafts: &[ServiceDraft],
    services: &[Service],
    vips: &[Vip],
    problems: &mut Problems,
) {
    let links = services.iter().filter_map(|s| Some((s, s.link.as_ref()?.data_ports()?)));
    for (link, (low, high)) in links {
        let others = services.iter().filter(|s| s.protocol == Protocol::Tcp);
        for other in others.filter(|s| s.name != link.name && (low..=high).contains(&s.port)) {
            let Some(vip) = other.vips.iter().find(|vip| link.vips.contains(vip)) else { continue };
            let Some(draft) = drafts.iter().find(|d| d.called() == other.name) else { continue };
            let message = format!(
                "port {} of service `{}` on VIP {} is one of {low}-{high}, for files of service `{}`",
                other.port,
                other.name,
                vips[vip.index()].address,
                link.name
            );
            let expected = format!("expected a port below {low}, or another VIP");
            problems.add(Problem::at(draft.at.clone(), message, expected));
        }
    }
}

fn word<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    words.iter().find(|(_, v)| v == value).map_or("", |(word, _)| word)
}

/// Its keys with their values as they are written in a file, every value spelled out.
pub(crate) fn values(link: &Link, quoted: impl Fn(&str) -> String) -> Vec<(&'static str, String)> {
    let path = |path: &Path| quoted(&path.to_string_lossy());
    let certificate =
        |c: &Certificate| format!("{{ chain = {}, key = {} }}", path(&c.chain), path(&c.key));
    let mut values = vec![("speaks", quoted(word(SPEAKS, &link.speaks)))];
    if link.speaks == Speaks::Http {
        if !link.certificates.is_empty() {
            let all: Vec<String> = link.certificates.iter().map(certificate).collect();
            values.push(("certificates", format!("[{}]", all.join(", "))));
        }
        values.push(("backend_http2", link.backend_http2.to_string()));
        values.push(("forwarded", quoted(word(FORWARDED, &link.forwarded))));
    }
    values.push(("balance", quoted(word(BALANCES, &link.balance))));
    values.push(("resume", link.resume.to_string()));
    values.push(("silence_ms", ms(link.silence)));
    values.push(("connect_ms", ms(link.connect)));
    values.push(("head_ms", ms(link.head)));
    values.push(("client_head_ms", ms(link.client_head)));
    values.push(("idle_s", link.idle.as_secs().to_string()));
    values.push(("verify_overlap", link.verify_overlap.to_string()));
    values.push(("proxy_in", link.proxy_in.to_string()));
    values.push(("proxy_out", link.proxy_out.to_string()));
    values.push(("connections", link.connections.to_string()));
    values.extend(link.access_log.iter().map(|log| ("access_log", path(log))));
    values
}

/// Those of them that are not usual, and what is spoken.
pub(crate) fn unusual(link: &Link, quoted: impl Fn(&str) -> String) -> Vec<(&'static str, String)> {
    let usual = values(&Link::of(link.speaks), &quoted);
    let is_usual = |value: &(&str, String)| value.0 != "speaks" && usual.contains(value);
    values(link, &quoted).into_iter().filter(|value| !is_usual(value)).collect()
}
