//! Where the daemons' log lines go: standard error, one line and one write each. Under the service manager the line begins
//! with the priority that its journal reads; on a terminal it begins with the level.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Longest line; what a peer or a user said may be part of one.
const LINE_MAX: usize = 1024;

struct Lines {
    level: Level,
    journal: bool,
}

/// Logs everything at `level` or graver from now on: `error`, `warn`, `info`, `debug` or `trace`.
///
/// # Errors
/// Another word; or logging was started before.
pub fn start(level: &str) -> Result<(), String> {
    let expected = "error, warn, info, debug or trace";
    let level =
        level.parse().map_err(|_| format!("unknown log level {level}: expected {expected}"))?;
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    tracing::subscriber::set_global_default(Lines { level, journal }).map_err(|e| e.to_string())
}

/// Tells on standard error why `program` ends. One that takes nothing, such as a file on a full disk, must not change how
/// it ends: the exit code still says it.
pub fn last_words(program: &str, problem: &str) {
    let _unheard = writeln!(std::io::stderr(), "{program}: {problem}");
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level && metadata.is_event()
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(self.level.into())
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        line.0.push_str(prefix(*event.metadata().level(), self.journal));
        event.record(&mut line);
        let text = line.finish();
        // With nowhere to write there is nobody to tell.
        let _unheard = std::io::stderr().write_all(text.as_bytes());
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

fn prefix(level: Level, journal: bool) -> &'static str {
    match (level, journal) {
        (Level::ERROR, true) => "<3>",
        (Level::WARN, true) => "<4>",
        (Level::INFO, true) => "<6>",
        (_, true) => "<7>",
        (Level::ERROR, false) => "error: ",
        (Level::WARN, false) => "warning: ",
        (Level::INFO, false) => "",
        (Level::DEBUG, false) => "debug: ",
        (Level::TRACE, false) => "trace: ",
    }
}

struct Line(String);

impl Line {
    /// One line whatever was put in: no line break or control character can forge another entry.
    fn finish(self) -> String {
        let mut text: String =
            self.0.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LINE_MAX).collect();
        text.push('\n');
        text
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _written = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line_of_bounded_length() {
        let forged = Line("<6>x\n<3>forged\u{1b}[31m".to_owned()).finish();
        assert_eq!(forged, "<6>x <3>forged [31m\n");
        assert_eq!(Line("y".repeat(9_999)).finish().len(), LINE_MAX + 1);
    }

    #[test]
    fn an_unknown_level_is_named() {
        assert!(start("loud").unwrap_err().contains("loud"));
    }
}
