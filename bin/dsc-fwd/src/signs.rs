//! What new flows of this node say about the backends that are checked: one that takes none of several is worth a look. No
//! verdict: whoever sends openings that nobody answers could make one. Pure; the kernel's counters and the time are arguments.

use dsc_bpf::BackendCount;
use dsc_conf::Config;
use dsc_wire::{BackendId, Protocol, ServiceKind, Time};
use std::time::Duration;

/// Between two readings. Whoever begins in one has all of the next to be heard.
const WINDOW: Duration = Duration::from_millis(250);
/// Fewer flows than this say nothing.
const LEAST: u64 = 5;

/// The last reading, and what came of it.
#[derive(Default)]
pub struct Signs {
    backends: Vec<Signed>,
    next: Time,
    failing: Vec<BackendId>,
}

struct Signed {
    id: BackendId,
    protocol: Protocol,
    /// None before the first reading.
    count: Option<BackendCount>,
    /// Flows that began in the window before the last reading.
    begun: u64,
}

impl Signs {
    /// Of the backends that have a check.
    pub fn new(config: &Config, now: Time) -> Signs {
        let checked = config.backends.iter().filter_map(|(id, backend)| {
            let service = &config.services[backend.service];
            // Connections to those of a link are not the kernel's, and whoever opens them notices by itself.
            let counted = service.kind == ServiceKind::Nat && service.check.is_some();
            let protocol = service.protocol;
            counted.then_some(Signed { id, protocol, count: None, begun: 0 })
        });
        let backends: Vec<Signed> = checked.collect();
        let next = if backends.is_empty() { Time::NEVER } else { now };
        Signs { backends, next, failing: Vec::new() }
    }

    /// Goes on with another configuration, in which backends that stay have the numbers that they had.
    pub fn change(&mut self, config: &Config, now: Time) {
        let before = std::mem::take(self);
        *self = Signs::new(config, now);
        if before.next < Time::NEVER && self.next < Time::NEVER {
            self.next = before.next;
        }
        for old in before.backends {
            let same = |new: &&mut Signed| (new.id, new.protocol) == (old.id, old.protocol);
            if let Some(new) = self.backends.iter_mut().find(same) {
                *new = old;
            }
        }
        let has = |id: &BackendId| self.backends.iter().any(|b| b.id == *id);
        self.failing = before.failing.into_iter().filter(has).collect();
    }

    /// When [`Signs::read`] is due.
    pub fn deadline(&self) -> Time {
        self.next
    }

    /// Those that fail, rising.
    pub fn failing(&self) -> &[BackendId] {
        &self.failing
    }

