//! The faults that the explorer tries at every tick.

use crate::world::{Tick, World};
use dsc_wire::local::Command;
use dsc_wire::{NodeId, VipId};

/// One fault; the last number is how many ticks it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The daemon does not run.
    Pause(NodeId, Tick),
    /// Power off for good.
    Crash(NodeId),
    /// Power off, then on.
    Reboot(NodeId, Tick),
    /// The daemon is restarted; its kernel lives on.
    Kill(NodeId, Tick),
    /// One way.
    Cut(NodeId, NodeId, Tick),
    /// Both ways.
    Cut2(NodeId, NodeId, Tick),
    /// From all others, both ways.
    Alone(NodeId, Tick),
    /// Acknowledgements, one way.
    Acks(NodeId, NodeId, Tick),
    /// What arrives at the next tick.
    Lose,
    /// An operator's.
    Command(NodeId, Command),
}

/// Which faults are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Menu {
    /// Pauses only.
    Pause,
    /// What leaves every exchange between running nodes whole, and commands.
    Whole,
    /// Everything.
    All,
}

impl Menu {
    /// The faults that may begin now.
    pub fn faults(self, world: &World) -> Vec<Fault> {
        let mut list = Vec::new();
        for n in world.ids().filter(|n| world.runs(*n)) {
            list.extend([8, 14, 22, 34].map(|d| Fault::Pause(n, d)));
            if self != Menu::Pause {
                list.extend([Fault::Crash(n), Fault::Kill(n, 2), Fault::Reboot(n, 4)]);
            }
        }
        if self == Menu::Pause {
            return list;
        }
        list.push(Fault::Lose);
        for (vip, node) in [(0, 2), (1, 0)] {
            let command = Command::MoveVip { vip: VipId(vip), node: NodeId(node) };
            list.push(Fault::Command(NodeId(node), command));
        }
        if self == Menu::All {
            for d in [10, 30] {
                for a in world.ids() {
                    list.push(Fault::Alone(a, d));
                    for b in world.ids().filter(|b| *b != a) {
                        list.extend([Fault::Cut(a, b, d), Fault::Acks(a, b, d)]);
                        if a < b {
                            list.push(Fault::Cut2(a, b, d));
                        }
                    }
                }
            }
        }
        list
    }
}
