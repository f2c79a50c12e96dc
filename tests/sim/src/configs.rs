//! Changes of the configuration: what documents say in this universe, what the disks keep, what an operator asks for, and what
//! must hold of it. A plan's cluster is everything that may ever be configured; a document says what is.

use crate::fault::{Change, Span};
use crate::machine::Machine;
use crate::plan::Plan;
use crate::world::World;
use dsc_ringd::documents::Configuration;
use dsc_wire::{Cluster, NodeId, NodePlan, NodeSet, VipId, VipPlan};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Nobody refuses it.
const NOBODY: u8 = u8::MAX;

/// What a document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doc {
    /// Counts the changes.
    pub version: u64,
    /// Nodes that are configured.
    pub nodes: NodeSet,
    /// VIPs that are not.
    pub without: Vec<VipId>,
    /// A node that cannot work with it.
    pub refused_by: Option<NodeId>,
    /// Bytes that mean nothing, so that it has several pieces.
    pub padding: usize,
}

impl Doc {
    /// Everything that `cluster` has.
    pub fn whole(cluster: &Cluster) -> Doc {
        let nodes = cluster.node_set();
        Doc { version: 0, nodes, without: Vec::new(), refused_by: None, padding: 0 }
    }

    /// As a document.
    pub fn write(&self) -> Vec<u8> {
        let refused_by = self.refused_by.map_or(NOBODY, |n| n.0);
        let without: Vec<String> = self.without.iter().map(|v| v.0.to_string()).collect();
        let (version, nodes, without) = (self.version, self.nodes.0, without.join(","));
        let padding = "x".repeat(self.padding);
        format!("{version} {nodes} {refused_by} [{without}] {padding}").into_bytes()
    }

    /// What [`Doc::write`] wrote.
    pub fn read(bytes: &[u8]) -> Doc {
        let text = String::from_utf8(bytes.to_vec()).expect("a document is text");
        let fields: Vec<&str> = text.split(' ').collect();
        let [version, nodes, refused_by, without, padding] = fields[..] else {
            panic!("a document in pieces: {text}")
        };
        let vips = without.trim_matches(['[', ']']).split(',').filter(|v| !v.is_empty());
        let refused_by = refused_by.parse().expect("a node's number");
        Doc {
            version: version.parse().expect("a version"),
            nodes: NodeSet(nodes.parse().expect("a set of nodes")),
            without: vips.map(|v| VipId(v.parse().expect("a VIP's number"))).collect(),
            refused_by: (refused_by != NOBODY).then_some(NodeId(refused_by)),
            padding: padding.len(),
        }
    }

    /// For the daemon.
    pub fn configuration(&self, plan: &Plan) -> Configuration {
        let mut cluster = plan.cluster.clone();
        cluster.version = self.version;
        for node in (0..plan.nodes() as u8).map(NodeId).filter(|n| !self.nodes.contains(*n)) {
            cluster.nodes[node.index()] = NodePlan::HOLE;
        }
        for vip in &self.without {
            cluster.vips[vip.index()] = VipPlan::HOLE;
        }
        for vip in &mut cluster.vips {
            vip.preferred = vip.preferred.filter(|n| self.nodes.contains(*n));
        }
        let mut hash = DefaultHasher::new();
        (self.nodes, &self.without, self.refused_by, self.padding).hash(&mut hash);
        cluster.digest = hash.finish() | 1;
        Configuration { cluster, document: self.write().into() }
    }

    /// With a change. None if it is none.
    fn changed(&self, change: Change) -> Option<Doc> {
        let mut new = self.clone();
        new.version += 1;
        new.refused_by = None;
        match change {
            Change::Vip(vip) => match new.without.iter().position(|v| *v == vip) {
                Some(at) => drop(new.without.remove(at)),
                None => new.without.push(vip),
            },
            Change::Node(node) if new.nodes.contains(node) => new.nodes.remove(node),
            Change::Node(node) => new.nodes.insert(node),
            Change::Refused(node) => {
                new.refused_by = Some(node);
                new.padding += 1;
            }
            Change::Size(bytes) => new.padding = bytes,
        }
        new.without.sort();
        (!new.nodes.is_empty()).then_some(new)
    }
}

/// A node's state directory.
#[derive(Clone, Debug)]
pub struct Disk {
    /// In force.
    pub stored: Doc,
    /// Prepared.
    pub next: Option<Doc>,
}

