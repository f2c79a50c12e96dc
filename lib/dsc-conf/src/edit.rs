//! Single changes of a configuration, for those who do not want to edit a file: a node comes, a node goes.

use crate::config::Config;
use crate::numbered::Numbered;
use crate::print::quoted;
use crate::problem::{Problem, Problems};
use dsc_wire::NodeId;
use std::net::IpAddr;

/// What messages call the text that is made here.
const MADE: &str = "the changed configuration";

impl Config {
    /// The same with one more node, which has these addresses, each on the subnet of that name.
    ///
    /// # Errors
    /// All that is wrong with it then, in the text that was made.
    pub fn with_node(
        &self,
        name: &str,
        addresses: &[(String, IpAddr)],
        witness: bool,
    ) -> Result<Config, Problems> {
        let addresses = addresses.iter().map(|(on, a)| format!("{} = \"{a}\"", quoted(on)));
        let addresses: Vec<String> = addresses.collect();
        let text = format!(
            "{}\n[[node]]\nname = {}\naddresses = {{ {} }}\nwitness = {witness}\n",
            self.to_toml(),
            quoted(name),
            addresses.join(", ")
        );
        Config::parse(&text, MADE)
    }

    /// The same without a node.
    ///
    /// # Errors
    /// VIPs prefer it; or all that is wrong with the rest.
    pub fn without_node(&self, node: NodeId) -> Result<Config, Problems> {
        let prefer = self.vips.values().filter(|vip| vip.preferred == Some(node));
        let prefer: Vec<String> = prefer.map(|vip| vip.address.to_string()).collect();
        if !prefer.is_empty() {
            let name = self.nodes.get(node).map_or("", |n| &n.name);
            let message = format!("node `{name}` is the preferred host of {}", prefer.join(", "));
            let mut problems = Problems::none(MADE, self.text().into());
            let problem = Problem::without_place(message, "expected a node that no VIP prefers");
            problems.add(
                problem.help("give them another preferred host, or none: dscctl config apply"),
            );
            return Err(problems);
        }
        let mut rest = self.clone();
        let mut slots: Vec<_> = self.nodes.slots().map(Option::<&_>::cloned).collect();
        if let Some(slot) = slots.get_mut(node.index()) {
            *slot = None;
        }
        rest.nodes = Numbered::from_slots(slots);
        rest.checks.iter_mut().for_each(|(_, check)| check.nodes.remove(node));
        Config::parse(&rest.to_toml(), MADE)
    }
}
