//! How something is tried: from a table `check` of a service or a [[check]] of nodes to its values. They are compared with the
//! service's here too: a check needs no other part of the file.

use crate::checks::{Check, CheckKind};
use crate::fields::{Fields, mistyped, string};
use crate::filter;
use crate::problem::{Problem, Problems};
use crate::timing::ms;
use dsc_wire::{Protocol, ServiceKind};
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// Longest path, host name, text or word of a command.
const TEXT_MAX: usize = 256;
/// Most words of a command.
const WORDS_MAX: usize = 32;
/// Most statuses and ranges of them.
const STATUSES_MAX: usize = 16;
/// What is expected of `status`.
const STATUS: &str = "a status such as 200, a range such as \"200-399\", or a list of them";

/// What is tried, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Http,
    Tls,
    Udp,
    Script,
    Ping,
    Neighbour,
    Nic,
    Filter,
}

impl Kind {
    /// The word for it.
    pub fn word(self) -> &'static str {
        NODE_KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }

    /// Does the key say something about it?
    fn has(self, key: &str) -> bool {
        match key {
            "path" | "status" | "body" => self == Kind::Http,
            "host" => matches!(self, Kind::Http | Kind::Tls),
            "days" => self == Kind::Tls,
            "send" => self == Kind::Udp,
            "expect" => matches!(self, Kind::Udp | Kind::Filter),
            "from" | "protocol" => self == Kind::Filter,
            "command" => self == Kind::Script,
            "errors" | "subnet" => self == Kind::Nic,
            "port" => !matches!(self, Kind::Ping | Kind::Neighbour | Kind::Nic),
            "address" => self != Kind::Nic && self != Kind::Script,
            _ => true,
        }
    }
}

/// The kinds of checks of backends.
const KINDS: &[(&str, Kind)] = &[
    ("tcp", Kind::Tcp),
    ("http", Kind::Http),
    ("tls", Kind::Tls),
    ("udp", Kind::Udp),
    ("script", Kind::Script),
];
/// The kinds of checks of nodes.
pub(crate) const NODE_KINDS: &[(&str, Kind)] = &[
    ("tcp", Kind::Tcp),
    ("http", Kind::Http),
    ("tls", Kind::Tls),
    ("udp", Kind::Udp),
    ("script", Kind::Script),
    ("ping", Kind::Ping),
    ("neighbour", Kind::Neighbour),
    ("nic", Kind::Nic),
    ("filter", Kind::Filter),
];
/// Keys that say something about some kinds only.
const OF_SOME: &[&str] = &[
    "path", "host", "status", "body", "days", "send", "expect", "command", "errors", "subnet",
    "port", "address", "from", "protocol",
];

/// What the check has to fit.
pub(super) struct Of<'a> {
    pub service: &'a str,
    pub protocol: Option<Protocol>,
    pub kind: Option<ServiceKind>,
}

/// The check of a service; `None` if it has none, or if something is wrong with it.
pub(super) fn read(fields: &Fields, of: &Of, problems: &mut Problems) -> Option<Check> {
    let value = fields.get("check")?;
    let Some(table) = value.get_ref().as_table() else {
        let expected = "a table such as { kind = \"tcp\" } or { kind = \"http\", path = \"/\" }";
        problems.add(mistyped("check", value, expected));
        return None;
    };
    let at = value.span();
    if of.kind == Some(ServiceKind::Local) {
        let message = format!("service `{}` is local, but has a check", of.service);
        let expected = "expected no check, or kind = \"nat\" or \"link\"";
        problems.add(Problem::at(at.clone(), message, expected));
    }
    let own = Fields::open("service.check", at.clone(), table, problems);
    let (kind, check) = settings(&own, at.clone(), KINDS, problems);
    let spoken = match kind {
        None | Some(Kind::Script | Kind::Ping | Kind::Neighbour | Kind::Nic | Kind::Filter) => None,
        Some(Kind::Udp) => Some(Protocol::Udp),
        Some(Kind::Tcp | Kind::Http | Kind::Tls) => Some(Protocol::Tcp),
    };
    if let Some((spoken, protocol)) = spoken.zip(of.protocol)
        && spoken != protocol
        && own.get("port").is_none()
    {
        let message =
            format!("service `{}` is {protocol}, and its check has no `port`", of.service);
        let word = spoken.to_string().to_uppercase();
        let problem = Problem::at(at, message, format!("expected a {word} port of the backends"));
        problems.add(problem.help(format!("a probe speaks {word}; to which port?")));
    }
    check
}

