//! The disks of the nodes: what they store, how long that takes, and with what a daemon is started. Called by `world`.

use crate::configs::{self, DISK_MAX, Doc};
use crate::machine::Item;
use crate::world::{Due, World};
use dsc_wire::NodeId;

/// What a disk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    /// Stores the document in this place, which came from others, beside the one in force.
    Prepare(u32),
    /// Stores a document that an operator asked for.
    Propose(u64),
    /// What is in force at the daemon becomes what is stored as in force.
    Commit,
}

impl World {
    /// Has the node's disk do something for its daemon.
    pub fn disk_at(&mut self, node: NodeId, job: Job) {
        let at = self.at + self.random.below(DISK_MAX);
        let life = self.machines[node.index()].life;
        self.due(at, Due::Disk(node, life, job));
    }

    pub(crate) fn stored(&mut self, node: NodeId, job: Job) {
        let at = self.at;
        let item = match job {
            Job::Prepare(place) => Item::Stored(self.documents[place as usize].clone()),
            Job::Propose(id) => {
                let doc = self.asked[(id - configs::FIRST) as usize].doc.clone();
                Item::Proposed(id, doc)
            }
            Job::Commit => {
                let machine = self.machine(node);
                let Some(here) = configs::in_force(machine) else { return };
                machine.disk.stored = Doc::read(&here.document);
                return;
            }
        };
        let machine = self.machine(node);
        if let Item::Stored(doc) | Item::Proposed(_, doc) = &item {
            machine.disk.next = Some(doc.clone());
        }
        machine.inbox.push_back(item);
        machine.wake_at(at);
    }

    /// The configuration to start a node with: what it has stored, or, if it is not in that, what another node has in force.
    pub(crate) fn bootable(&self, node: NodeId) -> Option<Doc> {
        let stored = &self.machines[node.index()].disk.stored;
        if stored.nodes.contains(node) {
            return Some(stored.clone());
        }
        let latest = Doc::read(&configs::latest(self)?.document);
        latest.nodes.contains(node).then_some(latest)
    }

    /// The document in force at the node gets this version: others came to it by way of another.
    pub(crate) fn restate(&mut self, node: NodeId, version: u64) {
        let Some(member) = &mut self.machine(node).member else { return };
        let mut doc = Doc::read(&member.configuration().document);
        if doc.version != version {
            doc.version = version;
            member.restated(doc.write().into());
        }
    }
}
