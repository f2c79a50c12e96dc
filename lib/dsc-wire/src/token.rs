//! The token: the one message that goes round the ring (§A.4). Only values; `token_codec` puts them on the wire,
//! `dsc-ring` decides what they become. Spans are microseconds left as of the pass, upper bounds (rule 4).

use crate::cluster::{Cluster, Persistence};
use crate::event::{Report, backend_state_code};
use crate::flow::{BACKENDS_MAX, BackendId, BackendState};
use crate::health::{CheckId, Growth, NodeLight, Verdict};
use crate::ids::{Incarnation, NodeId, NodeSet, SubnetSet, VipId};
use crate::key::Key;
use crate::local::{Duty, Load, Mac};

/// Most reports of events on one token; more wait at their nodes.
pub const REPORTS_MAX: usize = 256;
/// Most broken links remembered; the one that expires first makes room.
pub const LINKS_MAX: usize = 256;
/// Most verdicts of all checkers on one token: as many as they have when every backend has all its checkers.
pub const VERDICTS_MAX: usize = crate::health::CHECKERS_MAX * BACKENDS_MAX;
/// Most bytes of the reason why a node refuses a configuration.
pub const REASON_MAX: usize = 400;
/// Most bytes of sections, carriages and record ends of newer builds that a token carries on.
pub const UNKNOWN_MAX: usize = 64 * 1024;

/// The locomotive and its carriages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its place in the total order.
    pub key: Key,
    /// Digest of the configuration that its ring runs.
    pub digest: u64,
    /// Key of the last lineage switch that raised a bound (rule 8).
    pub switch: Key,
    /// The lease that members grant themselves from now on.
    pub lease_us: u32,
    /// A newly founded ring waits so long for more nodes before it assigns VIPs that never had a host.
    pub founding_us: u32,
    /// Passes still to be made at once, because something changed.
    pub hurry: u16,
    /// In ring order.
    pub members: Vec<MemberRecord>,
    /// What has to be remembered about nodes outside.
    pub absent: Vec<AbsentRecord>,
    /// One per configured VIP.
    pub vips: Vec<VipRecord>,
    /// Pairs that cannot exchange messages directly.
    pub links: Vec<BrokenLink>,
    /// Events on their way round.
    pub reports: Vec<Report>,
    /// States that operators gave to backends, by rising [`BackendId`], none twice. No bytes while there is none.
    pub backends: Vec<BackendRecord>,
    /// What checkers of backends found, by rising [`NodeId`], none twice. No bytes while nobody checks.
    pub health: Vec<HealthRecord>,
    /// Checks of nodes that operators switched off or on again, by rising [`CheckId`], none twice.
    pub switches: Vec<CheckSwitch>,
    /// The lights of members, by rising [`NodeId`], none twice. With no switches either, no bytes while there is none.
    pub lights: Vec<LightsRecord>,
    /// Which configuration its ring runs, and what is to come after it. No bytes while it was never changed.
    pub config: ConfigRecord,
    /// Sections of newer builds, passed on untouched.
    pub unknown: Vec<UnknownSection>,
}

/// One member on the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// Which.
    pub node: NodeId,
    /// In which of its lives: another life of the node does not accept the token.
    pub incarnation: Incarnation,
    /// Key of its last pass that this token contains; [`Key::ZERO`] for one just added.
    pub rec: Key,
    /// Its lease ends within so long.
    pub left_us: u32,
    /// The lease it declared at its last pass.
    pub lease_us: u32,
    /// What it may do.
    pub duty: Duty,
    /// It is about to leave on purpose.
    pub leaving: bool,
    /// Carrier and data path are in order here.
    pub able: SubnetSet,
    /// Some peer answers here.
    pub linked: SubnetSet,
    /// As of its last turn.
    pub load: Load,
    /// Per subnet, where known.
    pub macs: Vec<Option<Mac>>,
    /// The end of the record as a newer build wrote it.
    pub extra: Vec<u8>,
}

impl MemberRecord {
    /// A node that has not had a turn yet.
    pub fn new(node: NodeId, incarnation: Incarnation, duty: Duty) -> MemberRecord {
        MemberRecord {
            node,
            incarnation,
            rec: Key::ZERO,
            left_us: 0,
            lease_us: 0,
            duty,
            leaving: false,
            able: SubnetSet::EMPTY,
            linked: SubnetSet::EMPTY,
            load: Load::default(),
            macs: Vec::new(),
            extra: Vec::new(),
        }
    }
}