/// What all checks have. The kind is returned too if the rest of it is wrong.
pub(crate) fn settings(
    own: &Fields,
    at: Range<usize>,
    kinds: &[(&str, Kind)],
    problems: &mut Problems,
) -> (Option<Kind>, Option<Check>) {
    let kind = own.choice("kind", kinds, problems).map(Spanned::into_inner);
    let every = own.integer("every_ms", 100, 3_600_000, problems).unwrap_or(1000);
    let timeout = own.integer("timeout_ms", 10, 3_600_000, problems);
    let rise = own.integer("rise", 1, 100, problems).unwrap_or(2);
    let fall = own.integer("fall", 1, 100, problems).unwrap_or(3);
    if let Some(timeout) = timeout.filter(|timeout| *timeout > every) {
        let message = format!("`timeout_ms` is {timeout}, but `every_ms` is {every}");
        let place = own.get("timeout_ms").map_or(at.clone(), |v| v.span());
        problems.add(Problem::at(place, message, format!("expected at most {every}")));
    }
    let port = own.integer("port", 1, 65_535, problems).map(|p| p as u16);
    if let Some(kind) = kind {
        for key in OF_SOME.iter().filter(|key| !kind.has(key)) {
            if let Some(value) = own.get(key) {
                let fit = kinds.iter().filter(|(_, k)| k.has(key)).map(|(word, _)| *word);
                let message = format!("`{key}` says nothing about a check of kind {}", kind.word());
                let expected =
                    format!("expected it with {} only", fit.collect::<Vec<_>>().join(", "));
                problems.add(Problem::at(value.span(), message, expected));
            }
        }
    }
    let path = text(own, "path", problems);
    if let Some(path) = path.as_ref().filter(|p| !p.get_ref().starts_with('/')) {
        let message = format!("path {:?} does not begin with /", path.get_ref());
        problems.add(Problem::at(path.span(), message, "expected a path such as \"/health\""));
    }
    let host = text(own, "host", problems);
    let status = statuses(own, problems);
    let body = text(own, "body", problems);
    for line in [&path, &host].into_iter().flatten() {
        word(line, problems);
    }
    let days = own.integer("days", 0, 3650, problems).unwrap_or(7) as u16;
    let send = text(own, "send", problems);
    let expect = text(own, "expect", problems);
    let errors = own.integer("errors", 0, 65_535, problems).unwrap_or(10) as u16;
    let command = command(own, kind, at.clone(), problems);
    let value = |text: Option<Spanned<String>>| text.map(Spanned::into_inner);
    let tried = match kind {
        None => return (None, None),
        Some(Kind::Tcp) => CheckKind::Tcp,
        Some(Kind::Http) => CheckKind::Http {
            path: value(path).unwrap_or_else(|| "/".to_owned()),
            host: value(host),
            status,
            body: value(body),
        },
        Some(Kind::Tls) => CheckKind::Tls { host: value(host), days },
        Some(Kind::Udp) => CheckKind::Udp {
            send: value(send).unwrap_or_else(|| "\n".to_owned()),
            expect: value(expect),
        },
        Some(Kind::Script) => CheckKind::Script { command },
        Some(Kind::Ping) => CheckKind::Ping,
        Some(Kind::Neighbour) => CheckKind::Neighbour,
        Some(Kind::Nic) => CheckKind::Nic { errors },
        Some(Kind::Filter) => match filter::read(own, &at, expect, port, problems) {
            Some(filter) => filter,
            None => return (kind, None),
        },
    };
    let ms = |n: i64| Duration::from_millis(n as u64);
    let timeout = ms(timeout.unwrap_or(every));
    let (every, rise, fall) = (ms(every), rise as u32, fall as u32);
    (kind, Some(Check { kind: tried, port, every, timeout, rise, fall }))
}

/// Program and arguments of a script.
fn command(
    own: &Fields,
    kind: Option<Kind>,
    at: Range<usize>,
    problems: &mut Problems,
) -> Vec<String> {
    const EXPECTED: &str = "an array such as [\"/usr/local/lib/dsc/disk\", \"90\"]";
    let (words, _) = own.strings("command", problems);
    if kind == Some(Kind::Script) && words.is_empty() {
        let place = own.get("command").map_or(at, |value| value.span());
        let message = "the script has no `command`".to_owned();
        problems.add(Problem::at(place, message, format!("expected {EXPECTED}")));
    }
    if let Some(program) = words.first().filter(|w| !w.get_ref().starts_with('/')) {
        let message = format!("{:?} is no absolute path", program.get_ref());
        let problem = Problem::at(program.span(), message, format!("expected {EXPECTED}"));
        problems.add(problem.help("no shell is called, and nothing is searched for"));
    }
    if let Some(beyond) = words.get(WORDS_MAX) {
        let message = format!("{} words of a command are too many", words.len());
        problems.add(Problem::at(beyond.span(), message, format!("expected at most {WORDS_MAX}")));
    }
    for word in words.iter().take(WORDS_MAX) {
        if word.get_ref().len() > TEXT_MAX || word.get_ref().contains('\0') {
            let message = "the word is too long, or has a zero byte".to_owned();
            let expected = format!("expected at most {TEXT_MAX} bytes");
            problems.add(Problem::at(word.span(), message, expected));
        }
    }
    words.into_iter().map(Spanned::into_inner).collect()
}

