//! Which number each thing has. In a file without `[numbers]` it is its position there; `[numbers]` tells otherwise. A thing
//! of the configuration in force keeps its number in the next one; what is new gets one past all that there were, and only
//! when there is none left one that nothing has.

use crate::PORTS_LEAST;
use crate::config::{Config, Source};
use crate::fields::{Fields, mistyped};
use crate::numbered::{Number, Numbered};
use crate::problem::{Problem, Problems};
use dsc_wire::flow::{BACKENDS_MAX, SERVICES_MAX};
use dsc_wire::health::CHECKS_MAX;
use dsc_wire::ids::{NODES_MAX, SUBNETS_MAX, VIPS_MAX};
use dsc_wire::{BackendId, NodeId, ServiceId, SubnetId, VipId};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use toml::Spanned;

/// What things of one kind are called, by number; an empty name is a hole.
pub(crate) type Called = Vec<String>;

/// The names by number of everything that has numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub subnets: Called,
    pub nodes: Called,
    pub vips: Called,
    pub services: Called,
    pub backends: Called,
    pub checks: Called,
}

/// The kinds: the key, the singular, the most that there may be.
pub(crate) const KINDS: [(&str, &str, usize); 6] = [
    ("subnets", "subnet", SUBNETS_MAX),
    ("nodes", "node", NODES_MAX),
    ("vips", "VIP", VIPS_MAX),
    ("services", "service", SERVICES_MAX),
    ("backends", "backend", BACKENDS_MAX),
    ("checks", "check", CHECKS_MAX),
];

impl Numbers {
    /// In the order of [`KINDS`].
    pub fn lists(&self) -> [&Called; 6] {
        let Numbers { subnets, nodes, vips, services, backends, checks } = self;
        [subnets, nodes, vips, services, backends, checks]
    }

    fn of(lists: [Called; 6]) -> Numbers {
        let [subnets, nodes, vips, services, backends, checks] = lists;
        Numbers { subnets, nodes, vips, services, backends, checks }
    }
}

/// Things of one kind in their order: the new number of each, by the one it has.
struct Moved {
    to: Vec<Option<usize>>,
    bound: usize,
}

impl Moved {
    fn number<I: Number>(&self, id: I) -> I {
        match self.to.get(id.index()) {
            Some(Some(to)) => I::at(*to),
            _ => unreachable!("{id:?} is held by a configuration that does not have it"),
        }
    }

    fn place<I: Number, T>(&self, things: Numbered<I, T>) -> Numbered<I, T> {
        Numbered::from_slots(self.row(things.into_slots()))
    }

    /// A row that has something for each number, by the new ones.
    fn row<T>(&self, row: Vec<Option<T>>) -> Vec<Option<T>> {
        let mut out: Vec<Option<T>> = (0..self.bound).map(|_| None).collect();
        for (at, thing) in row.into_iter().enumerate() {
            if let Some(Some(to)) = self.to.get(at) {
                out[*to] = thing;
            }
        }
        out
    }
}

/// No number is left for some kind of things.
#[derive(Debug)]
pub(crate) struct Full {
    /// Which kind.
    pub key: &'static str,
    /// How many of them are new.
    pub new: usize,
    /// How many numbers none of the known ones has.
    pub left: usize,
}