    /// Reads the counters if that is due; true if others fail now.
    ///
    /// # Errors
    /// The kernel refused to read a map.
    pub fn read(
        &mut self,
        now: Time,
        read: impl Fn(BackendId) -> Result<BackendCount, String>,
    ) -> Result<bool, String> {
        if now < self.next {
            return Ok(false);
        }
        self.next = now + WINDOW;
        let mut failing = Vec::new();
        for backend in &mut self.backends {
            let new = read(backend.id)?;
            let old = backend.count.replace(new).unwrap_or(new);
            let grown = |value: fn(&BackendCount) -> u64| value(&new).saturating_sub(value(&old));
            let waited = std::mem::replace(&mut backend.begun, grown(|c| c.flows));
            // Datagrams need no answer.
            let silent = backend.protocol == Protocol::Tcp && waited >= LEAST;
            let refused = grown(|c| c.refused) >= LEAST;
            if grown(|c| c.opened) == 0 && (silent || refused) {
                failing.push(backend.id);
            }
        }
        let changed = failing != self.failing;
        self.failing = failing;
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    const TOML: &str = r#"
[cluster]
name = "shop"
[[subnet]]
name = "ext"
networks = ["10.1.0.0/24"]
pool = ["10.1.0.100"]
[[node]]
name = "n1"
addresses = { ext = "10.1.0.1" }
[[service]]
name = "unchecked"
vips = ["10.1.0.100"]
port = 81
backends = [{ address = "10.1.0.201" }]
[[service]]
name = "web"
vips = ["10.1.0.100"]
port = 80
backends = [{ address = "10.1.0.201" }]
check = { kind = "tcp" }
[[service]]
name = "dns"
vips = ["10.1.0.100"]
protocol = "udp"
port = 53
backends = [{ address = "10.1.0.201" }]
check = { kind = "tcp", port = 53 }
"#;

    const NONE: [u16; 0] = [];

    /// The kernel's counters, the clock, and what fails after each window in which so many flows began, opened, were refused.
    struct Told {
        signs: Signs,
        now: Time,
        counts: RefCell<[[u64; 3]; 3]>,
    }

    impl Told {
        fn new() -> Told {
            let config = Config::parse(TOML, "dsc.toml").unwrap();
            let now = Time::from_ms(1_000);
            let mut told =
                Told { signs: Signs::new(&config, now), now, counts: RefCell::default() };
            told.window(0, [0; 3]);
            told
        }

        fn window(&mut self, backend: usize, grown: [u64; 3]) -> Vec<u16> {
            let mut counts = self.counts.borrow_mut();
            (0..3).for_each(|at| counts[backend][at] += grown[at]);
            let read = |id: BackendId| {
                let [flows, opened, refused] = counts[id.index()];
                Ok(BackendCount { flows, opened, refused, ..BackendCount::default() })
            };
            assert!(self.now <= self.signs.deadline(), "{:?}", self.signs.deadline());
            self.now = self.signs.deadline();
            let before = self.signs.failing.clone();
            let changed = self.signs.read(self.now, read).unwrap();
            assert_eq!(changed, before != self.signs.failing());
            assert!(!self.signs.read(self.now, read).unwrap(), "not due");
            self.signs.failing().iter().map(|id| id.0).collect()
        }
    }

    #[test]
    fn several_flows_and_none_that_opens_are_a_sign_in_the_window_after() {
        let mut told = Told::new();
        assert_eq!(told.window(1, [5, 0, 0]), NONE);
        assert_eq!(told.window(1, [9, 0, 0]), [1], "they had time");
        assert_eq!(told.window(1, [9, 1, 0]), NONE, "it takes some");
        assert_eq!(told.window(1, [4, 0, 0]), [1]);
        assert_eq!(told.window(1, [4, 0, 0]), NONE, "too few to say something");
        assert_eq!(told.window(1, [0, 0, 0]), NONE);
        assert_eq!(
            (told.window(0, [9, 0, 9]), told.window(0, [9, 0, 9])),
            (NONE.to_vec(), NONE.to_vec()),
            "no check"
        );
    }

    #[test]
    fn refusals_are_a_sign_at_once_and_silence_is_none_where_nobody_has_to_answer() {
        let mut told = Told::new();
        assert_eq!(told.window(1, [5, 0, 5]), [1]);
        assert_eq!(told.window(1, [5, 1, 5]), NONE);
        assert_eq!(told.window(1, [0, 0, 4]), [1], "those before are silent too");
        assert_eq!(told.window(2, [9, 0, 0]), NONE);
        assert_eq!(told.window(2, [9, 0, 4]), NONE);
        assert_eq!(told.window(2, [9, 0, 5]), [2]);
        assert_eq!(told.window(2, [9, 1, 5]), NONE);
    }
    #[test]
    fn another_configuration_goes_on_with_the_counts_of_what_stays() {
        let mut told = Told::new();
        assert_eq!(
            (told.window(1, [5, 0, 0]), told.window(2, [0, 0, 9])),
            (NONE.to_vec(), vec![1, 2])
        );
        let config = Config::parse(TOML, "dsc.toml").unwrap();
        let (before, _) = TOML.split_once("[[service]]\nname = \"dns\"").unwrap();
        let next = config.successor(Config::parse(before, "new").unwrap()).unwrap();
        let due = told.signs.deadline();
        told.signs.change(&next, told.now);
        assert_eq!(told.signs.failing(), [BackendId(1)], "2 is gone");
        assert_eq!(told.signs.deadline(), due);
        assert_eq!(told.window(1, [5, 0, 0]), NONE);
        told.signs.change(&config, told.now);
        assert_eq!(told.window(1, [0, 0, 0]), [1], "those of the window before count");
        let (none, _) = TOML.split_once("[[service]]\nname = \"web\"").unwrap();
        told.signs.change(&Config::parse(none, "none").unwrap(), told.now);
        assert_eq!(told.signs.deadline(), Time::NEVER);
        told.signs.change(&config, told.now);
        assert_eq!(told.signs.deadline(), told.now, "it begins");
    }
}