/// A node outside the ring about which something must not be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentRecord {
    /// Which.
    pub node: NodeId,
    /// What it may do when it is back.
    pub duty: Duty,
    /// It left on purpose: connections that end on it are steered there for so long.
    pub steer_us: u32,
    /// The end of the record as a newer build wrote it.
    pub extra: Vec<u8>,
}

/// One VIP on the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipRecord {
    /// Its host; stays, when lost, until the heir takes over (rule 6).
    pub owner: Option<NodeId>,
    /// Takes over when the fence has passed and it is its turn (rule 7).
    pub heir: Option<NodeId>,
    /// Target of a hand-over on purpose (rule 10), or an heir that was cancelled (rule 9).
    pub next: Option<NodeId>,
    /// An operator's move that the owner has to carry out.
    pub wish: Option<NodeId>,
    /// Somebody of `cause` may still answer for so long.
    pub fence_us: u32,
    /// Nodes that are fenced.
    pub cause: NodeSet,
    /// Nodes that stood by the owner without a break since its last renewal with no fence.
    pub grant: NodeSet,
    /// A fence that the owner waives if a majority stood by it (rule 8b).
    pub waived_us: u32,
    /// Nodes that it would fence.
    pub waived_cause: NodeSet,
    /// Key of the last change of owner, heir, next or fence.
    pub changed: Key,
    /// How firmly it stays where it is.
    pub persistence: Persistence,
    /// Where it would rather be.
    pub preferred: Option<NodeId>,
    /// Earlier owners, most recent first, without the present one.
    pub past: Vec<NodeId>,
    /// Assignments so far.
    pub moves: u64,
    /// What its host carries for it, in both directions, as last measured: thousands of bytes per second.
    pub kb_per_s: u32,
    /// The end of the record as a newer build wrote it.
    pub extra: Vec<u8>,
}

impl VipRecord {
    /// VIP `vip` of `cluster` before its first assignment.
    pub fn new(cluster: &Cluster, vip: VipId) -> VipRecord {
        let plan = cluster.vips[vip.index()];
        VipRecord {
            owner: None,
            heir: None,
            next: None,
            wish: None,
            fence_us: 0,
            cause: NodeSet::EMPTY,
            grant: NodeSet::EMPTY,
            waived_us: 0,
            waived_cause: NodeSet::EMPTY,
            changed: Key::ZERO,
            persistence: plan.persistence,
            preferred: plan.preferred,
            past: Vec::new(),
            moves: 0,
            kb_per_s: 0,
            extra: Vec::new(),
        }
    }
}

/// `from` could not get a message answered by `to`, though both live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenLink {
    /// Who tried.
    pub from: NodeId,
    /// Who did not answer.
    pub to: NodeId,
    /// `to`'s life at that time: another life is another try.
    pub incarnation: Incarnation,
    /// Time until `from` tries again.
    pub left_us: u32,
}

/// The state that an operator gave to a backend. Of two records of one backend the newer is in force, wherever they meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendRecord {
    /// Which.
    pub backend: BackendId,
    /// What it may be given, whatever the configuration says.
    pub state: BackendState,
    /// When it was changed: milliseconds since 1970 by the clock of the node that changed it, but later than any change of
    /// the same backend that this node knew of.
    pub changed_ms: u64,
    /// The node that changed it.
    pub by: NodeId,
    /// The end of the record as a newer build wrote it.
    pub extra: Vec<u8>,
}

impl BackendRecord {
    /// Is it newer than `other`, of the same backend? Every node says the same: where time and node are equal, because the
    /// node changed it in two of its lives, the rest of the record decides.
    pub fn is_newer(&self, other: &BackendRecord) -> bool {
        let order = |r: &BackendRecord| (r.changed_ms, r.by, backend_state_code(r.state));
        (order(self), &self.extra) > (order(other), &other.extra)
    }
}