/// A change that an operator asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Of whom.
    pub node: NodeId,
    /// In which of its lives.
    pub life: u32,
    /// What.
    pub doc: Doc,
    /// The end of it.
    pub result: Option<Result<String, String>>,
}

/// Numbers of changes are above those of commands.
pub const FIRST: u64 = 1 << 32;

/// What is in force at a node.
pub fn in_force(machine: &Machine) -> Option<&Configuration> {
    machine.member.as_ref().map(|m| m.configuration())
}

/// The latest that is in force anywhere.
pub fn latest(world: &World) -> Option<&Configuration> {
    let all = world.machines.iter().filter_map(in_force);
    all.max_by_key(|c| (c.cluster.version, c.cluster.digest))
}

/// An operator asks `node` for `change`.
pub fn ask(world: &mut World, node: NodeId, change: Change) {
    let machine = &world.machines[node.index()];
    let Some(configuration) = in_force(machine) else { return };
    let Some(doc) = Doc::read(&configuration.document).changed(change) else { return };
    if doc.refused_by.is_some_and(|n| n == node || !doc.nodes.contains(n)) {
        return;
    }
    let life = machine.life;
    let mine = |asked: &&Asked| (asked.node, asked.life, &asked.result) == (node, life, &None);
    let busy = machine.member.as_ref().and_then(|m| m.busy());
    if let Some(busy) = busy.or_else(|| world.asked.iter().find(mine).map(|_| dsc_ring::BUSY)) {
        // Nothing is stored.
        let at = world.at;
        return world.trace.say(at, || format!("node {}: {busy}", node.0));
    }
    if let Change::Vip(vip) = change {
        world.audit.covered[vip.index()] = false;
    }
    world.asked.push(Asked { node, life, doc, result: None });
    let id = FIRST + world.asked.len() as u64 - 1;
    world.disk_at(node, crate::disk::Job::Propose(id));
}

/// A change came to its end.
pub fn done(
    world: &mut World,
    node: NodeId,
    id: u64,
    result: Result<String, String>,
) -> Result<(), String> {
    let at = world.at;
    world.trace.say(at, || format!("node {} change {id}: {result:?}", node.0));
    let Some(asked) = world.asked.get_mut((id - FIRST) as usize) else {
        return Err(format!("node {} ended change {id}, for which nobody asked", node.0));
    };
    if asked.result.is_some() || asked.node != node {
        return Err(format!("change {id} ended twice, or elsewhere: {asked:?}"));
    }
    asked.result = Some(result);
    let asked = asked.clone();
    match &asked.result {
        Some(Ok(_)) if asked.doc.refused_by.is_some() && world.plan.paced => {
            return Err(format!("a refused change came into force: {asked:?}"));
        }
        Some(Ok(text)) if !text.contains("has left") => {}
        _ => return Ok(()),
    }
    let view = world.machines[node.index()].view(at).map(|v| v.members.clone());
    for member in view.unwrap_or_default() {
        let machine = &world.machines[member.index()];
        let version = in_force(machine).map(|c| c.cluster.version);
        // One that died or was started again meanwhile catches up.
        if machine.runs(at) && version.is_some_and(|v| v < asked.doc.version) && world.plan.paced {
            return Err(format!("change {id} is done, but node {} has {version:?}", member.0));
        }
    }
    Ok(())
}

/// Do all daemons that run work with one configuration, and was everybody told who asked for another?
pub fn agree(world: &World) -> Result<(), String> {
    let Some(latest) = latest(world) else { return Ok(()) };
    for machine in &world.machines {
        let Some(here) = in_force(machine) else { continue };
        if here != latest {
            let (node, version) = (machine.id.0, here.cluster.version);
            let other = latest.cluster.version;
            return Err(format!("node {node} has version {version}, another {other}"));
        }
    }
    for asked in &world.asked {
        let machine = &world.machines[asked.node.index()];
        if asked.result.is_none() && machine.member.is_some() && machine.life == asked.life {
            return Err(format!("a change has no end: {asked:?}"));
        }
    }
    Ok(())
}

/// The nodes that are configured, as all agree.
pub fn nodes(world: &World) -> NodeSet {
    let all = || world.plan.cluster.node_set();
    latest(world).map_or_else(all, |c| c.cluster.node_set())
}

/// Longest that a disk takes to store something.
pub const DISK_MAX: Span = 20_000_000;
