//! A strict reader of Prometheus' text format, as a collector is, and stricter: each family in one piece under its HELP and
//! TYPE, no sample twice, no timestamps, no blank lines, a newline at the end. Used by `metrics.rs`.

use std::collections::{BTreeMap, BTreeSet};

/// Labels by name.
type Labels = BTreeMap<String, String>;

/// What was read.
pub struct Read {
    /// The type of each family.
    pub kinds: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

impl Read {
    /// The value of one sample.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(l, v)| (l.to_string(), v.to_string())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }
}

/// Reads a whole text, or says what is wrong with it.
pub fn parse(text: &str) -> Result<Read, String> {
    let mut read = Read { kinds: BTreeMap::new(), samples: BTreeMap::new() };
    let mut helped = BTreeSet::new();
    // The family that the next sample must be of, and whether one has been.
    let mut family: Option<(String, bool)> = None;
    let body = text.strip_suffix('\n').ok_or("no newline at the end")?;
    let mut lines = body.split('\n');
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            if family.as_ref().is_some_and(|(_, used)| !used) {
                return Err(format!("{family:?} has no sample"));
            }
            let (name, help) = rest.split_once(' ').ok_or(format!("no help: {line}"))?;
            if !is_name(name, true) || help.is_empty() || unescape(help, false).is_none() {
                return Err(format!("bad help: {line}"));
            }
            if !helped.insert(name.to_owned()) {
                return Err(format!("{name} is in two pieces"));
            }
            let next = lines.next().unwrap_or_default();
            let kind = next
                .strip_prefix(&format!("# TYPE {name} "))
                .filter(|kind| ["counter", "gauge"].contains(kind))
                .ok_or(format!("no type of {name}: {next}"))?;
            read.kinds.insert(name.to_owned(), kind.to_owned());
            family = Some((name.to_owned(), false));
            continue;
        }
        let ((name, labels), value) = sample(line).ok_or(format!("not a sample: {line}"))?;
        match &mut family {
            Some((of, used)) if *of == name => *used = true,
            _ => return Err(format!("{name} is not under its type: {line}")),
        }
        if read.kinds[&name] == "counter" && value < 0.0 {
            return Err(format!("a negative count: {line}"));
        }
        if read.samples.insert((name, labels), value).is_some() {
            return Err(format!("twice: {line}"));
        }
    }
    match family {
        Some((_, true)) => Ok(read),
        _ => Err("no sample at the end".into()),
    }
}

/// `name{label="value",label="value"} 1.5`
fn sample(line: &str) -> Option<((String, Labels), f64)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            let (label, after) = inside.split_once("=\"")?;
            let end = closing(after)?;
            let value = unescape(&after[..end], true)?;
            if !is_name(label, false) || labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            let next = &after[end + 1..];
            if let Some(more) = next.strip_prefix(',') {
                inside = more;
            } else {
                rest = next.strip_prefix('}')?;
                break;
            }
        }
    }
    let value = rest.strip_prefix(' ')?;
    let plain = |c: char| c.is_ascii_digit() || ".e-+".contains(c);
    let number: f64 = value.parse().ok()?;
    (is_name(name, true) && value.chars().all(plain) && number.is_finite())
        .then(|| ((name.to_owned(), labels), number))
}

fn is_name(name: &str, colon: bool) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || (colon && c == ':');
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

/// Where the first quote stands that is not escaped.
fn closing(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, letter)| {
        let found = letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
        found.then_some(at)
    })
}

/// None if a backslash stands before anything that it may not stand before.
fn unescape(text: &str, quoted: bool) -> Option<String> {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' => match letters.next()? {
                '\\' => '\\',
                'n' => '\n',
                '"' if quoted => '"',
                _ => return None,
            },
            letter => letter,
        });
    }
    Some(plain)
}

/// The reader is worth something only if it refuses.
#[test]
fn what_is_not_the_format_is_refused() {
    let head = "# HELP a_total A\n# TYPE a_total counter\n";
    assert!(parse(&format!("{head}a_total{{b=\"c\\\"\\n\"}} 1\n")).is_ok());
    for wrong in [
        "",
        "a_total 1\n",
        &format!("{head}a_total 1"),
        &format!("{head}a_total 1\n\n"),
        &format!("{head}a_total 1\na_total 1\n"),
        &format!("{head}a_total 1\n{head}a_total{{b=\"c\"}} 1\n"),
        &format!("{head}a_total 1 1700000000\n"),
        &format!("{head}a_total -1\n"),
        &format!("{head}a_total x\n"),
        &format!("{head}a_total NaN\n"),
        &format!("{head}a_total{{b=\"c\"d=\"e\"}} 1\n"),
        &format!("{head}a_total{{b=\"c\",b=\"d\"}} 1\n"),
        &format!("{head}a_total{{b=\"c\\d\"}} 1\n"),
        &format!("{head}a_total{{b=\"c\"d\"}} 1\n"),
        &format!("{head}a_total{{0b=\"c\"}} 1\n"),
        &format!("{head}b_total 1\n"),
        head,
        "# TYPE a gauge\na 1\n",
        "# HELP a A\na 1\n",
        "# HELP a A\n# TYPE a weird\na 1\n",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}