fn text(fields: &Fields, key: &str, problems: &mut Problems) -> Option<Spanned<String>> {
    let text = fields.string(key, problems)?;
    if text.get_ref().is_empty() || text.get_ref().len() > TEXT_MAX {
        let message = format!("`{key}` has {} bytes", text.get_ref().len());
        problems.add(Problem::at(text.span(), message, format!("expected 1 to {TEXT_MAX}")));
    }
    Some(text)
}

/// What stands in the first lines of a request must not end them.
fn word(text: &Spanned<String>, problems: &mut Problems) {
    if !text.get_ref().bytes().all(|b| b.is_ascii_graphic()) {
        let message = format!("{:?} is no word of a request", text.get_ref());
        let expected = "expected ASCII letters, digits and signs, without spaces";
        problems.add(Problem::at(text.span(), message, expected));
    }
}

fn statuses(fields: &Fields, problems: &mut Problems) -> Vec<(u16, u16)> {
    let Some(value) = fields.get("status") else { return vec![(200, 399)] };
    let mut found = Vec::new();
    let mut one = |value: &Spanned<DeValue>, problems: &mut Problems| {
        let span: Range<usize> = value.span();
        match range(value) {
            Some(range) => found.push(range),
            None => {
                let message = "`status` is not one of HTTP".to_owned();
                problems.add(Problem::at(span, message, format!("expected {STATUS}")));
            }
        }
    };
    match value.get_ref().as_array() {
        Some(list) if (1..=STATUSES_MAX).contains(&list.len()) => {
            list.iter().for_each(|value| one(value, problems));
        }
        Some(list) => {
            let message = format!("`status` has {} entries", list.len());
            let expected = format!("expected 1 to {STATUSES_MAX}");
            problems.add(Problem::at(value.span(), message, expected));
        }
        None => one(value, problems),
    }
    found
}

fn range(value: &Spanned<DeValue>) -> Option<(u16, u16)> {
    let (low, high) = match string(value) {
        Some(text) => {
            let (low, high) = text.get_ref().split_once('-')?;
            (low.parse().ok()?, high.parse().ok()?)
        }
        None => {
            let digits = value.get_ref().as_integer()?;
            let status = u16::from_str_radix(digits.as_str(), digits.radix()).ok()?;
            (status, status)
        }
    };
    (100 <= low && low <= high && high <= 599).then_some((low, high))
}

/// The check as it is written in a file, every value spelled out.
pub(crate) fn toml(check: &Check, quoted: impl Fn(&str) -> String) -> String {
    format!("{{ {} }}", values(check, quoted).join(", "))
}

/// Its keys with their values.
pub(crate) fn values(check: &Check, quoted: impl Fn(&str) -> String) -> Vec<String> {
    let Check { kind, port, every, timeout, rise, fall } = check;
    let word = match kind {
        CheckKind::Tcp => Kind::Tcp,
        CheckKind::Http { .. } => Kind::Http,
        CheckKind::Tls { .. } => Kind::Tls,
        CheckKind::Udp { .. } => Kind::Udp,
        CheckKind::Script { .. } => Kind::Script,
        CheckKind::Ping => Kind::Ping,
        CheckKind::Neighbour => Kind::Neighbour,
        CheckKind::Nic { .. } => Kind::Nic,
        CheckKind::Filter { .. } => Kind::Filter,
    };
    let mut values = vec![format!("kind = \"{}\"", word.word())];
    values.push(format!("every_ms = {}", ms(*every)));
    values.push(format!("timeout_ms = {}", ms(*timeout)));
    values.push(format!("rise = {rise}"));
    values.push(format!("fall = {fall}"));
    values.extend(port.map(|port| format!("port = {port}")));
    match kind {
        CheckKind::Http { path, host, status, body } => {
            values.push(format!("path = {}", quoted(path)));
            values.extend(host.iter().map(|host| format!("host = {}", quoted(host))));
            let ranges = status.iter().map(|(low, high)| quoted(&format!("{low}-{high}")));
            values.push(format!("status = [{}]", ranges.collect::<Vec<_>>().join(", ")));
            values.extend(body.iter().map(|body| format!("body = {}", quoted(body))));
        }
        CheckKind::Tls { host, days } => {
            values.extend(host.iter().map(|host| format!("host = {}", quoted(host))));
            values.push(format!("days = {days}"));
        }
        CheckKind::Udp { send, expect } => {
            values.push(format!("send = {}", quoted(send)));
            values.extend(expect.iter().map(|text| format!("expect = {}", quoted(text))));
        }
        CheckKind::Script { command } => {
            let words = command.iter().map(|word| quoted(word));
            values.push(format!("command = [{}]", words.collect::<Vec<_>>().join(", ")));
        }
        CheckKind::Nic { errors } => values.push(format!("errors = {errors}")),
        CheckKind::Filter { from, protocol, pass } => {
            values.extend(filter::values(*from, *protocol, *pass))
        }
        CheckKind::Tcp | CheckKind::Ping | CheckKind::Neighbour => {}
    }
    values
}
