//! `localmonitor.cfg`: which machines are pinged, and whether they are: `enableMonitor()`, `disableMonitor()`,
//! `addMachine(10.1.0.1)`.

use super::scan::{self, Token};
use super::vips::address;
use crate::keys;
use crate::problem::{Problem, Problems};
use std::net::IpAddr;
use std::ops::Range;
use toml::Spanned;

const ENABLE: &str = "enableMonitor";
const DISABLE: &str = "disableMonitor";
const ADD: &str = "addMachine";

/// What is pinged.
#[derive(Default)]
pub(super) struct Machines {
    pub enabled: bool,
    pub addresses: Vec<IpAddr>,
}

/// All of it. Not complete if there are problems. The last word on whether machines are pinged counts.
pub(super) fn read(text: &str, problems: &mut Problems) -> Machines {
    let tokens = scan::lines(text).flatten().filter(|token| token.text != ";");
    let tokens: Vec<Token> = tokens.collect();
    let mut machines = Machines::default();
    let mut rest = &tokens[..];
    while let Some((word, after)) = rest.split_first() {
        if ![ENABLE, DISABLE, ADD].contains(&word.text) {
            let message = format!("{:?} is not known", word.text);
            let expected = format!("expected {ENABLE}(), {DISABLE}() or {ADD}(ADDRESS)");
            let problem = Problem::at(word.at.clone(), message, expected);
            let near = keys::nearest(word.text, [ENABLE, DISABLE, ADD].into_iter());
            problems.add(match near {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem,
            });
            return machines;
        }
        let close = after.iter().position(|t| t.text == ")");
        let inside = match (after.first(), close) {
            (Some(open), Some(close)) if open.text == "(" => &after[1..close],
            (first, _) => {
                let end = text.len()..text.len();
                let at = first.map_or(end, |t| t.at.clone());
                let message = format!("{} is not followed by ( and )", word.text);
                problems.add(Problem::at(at, message, format!("expected {}", form(word.text))));
                return machines;
            }
        };
        rest = &after[inside.len() + 2..];
        match (word.text, inside) {
            (ENABLE, []) => machines.enabled = true,
            (DISABLE, []) => machines.enabled = false,
            (ADD, [machine]) => {
                let address = address(machine, problems).map(Spanned::into_inner);
                if let Some(address) = address.filter(|a| !machines.addresses.contains(a)) {
                    machines.addresses.push(address);
                }
            }
            (name, inside) => {
                let at = match inside {
                    [] => word.at.clone(),
                    [first, ..] => {
                        Range { start: first.at.start, end: inside[inside.len() - 1].at.end }
                    }
                };
                let message = match name == ADD {
                    true => {
                        let commas = inside.iter().filter(|token| token.text == ",").count();
                        format!("{ADD} has {} addresses", inside.len() - commas)
                    }
                    false => format!("{name} has something between its brackets"),
                };
                problems.add(Problem::at(at, message, format!("expected {}", form(name))));
            }
        }
    }
    machines
}

fn form(name: &str) -> String {
    if name == ADD { format!("{ADD}(ADDRESS)") } else { format!("{name}()") }
}

/// A check for each, on all nodes. Those that were listed only are told to the reader of the file.
pub(super) fn write(machines: &Machines, line: &mut impl FnMut(String)) {
    if !machines.enabled && !machines.addresses.is_empty() {
        let addresses: Vec<String> = machines.addresses.iter().map(IpAddr::to_string).collect();
        line(format!("\n# These machines were listed, but not pinged: {}.", addresses.join(", ")));
        return;
    }
    for (n, address) in machines.addresses.iter().enumerate() {
        line(format!("\n[[check]]\nname = \"machine{}\"", n + 1));
        line(format!("kind = \"ping\"\naddress = \"{address}\""));
    }
}