/// Numbers for `things` (holes are empty): that of the same name in `known`; else one past the end of `known`; else, where
/// `most` is reached, one that is a hole in `known`.
fn assigned(
    known: &Called,
    things: &Called,
    (key, _, most): (&'static str, &str, usize),
) -> Result<Moved, Full> {
    let at: HashMap<&str, usize> =
        known.iter().enumerate().filter(|(_, n)| !n.is_empty()).map(|(i, n)| (&**n, i)).collect();
    let is_new = |name: &&String| !name.is_empty() && !at.contains_key(name.as_str());
    let new = things.iter().filter(is_new).count();
    let holes = known.iter().enumerate().filter(|(_, n)| n.is_empty()).map(|(i, _)| i);
    let mut free = (known.len()..most).chain(holes);
    let mut bound = known.len();
    let mut to = Vec::with_capacity(things.len());
    for name in things {
        to.push(if name.is_empty() {
            None
        } else if let Some(number) = at.get(name.as_str()) {
            Some(*number)
        } else {
            let Some(number) = free.next() else {
                let left = most - known.iter().filter(|n| !n.is_empty()).count();
                return Err(Full { key, new, left });
            };
            bound = bound.max(number + 1);
            Some(number)
        });
    }
    Ok(Moved { to, bound })
}

/// `[numbers]` of a file, as it is written.
#[derive(Default)]
pub(crate) struct NumbersDraft {
    lists: [Option<Spanned<Called>>; 6],
}

/// Reads `[numbers]`, if it is there.
pub(crate) fn read(file: &Fields, problems: &mut Problems) -> NumbersDraft {
    let mut draft = NumbersDraft::default();
    let Some(value) = file.get("numbers") else { return draft };
    let Some(table) = value.get_ref().as_table() else {
        problems.add(mistyped("numbers", value, "a table that begins with [numbers]"));
        return draft;
    };
    let fields = Fields::open("numbers", value.span(), table, problems);
    for ((key, one, most), list) in KINDS.into_iter().zip(&mut draft.lists) {
        let Some(value) = fields.get(key) else { continue };
        let (names, whole) = fields.strings(key, problems);
        if let Some(beyond) = names.get(most) {
            let message = format!("{} numbers of {key} are too many", names.len());
            problems.add(Problem::at(beyond.span(), message, format!("expected at most {most}")));
            continue;
        }
        let mut seen: HashMap<&str, Range<usize>> = HashMap::new();
        for name in names.iter().filter(|n| !n.get_ref().is_empty()) {
            if let Some(earlier) = seen.insert(name.get_ref(), name.span()) {
                let message = format!("{one} `{}` has two numbers", name.get_ref().escape_debug());
                let problem = Problem::at(name.span(), message, "expected each once");
                problems.add(problem.also(earlier, "the first is here"));
            }
        }
        if whole {
            let names = names.into_iter().map(Spanned::into_inner).collect();
            *list = Some(Spanned::new(value.span(), names));
        }
    }
    draft
}

impl NumbersDraft {
    /// The configuration, whose numbers are positions so far, with those that are written here. A name that nothing has is
    /// a hole: its thing was taken out of the file.
    pub fn give(self, config: Config, problems: &mut Problems) -> Option<Config> {
        if self.lists.iter().all(Option::is_none) {
            return Some(config);
        }
        let there = config.numbers();
        let mut known: [Called; 6] = Default::default();
        for (((list, known), there), kind) in
            self.lists.into_iter().zip(&mut known).zip(there.lists()).zip(KINDS)
        {
            let Some(list) = list else {
                *known = there.clone();
                continue;
            };
            let place = list.span();
            let names: HashSet<&String> = there.iter().collect();
            *known = list.into_inner();
            known.iter_mut().filter(|n| !names.contains(&**n)).for_each(String::clear);
            if let Err(Full { key, .. }) = assigned(known, there, kind) {
                let (.., most) = kind;
                let message = format!("no number is left for some {key}");
                problems.add(Problem::at(place, message, format!("expected at most {most}")));
            }
        }
        let config = config.numbered_as(&Numbers::of(known)).ok()?;
        config.enough_ports(problems);
        Some(config)
    }
}

impl Config {
    /// Has what is in `earlier` too the same number in both? A node that was taken out and put in again has not; of a file
    /// that was written by hand nothing may have, for its order counts there. Who runs `earlier` cannot go over to this one as
    /// it is: its lists, its hosts and its packets would mean others.
    pub fn keeps_numbers_of(&self, earlier: &Config) -> bool {
        let (ours, theirs) = (self.numbers(), earlier.numbers());
        let kinds = KINDS.iter().zip(ours.lists().into_iter().zip(theirs.lists()));
        kinds.filter(|((key, ..), _)| earlier.version == 0 || *key == "nodes").all(
            |(_, (ours, theirs))| {
                let number: HashMap<&String, usize> = ours.iter().zip(0..).collect();
                let named = theirs.iter().enumerate().filter(|(_, name)| !name.is_empty());
                named.into_iter().all(|(at, name)| number.get(name).is_none_or(|n| *n == at))
            },
        )
    }

    /// What everything is called, by number.
    pub(crate) fn numbers(&self) -> Numbers {
        let name = |name: Option<&String>| name.cloned().unwrap_or_default();
        Numbers {
            subnets: self.subnets.slots().map(|s| name(s.map(|s| &s.name))).collect(),
            nodes: self.nodes.slots().map(|n| name(n.map(|n| &n.name))).collect(),
            vips: (self.vips.slots())
                .map(|v| v.map_or_else(String::new, |v| v.address.to_string()))
                .collect(),
            services: self.services.slots().map(|s| name(s.map(|s| &s.name))).collect(),
            backends: (self.backends.slots())
                .map(|b| b.map_or_else(String::new, |b| self.backend_called(b)))
                .collect(),
            checks: self.checks.slots().map(|c| name(c.map(|c| &c.name))).collect(),
        }
    }

    /// The numbers that a file without `[numbers]` would give to the things of this one, written down by rising number.
    pub(crate) fn positions(&self) -> Numbers {
        let pools = self.subnets.values().flat_map(|s| &s.pool);
        Numbers {
            subnets: self.subnets.values().map(|s| s.name.clone()).collect(),
            nodes: self.nodes.values().map(|n| n.name.clone()).collect(),
            vips: pools.flat_map(|range| range.iter()).map(|a| a.to_string()).collect(),
            services: self.services.values().map(|s| s.name.clone()).collect(),
            backends: (self.services.values().flat_map(|s| &s.backends))
                .map(|b| self.backend_called(&self.backends[*b]))
                .collect(),
            checks: self.checks.values().map(|c| c.name.clone()).collect(),
        }
    }

    /// The same configuration, with the numbers of `known` for all that it names, and others for the rest.
    ///
    /// # Errors
    /// No number is left for some kind of things.
    pub(crate) fn numbered_as(self, known: &Numbers) -> Result<Config, Full> {
        let own = self.numbers();
        let mut moved = Vec::with_capacity(KINDS.len());
        for ((known, own), kind) in known.lists().into_iter().zip(own.lists()).zip(KINDS) {
            moved.push(assigned(known, own, kind)?);
        }
        let [subnets, nodes, vips, services, backends, checks] = &moved[..] else { unreachable!() };
        let mut moved = self.moved(subnets, nodes, vips, services, backends);
        moved.checks = checks.place(moved.checks);
        Ok(moved)
    }

    /// Every number up to the bound takes its part of the ports of source NAT, whether a node has it or not.
    pub(crate) fn enough_ports(&self, problems: &mut Problems) {
        let bound = self.nodes.bound();
        for source in self.source_nats.iter().filter(|s| s.slice(bound) < PORTS_LEAST) {
            let (first, last) = source.ports;
            let message = format!("ports {first}-{last} are too few for {bound} numbers of nodes");
            let least = usize::from(PORTS_LEAST) * bound;
            let expected = format!("expected at least {least}: {PORTS_LEAST} for each");
            let problem = Problem::without_place(message, expected);
            problems.add(problem.help("nodes that were taken out keep their numbers"));
        }
    }

    fn moved(
        mut self,
        subnets: &Moved,
        nodes: &Moved,
        vips: &Moved,
        services: &Moved,
        backends: &Moved,
    ) -> Config {
        for (_, node) in self.nodes.iter_mut() {
            node.addresses = subnets.row(std::mem::take(&mut node.addresses));
        }
        for (_, vip) in self.vips.iter_mut() {
            vip.subnet = subnets.number(vip.subnet);
            vip.preferred = vip.preferred.map(|node: NodeId| nodes.number(node));
        }
        for (_, service) in self.services.iter_mut() {
            service.vips.iter_mut().for_each(|vip: &mut VipId| *vip = vips.number(*vip));
            service.backends.iter_mut().for_each(|b: &mut BackendId| *b = backends.number(*b));
        }
        for (_, backend) in self.backends.iter_mut() {
            backend.service = services.number::<ServiceId>(backend.service);
            backend.subnet = subnets.number::<SubnetId>(backend.subnet);
        }
        for source in &mut self.source_nats {
            source.from.iter_mut().for_each(|(_, subnet)| *subnet = subnets.number(*subnet));
            source.vips.iter_mut().for_each(|vip| *vip = vips.number(*vip));
        }
        for (_, check) in self.checks.iter_mut() {
            check.nodes = check.nodes.iter().map(|node| nodes.number(node)).collect();
            check.critical = check.critical.iter().map(|subnet| subnets.number(subnet)).collect();
            check.subnet = check.subnet.map(|subnet| subnets.number(subnet));
        }
        let Source { node_addresses, vips: vip_places, .. } = &mut self.source;
        let places = std::mem::take(node_addresses).into_iter().map(|row| Some(subnets.row(row)));
        *node_addresses =
            nodes.row(places.collect()).into_iter().map(Option::unwrap_or_default).collect();
        let places = std::mem::take(vip_places).into_iter().map(Some).collect();
        *vip_places = vips.row(places).into_iter().map(Option::unwrap_or_default).collect();
        self.subnets = subnets.place(self.subnets);
        self.nodes = nodes.place(self.nodes);
        self.vips = vips.place(self.vips);
        self.services = services.place(self.services);
        self.backends = backends.place(self.backends);
        self
    }
}
