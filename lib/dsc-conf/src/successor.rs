//! From the configuration in force to the next one: what stays keeps its number, and what cannot be changed while the
//! cluster runs is refused. Every member computes the same from the same two.

use crate::config::Config;
use crate::numbers::Full;
use crate::problem::{Problem, Problems};

/// The way out for what the daemons read once, when they start.
const STOP: &str = "it takes a stop of the whole cluster: stop the daemons of every node, put the new file on each of them \
                    with a `version` higher than that of the one in force, and start them";

impl Config {
    /// `new` as the configuration that follows this one: with the numbers of this one for all that stays, and the next
    /// version. The numbers and the version that `new` has are not looked at.
    ///
    /// # Errors
    /// What cannot be changed while the cluster runs, all at once.
    pub fn successor(&self, new: Config) -> Result<Config, Problems> {
        let mut problems = Problems::none(&new.source.file, new.source.text.clone());
        self.fixed(&new, &mut problems);
        self.same_nodes(&new, &mut problems);
        let version = self.version.checked_add(1).filter(|v| i64::try_from(*v).is_ok());
        if version.is_none() {
            let message = format!("no version follows {}", self.version);
            problems.add(Problem::without_place(message, "expected a lower version in force"));
        }
        if !problems.is_empty() {
            return Err(problems.sorted());
        }
        let mut next = match new.numbered_as(&self.numbers()) {
            Ok(next) => next,
            Err(Full { key, new, left }) => {
                let message = format!(
                    "there are {new} new {key}, but only {left} numbers that none of those in force has"
                );
                let expected = format!("expected at most {left} new {key} at once");
                problems.add(Problem::without_place(message, expected).help(
                    "take out in a first step what is to go, and put in the new in a second one",
                ));
                return Err(problems);
            }
        };
        next.version = version.unwrap_or(self.version);
        next.enough_ports(&mut problems);
        if problems.is_empty() { Ok(next) } else { Err(problems) }
    }

    /// What every daemon reads once.
    fn fixed(&self, new: &Config, problems: &mut Problems) {
        let mut refuse = |what: &str, new: String, ours: String, help: &str| {
            let message = format!("{what} is {new}, but {ours} in the configuration in force");
            let expected = format!("expected {what} {ours}");
            problems.add(Problem::without_place(message, expected).help(help));
        };
        if new.name != self.name {
            let help = "a cluster keeps its name; is this the file of another cluster?";
            refuse("the cluster's name", quoted(&new.name), quoted(&self.name), help);
        }
        if new.port != self.port {
            refuse("port", new.port.to_string(), self.port.to_string(), STOP);
        }
        if new.key_file != self.key_file {
            let help = "a new key goes into the same file: dscctl keygen --add, --switch, --retire";
            let path = |config: &Config| quoted(&config.key_file.to_string_lossy());
            refuse("key_file", path(new), path(self), help);
        }
        if new.flows.max != self.flows.max {
            refuse("flows.max", new.flows.max.to_string(), self.flows.max.to_string(), STOP);
        }
    }

    /// A node that stays has the addresses and the vote that it has.
    fn same_nodes(&self, new: &Config, problems: &mut Problems) {
        let mut stays = false;
        for (id, node) in new.nodes.iter() {
            let Some(ours) = self.node_named(&node.name) else { continue };
            let ours = &self.nodes[ours];
            stays = true;
            let name = &node.name;
            let help = format!(
                "take the node out, and put it in again as it shall be: dscctl node remove {name}, then dscctl node add {name}"
            );
            if node.witness != ours.witness {
                let is = |witness| if witness { "a witness" } else { "no witness" };
                let message = format!(
                    "node `{name}` is {}, but {} in the configuration in force",
                    is(node.witness),
                    is(ours.witness)
                );
                let expected = format!("expected {}", is(ours.witness));
                problems.add(Problem::without_place(message, expected).help(&help));
            }
            for (subnet, on) in new.subnets.iter() {
                let before = self.subnets.find(|s| s.name == on.name);
                let before = before.and_then(|subnet| ours.address_on(subnet));
                let now = node.address_on(subnet);
                if now == before {
                    continue;
                }
                let said =
                    |a: Option<_>| a.map_or("none".to_owned(), |a: std::net::IpAddr| a.to_string());
                let message = format!(
                    "the address of node `{name}` on subnet `{}` is {}, but {} in the configuration in force",
                    on.name,
                    said(now),
                    said(before)
                );
                let expected = format!("expected {}", said(before));
                let row = new.source.node_addresses.get(usize::from(id.0));
                let place = row.and_then(|row| row.get(usize::from(subnet.0))).cloned().flatten();
                let problem = match place {
                    Some(place) => Problem::at(place, message, expected),
                    None => Problem::without_place(message, expected),
                };
                problems.add(problem.help(&help));
            }
            for (subnet, on) in self.subnets.iter().filter(|(id, _)| ours.address_on(*id).is_some())
            {
                if new.subnets.find(|s| s.name == on.name).is_none() {
                    let message = format!(
                        "subnet `{}` is gone, but node `{name}`, which stays, has an address on it in the configuration in force",
                        on.name
                    );
                    let expected = format!("expected subnet `{}`", self.subnets[subnet].name);
                    problems.add(Problem::without_place(message, expected).help(&help));
                }
            }
        }
        if !stays {
            let message = "none of the nodes of the configuration in force stays".to_owned();
            let expected = "expected one of them at least, who knows what the others need to hear";
            problems.add(Problem::without_place(message, expected).help(STOP));
        }
    }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}
