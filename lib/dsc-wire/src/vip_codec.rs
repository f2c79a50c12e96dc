//! One VIP of the token on the wire: a byte tells which parts follow, so that a VIP at rest takes a few bytes. Called
//! by `token_codec` only.

use crate::cluster::Persistence;
use crate::cursor::{Malformed, Reader, Writer};
use crate::ids::{NODES_MAX, NodeId, NodeSet, PAST_MAX};
use crate::key::Key;
use crate::message::read_node;
use crate::token::VipRecord;
use crate::token_codec::{Epochs, read_u32};

fn write_optional(w: &mut Writer, node: Option<NodeId>) {
    w.u8(node.map_or(u8::MAX, |n| n.0));
}

fn read_optional(r: &mut Reader<'_>) -> Result<Option<NodeId>, Malformed> {
    let n = r.u8()?;
    match usize::from(n) {
        0..NODES_MAX => Ok(Some(NodeId(n))),
        255 => Ok(None),
        _ => Err(Malformed::Value),
    }
}

/// Which optional parts of a VIP's record follow.
mod part {
    pub const PENDING: u8 = 1;
    pub const FENCE: u8 = 2;
    pub const GRANT: u8 = 4;
    pub const WAIVED: u8 = 8;
    pub const CHANGED: u8 = 16;
    pub const PAST: u8 = 32;
    pub const PREFERRED: u8 = 64;
}

pub(crate) fn write_vip(w: &mut Writer, v: &VipRecord, members: NodeSet, epochs: &Epochs) {
    let pending = v.heir.is_some() || v.next.is_some() || v.wish.is_some();
    let fenced = v.fence_us != 0 || !v.cause.is_empty();
    let waived = v.waived_us != 0 || !v.waived_cause.is_empty();
    let mut parts = 0;
    for (there, bit) in [
        (pending, part::PENDING),
        (fenced, part::FENCE),
        (v.grant != members, part::GRANT),
        (waived, part::WAIVED),
        (v.changed != Key::ZERO, part::CHANGED),
        (!v.past.is_empty(), part::PAST),
        (v.preferred.is_some(), part::PREFERRED),
    ] {
        parts |= if there { bit } else { 0 };
    }
    w.u8(parts);
    write_optional(w, v.owner);
    w.u8(v.persistence.into());
    w.varint(v.moves);
    if pending {
        for node in [v.heir, v.next, v.wish] {
            write_optional(w, node);
        }
    }
    if fenced {
        w.varint(u64::from(v.fence_us));
        w.varint(v.cause.0);
    }
    if parts & part::GRANT != 0 {
        w.varint(v.grant.0);
    }
    if waived {
        w.varint(u64::from(v.waived_us));
        w.varint(v.waived_cause.0);
    }
    if parts & part::CHANGED != 0 {
        epochs.write(w, v.changed);
    }
    if parts & part::PAST != 0 {
        w.varint(v.past.len() as u64);
        for node in &v.past {
            w.u8(node.0);
        }
    }
    if let Some(node) = v.preferred {
        w.u8(node.0);
    }
    // Last of all, and only where there is something: an older build carries it on with the end of the record.
    if v.kb_per_s != 0 || !v.extra.is_empty() {
        w.varint(u64::from(v.kb_per_s));
    }
    w.bytes(&v.extra);
}

pub(crate) fn read_vip(
    r: &mut Reader<'_>,
    members: NodeSet,
    epochs: &Epochs,
) -> Result<VipRecord, Malformed> {
    let parts = r.u8()?;
    let has = |bit: u8| parts & bit != 0;
    let owner = read_optional(r)?;
    let persistence = Persistence::try_from(r.u8()?).map_err(|_| Malformed::Value)?;
    let moves = r.varint()?;
    let [mut heir, mut next, mut wish] = [None; 3];
    if has(part::PENDING) {
        (heir, next, wish) = (read_optional(r)?, read_optional(r)?, read_optional(r)?);
    }
    let (mut fence_us, mut cause) = (0, NodeSet::EMPTY);
    if has(part::FENCE) {
        (fence_us, cause) = (read_u32(r)?, NodeSet(r.varint()?));
    }
    let grant = if has(part::GRANT) { NodeSet(r.varint()?) } else { members };
    let (mut waived_us, mut waived_cause) = (0, NodeSet::EMPTY);
    if has(part::WAIVED) {
        (waived_us, waived_cause) = (read_u32(r)?, NodeSet(r.varint()?));
    }
    let changed = if has(part::CHANGED) { epochs.read(r)? } else { Key::ZERO };
    let mut past = Vec::new();
    if has(part::PAST) {
        for _ in 0..r.count(PAST_MAX)? {
            past.push(read_node(r)?);
        }
    }
    let preferred = if has(part::PREFERRED) { Some(read_node(r)?) } else { None };
    let kb_per_s = if r.is_empty() { 0 } else { read_u32(r)? };
    Ok(VipRecord {
        owner,
        heir,
        next,
        wish,
        fence_us,
        cause,
        grant,
        waived_us,
        waived_cause,
        changed,
        persistence,
        preferred,
        past,
        moves,
        kb_per_s,
        extra: r.rest().to_vec(),
    })
}
