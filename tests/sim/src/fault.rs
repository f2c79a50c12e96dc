//! What may go wrong, as values: a plan is a list of them with times, printed as they are with a violation.

use dsc_wire::local::Command;
use dsc_wire::{NodeId, NodeSet, SubnetId, SubnetSet};
use std::fmt;

/// Nanoseconds of world time.
pub type Span = u64;

/// One thing that happens to the cluster.
#[expect(missing_docs, reason = "the sentence of each fault tells what its fields are")]
#[derive(Clone, Debug)]
pub enum Fault {
    /// The ring daemon does not run; its kernel does and its socket queue fills.
    Pause { node: NodeId, lasts: Span },
    /// The same in the middle of a turn, after `effects` of its effects were carried out.
    Stall { node: NodeId, effects: u8, lasts: Span },
    /// Power off, nothing left; booted again after `lasts` unless that is the end of the world.
    Crash { node: NodeId, lasts: Span },
    /// The ring daemon dies and is started again; the kernel's maps live on.
    Kill { node: NodeId, lasts: Span },
    /// Planned stop: hands over, leaves, and is started again `lasts` after it has left.
    Leave { node: NodeId, lasts: Span },
    /// Packets from any of `from` to any of `to` on `subnets` vanish; `both`: and the other way round.
    Cut { from: NodeSet, to: NodeSet, subnets: SubnetSet, both: bool, lasts: Span },
    /// Acknowledgements from `from` to `to` vanish.
    Acks { from: NodeId, to: NodeId, lasts: Span },
    /// Every packet is lost with this probability.
    Loss { permille: u16, lasts: Span },
    /// Packets between the two take longer by up to `extra`.
    Slow { from: NodeId, to: NodeId, extra: Span, lasts: Span },
    /// The socket queue of `node` holds only `places` packets, to the end of the faults.
    Queue { node: NodeId, places: usize },
    /// A cable is pulled: the subnet is cut off for the node and its monitor says so.
    Carrier { node: NodeId, subnet: SubnetId, lasts: Span },
    /// The data path on a subnet is not ready; packets between daemons still flow.
    Unable { node: NodeId, subnet: SubnetId, lasts: Span },
    /// The node's checks of backends have these verdicts from now on, bit by bit: which it has, and which of them are red.
    Checked { node: NodeId, has: u8, red: u8 },
    /// The node's own checks say this of it from now on, bit by bit: which are red, and on which subnets critical ones.
    Lights { node: NodeId, red: u8, unfit: u8 },
    /// An operator's command, given on `node`.
    Command { node: NodeId, command: Command },
    /// An operator's change of the configuration, asked for on `node`.
    Change { node: NodeId, change: Change },
}

/// A change of the configuration in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The VIP comes, or goes.
    Vip(dsc_wire::VipId),
    /// The node comes, or goes.
    Node(NodeId),
    /// This node cannot work with it.
    Refused(NodeId),
    /// The document has so many bytes more than it needs.
    Size(usize),
}

impl Fault {
    /// The nodes that are away while an absence lasts, and how long that is.
    pub fn absence(&self) -> Option<(NodeSet, Span)> {
        match *self {
            Fault::Pause { node, lasts }
            | Fault::Kill { node, lasts }
            | Fault::Crash { node, lasts } => Some(([node].into_iter().collect(), lasts)),
            Fault::Cut { from, lasts, .. } => Some((from, lasts)),
            _ => None,
        }
    }
}

fn ms(span: Span) -> String {
    if span == u64::MAX { "ever".into() } else { format!("{:.2}ms", span as f64 / 1e6) }
}

fn nodes(set: NodeSet) -> String {
    set.iter().map(|n| n.0.to_string()).collect::<Vec<_>>().join(",")
}

fn subnets(set: SubnetSet) -> String {
    set.iter().map(|s| s.0.to_string()).collect::<Vec<_>>().join(",")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Pause { node, lasts } => write!(f, "pause {} for {}", node.0, ms(*lasts)),
            Fault::Stall { node, effects, lasts } => {
                write!(f, "stall {} after {effects} effects for {}", node.0, ms(*lasts))
            }
            Fault::Crash { node, lasts } => write!(f, "crash {} for {}", node.0, ms(*lasts)),
            Fault::Kill { node, lasts } => write!(f, "kill ringd {} for {}", node.0, ms(*lasts)),
            Fault::Leave { node, lasts } => write!(f, "leave {} for {}", node.0, ms(*lasts)),
            Fault::Cut { from, to, subnets: on, both, lasts } => write!(
                f,
                "cut {}{}{} on {} for {}",
                nodes(*from),
                if *both { "<->" } else { "->" },
                nodes(*to),
                subnets(*on),
                ms(*lasts)
            ),
            Fault::Acks { from, to, lasts } => {
                write!(f, "no acks {}->{} for {}", from.0, to.0, ms(*lasts))
            }
            Fault::Loss { permille, lasts } => write!(f, "loss {permille}/1000 for {}", ms(*lasts)),
            Fault::Slow { from, to, extra, lasts } => {
                write!(f, "slow {}<->{} by {} for {}", from.0, to.0, ms(*extra), ms(*lasts))
            }
            Fault::Queue { node, places } => {
                write!(f, "queue of {} holds {places}", node.0)
            }
            Fault::Carrier { node, subnet, lasts } => {
                write!(f, "carrier of {} on {} lost for {}", node.0, subnet.0, ms(*lasts))
            }
            Fault::Unable { node, subnet, lasts } => {
                write!(f, "data path of {} on {} gone for {}", node.0, subnet.0, ms(*lasts))
            }
            Fault::Checked { node, has, red } => {
                write!(f, "checks on {}: {has:03b}, red {:03b}", node.0, has & red)
            }
            Fault::Lights { node, red, unfit } => {
                write!(f, "lights of {}: red {red:03b}, unfit {unfit:02b}", node.0)
            }
            Fault::Change { node, change } => write!(f, "change on {}: {change:?}", node.0),
            Fault::Command { node, command } => write!(f, "command on {}: {command:?}", node.0),
        }
    }
}