/// What one node's checks of backends found. Its node alone writes it, whole, in each of its turns; of a node that is no
/// member any more what was red stands until another checker knows better, and no longer than `left_us`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthRecord {
    /// Whose.
    pub node: NodeId,
    /// How long it stands when its node is no member; runs down only then.
    pub left_us: u32,
    /// By rising [`BackendId`]; a backend without a verdict is not among them.
    pub verdicts: Vec<Verdict>,
    /// By rising [`BackendId`]: the green ones that start slowly.
    pub growing: Vec<Growth>,
    /// By rising number: backends whose new flows fail, as its data path sees; at most
    /// [`FAILING_MAX`](crate::health::FAILING_MAX).
    pub failing: Vec<BackendId>,
    /// The end of the record as a newer build wrote it.
    pub extra: Vec<u8>,
}

/// Where operators switched a check of nodes off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckSwitch {
    /// Which.
    pub check: CheckId,
    /// On these nodes it is not made.
    pub off: NodeSet,
    /// When it was changed, as for backends.
    pub changed_ms: u64,
    /// The node that changed it.
    pub by: NodeId,
    /// The end of the record as a newer build wrote it.
    pub extra: Vec<u8>,
}

impl CheckSwitch {
    /// Is it newer than `other`, of the same check? As [`BackendRecord::is_newer`].
    pub fn is_newer(&self, other: &CheckSwitch) -> bool {
        let order = |r: &CheckSwitch| (r.changed_ms, r.by, r.off.0);
        (order(self), &self.extra) > (order(other), &other.extra)
    }
}

/// What a member's checks say of it. The member alone writes it, whole, in each of its turns; it goes with the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LightsRecord {
    /// Whose.
    pub node: NodeId,
    /// On these subnets a critical check is red, or was until just now: the node should host nothing there.
    pub unfit: SubnetSet,
    /// By rising [`CheckId`].
    pub lights: Vec<NodeLight>,
    /// The end of the record as a newer build wrote it.
    pub extra: Vec<u8>,
}

/// The configuration on its way round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigRecord {
    /// Version of the one whose digest the token has.
    pub version: u64,
    /// The one that shall follow it, while members get ready for it.
    pub offer: Option<Offer>,
    /// The end of the record as a newer build wrote it.
    pub extra: Vec<u8>,
}

/// A configuration that comes into force when every member is ready for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its version.
    pub version: u64,
    /// Its digest.
    pub digest: u64,
    /// Bytes of its document; at most [`crate::local::DOCUMENT_MAX`].
    pub size: u32,
    /// The member that brought it up.
    pub by: NodeId,
    /// It is in force at some node outside this ring already: there is nothing left to decide.
    pub in_force: bool,
    /// Every member was ready for it once: it will come into force.
    pub decided: bool,
    /// Members that have it, have checked it and have stored it.
    pub prepared: NodeSet,
    /// Who cannot work with it, and why: at most [`REASON_MAX`] bytes, for people.
    pub refused: Option<(NodeId, String)>,
    /// It is given up if not all members are ready within so long.
    pub left_us: u32,
    /// The end of the record as a newer build wrote it.
    pub extra: Vec<u8>,
}

/// A section of a newer build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSection {
    /// Its kind.
    pub kind: u16,
    /// Its contents.
    pub bytes: Vec<u8>,
}

impl Token {
    /// The member's record.
    pub fn member(&self, node: NodeId) -> Option<&MemberRecord> {
        self.members.iter().find(|m| m.node == node)
    }

    /// The member's record, to change it.
    pub fn member_mut(&mut self, node: NodeId) -> Option<&mut MemberRecord> {
        self.members.iter_mut().find(|m| m.node == node)
    }

    /// Is the node in the ring?
    pub fn has(&self, node: NodeId) -> bool {
        self.member(node).is_some()
    }

    /// Key of the node's last pass in this token; [`Key::ZERO`] if it has none.
    pub fn rec(&self, node: NodeId) -> Key {
        self.member(node).map_or(Key::ZERO, |m| m.rec)
    }

    /// All members.
    pub fn member_set(&self) -> NodeSet {
        self.members.iter().map(|m| m.node).collect()
    }

    /// Who comes after `node` in the ring; `node` itself if it is alone or no member.
    pub fn successor(&self, node: NodeId) -> NodeId {
        let at = self.members.iter().position(|m| m.node == node);
        at.map_or(node, |at| self.members[(at + 1) % self.members.len()].node)
    }

    /// Can the pair not exchange messages directly, in either direction?
    pub fn broken(&self, a: NodeId, b: NodeId) -> bool {
        self.links.iter().any(|l| (l.from, l.to) == (a, b) || (l.from, l.to) == (b, a))
    }
}
