//! The configuration's version and the offer of the next one, on the wire. Called by `token_codec` only.
//!
//! ```text
//! record: version varint | offer (bytes, counted; none: no bytes) | extra
//! offer:  version varint | digest u64 | size u32 | by u8 | flags u8 (1 in force, 2 decided) | prepared u64 | left_us u32 |
//!         refused by u8 (255: nobody) | reason, counted | extra
//! ```

use crate::cursor::{Malformed, Reader, Writer};
use crate::ids::NodeSet;
use crate::local::DOCUMENT_MAX;
use crate::message::read_node;
use crate::token::{ConfigRecord, Offer, REASON_MAX};

/// Most bytes of an offer, with what newer builds add to it.
const OFFER_MAX: usize = 4 * 1024;
/// Stands for no node.
const NOBODY: u8 = u8::MAX;

pub(crate) fn write_config(w: &mut Writer, config: &ConfigRecord) {
    w.varint(config.version);
    w.sized(|w| {
        if let Some(offer) = &config.offer {
            write_offer(w, offer);
        }
    });
    w.bytes(&config.extra);
}

pub(crate) fn read_config(r: &mut Reader<'_>) -> Result<ConfigRecord, Malformed> {
    let version = r.varint()?;
    let length = r.count(OFFER_MAX)?;
    let offer = &mut r.sub(length)?;
    let offer = if offer.is_empty() { None } else { Some(read_offer(offer)?) };
    Ok(ConfigRecord { version, offer, extra: r.rest().to_vec() })
}

fn write_offer(w: &mut Writer, offer: &Offer) {
    w.varint(offer.version);
    w.u64(offer.digest);
    w.u32(offer.size);
    w.u8(offer.by.0);
    w.u8(u8::from(offer.in_force) | u8::from(offer.decided) << 1);
    w.u64(offer.prepared.0);
    w.u32(offer.left_us);
    let (by, reason) = match &offer.refused {
        Some((node, reason)) => (node.0, reason.as_bytes()),
        None => (NOBODY, &[][..]),
    };
    w.u8(by);
    w.counted(reason);
    w.bytes(&offer.extra);
}

fn read_offer(r: &mut Reader<'_>) -> Result<Offer, Malformed> {
    let (version, digest, size) = (r.varint()?, r.u64()?, r.u32()?);
    if size as usize > DOCUMENT_MAX {
        return Err(Malformed::TooLong);
    }
    let (by, flags) = (read_node(r)?, r.u8()?);
    let (in_force, decided) = (flags & 1 != 0, flags & 2 != 0);
    let (prepared, left_us) = (NodeSet(r.u64()?), r.u32()?);
    let who = r.clone().u8()?;
    let refused = if who == NOBODY {
        r.u8()?;
        r.counted(REASON_MAX)?;
        None
    } else {
        let node = read_node(r)?;
        let reason = r.counted(REASON_MAX)?.to_vec();
        Some((node, String::from_utf8(reason).map_err(|_| Malformed::Value)?))
    };
    let extra = r.rest().to_vec();
    Ok(Offer { version, digest, size, by, in_force, decided, prepared, refused, left_us, extra })
}
