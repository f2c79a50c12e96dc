//! What the other daemons of a node tell its ring daemon. Called by `world`.

use crate::plan::MS;
use crate::world::World;
use dsc_wire::local::{Load, VipLoad};
use dsc_wire::{NodeId, SubnetSet, VipId};

impl World {
    /// Where the node can host now.
    fn able(&self, node: NodeId) -> SubnetSet {
        let machine = &self.machines[node.index()];
        self.plan.cluster.nodes[node.index()]
            .subnets
            .iter()
            .filter(|s| {
                self.network.plugged(self.at, node, *s) && machine.unable[s.index()] <= self.at
            })
            .collect()
    }

    pub(crate) fn facts(&mut self, node: NodeId) {
        let subnets = self.able(node);
        let wall_ms = 1_700_000_000_000 + self.at / MS;
        let load = Load { cpu_permille: 10, bytes_per_s: vec![0, 0] };
        for input in [
            dsc_ring::Input::Wall { wall_ms },
            dsc_ring::Input::Able { subnets },
            dsc_ring::Input::Load { load },
        ] {
            self.give(node, input);
        }
        if self.plan.cluster.balance.on {
            let load =
                |(i, load): (usize, &u64)| VipLoad { vip: VipId(i as u16), bytes_per_s: *load };
            let loads = self.plan.loads.iter().enumerate().map(load).collect();
            self.give(node, dsc_ring::Input::VipLoads { loads: Some(loads) });
        }
        let verdicts = self.machines[node.index()].checked.clone();
        self.give(node, dsc_ring::Input::Checked { verdicts });
        let (lights, unfit) = self.machines[node.index()].lights.clone();
        self.give(node, dsc_ring::Input::Lights { lights, unfit });
    }
}
