//! The text format of Prometheus (version 0.0.4), as far as it is needed: families with HELP and TYPE, escaped labels, no
//! sample twice. Knows nothing of the cluster.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Write};
use std::time::Duration;

/// The text so far.
#[derive(Default)]
pub struct Text {
    text: String,
    families: BTreeSet<&'static str>,
}

impl Text {
    /// Begins a family of values that may go up and down.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        debug_assert!(!name.ends_with("_total"), "{name} is no counter");
        self.family(name, help, "gauge")
    }

    /// Begins a family of counts that only grow, until their daemon is started again.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        debug_assert!(name.ends_with("_total"), "{name} is a counter");
        self.family(name, help, "counter")
    }

    fn family(&mut self, name: &'static str, help: &str, kind: &'static str) -> Family<'_> {
        let new = self.families.insert(name);
        debug_assert!(new, "{name} was begun before");
        let head = format!(
            "# HELP {name} {}\n# TYPE {name} {kind}\n",
            Escaped { text: help, quoted: false }
        );
        Family { text: self, name, head: Some(head), samples: BTreeSet::new() }
    }

    /// All of it.
    pub fn into_string(self) -> String {
        self.text
    }
}

/// One name, and its samples until the next begins. Without samples it leaves nothing.
pub struct Family<'a> {
    text: &'a mut Text,
    name: &'static str,
    head: Option<String>,
    samples: BTreeSet<String>,
}

impl Family<'_> {
    /// Adds a sample. If the labels have been there, the first stays: a reader refuses a file with one twice.
    pub fn add(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let mut sample = String::new();
        for (index, (label, value)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let value = Escaped { text: value, quoted: true };
            write!(sample, "{before}{label}=\"{value}\"").expect("a string takes all");
        }
        if !labels.is_empty() {
            sample.push('}');
        }
        if self.samples.contains(&sample) {
            return;
        }
        let text = &mut self.text.text;
        text.push_str(&self.head.take().unwrap_or_default());
        writeln!(text, "{}{sample} {value}", self.name).expect("a string takes all");
        self.samples.insert(sample);
    }

    /// One sample for each of `all`: 1 for the one that is, 0 for the others, so that each is a series of its own.
    pub fn one_of(&mut self, labels: &[(&str, &str)], label: &str, all: &[&str], is: &str) {
        for word in all {
            let labels: Vec<_> = labels.iter().copied().chain([(label, *word)]).collect();
            self.add(&labels, u64::from(*word == is));
        }
    }
}

/// Seconds with all digits that there are.
pub fn seconds(span: Duration) -> String {
    let text = format!("{}.{:09}", span.as_secs(), span.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text as it may stand in a help line, or between the quotes of a label.
struct Escaped<'a> {
    text: &'a str,
    quoted: bool,
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.text.chars() {
            match letter {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '"' if self.quoted => f.write_str("\\\"")?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_no_sample_stands_twice() {
        let mut text = Text::default();
        let mut family = text.gauge("dsc_x", "A \\ and\na \"line\"");
        family.add(&[("node", "a\"b\\c\nd"), ("subnet", "ö")], 1);
        family.add(&[("node", "a\"b\\c\nd"), ("subnet", "ö")], 2);
        text.counter("dsc_none_total", "Nothing");
        text.counter("dsc_y_total", "Count").add(&[], u64::MAX);
        assert_eq!(
            text.into_string(),
            "# HELP dsc_x A \\\\ and\\na \"line\"\n# TYPE dsc_x gauge\n\
             dsc_x{node=\"a\\\"b\\\\c\\nd\",subnet=\"ö\"} 1\n\
             # HELP dsc_y_total Count\n# TYPE dsc_y_total counter\ndsc_y_total 18446744073709551615\n"
        );
    }

    #[test]
    fn seconds_lose_nothing() {
        assert_eq!(seconds(Duration::ZERO), "0");
        assert_eq!(seconds(Duration::from_secs(100)), "100");
        assert_eq!(seconds(Duration::from_micros(20_130)), "0.02013");
        assert_eq!(seconds(Duration::from_nanos(1)), "0.000000001");
    }
}
