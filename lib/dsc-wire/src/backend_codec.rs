//! The states that operators gave to backends, on the wire: about a dozen bytes each. Called by `token_codec` only.

use crate::cursor::{Malformed, Reader, Writer};
use crate::event::{backend_state_code, backend_state_of};
use crate::flow::{BACKENDS_MAX, BackendId};
use crate::message::read_node;
use crate::token::BackendRecord;
use crate::token_codec::records;

pub(crate) fn write_backends(w: &mut Writer, backends: &[BackendRecord]) {
    w.varint(backends.len() as u64);
    for b in backends {
        w.sized(|w| {
            w.varint(u64::from(b.backend.0));
            w.u8(backend_state_code(b.state));
            w.varint(b.changed_ms);
            w.u8(b.by.0);
            w.bytes(&b.extra);
        });
    }
}

/// The numbers rise, so that there is one record of a backend at most, and lists can be compared as they are.
pub(crate) fn read_backends(r: &mut Reader<'_>) -> Result<Vec<BackendRecord>, Malformed> {
    let backends = records(r, BACKENDS_MAX, read_backend)?;
    match backends.is_sorted_by(|a, b| a.backend < b.backend) {
        true => Ok(backends),
        false => Err(Malformed::Value),
    }
}

fn read_backend(r: &mut Reader<'_>) -> Result<BackendRecord, Malformed> {
    Ok(BackendRecord {
        backend: read_backend_id(r)?,
        state: backend_state_of(r.u8()?)?,
        changed_ms: r.varint()?,
        by: read_node(r)?,
        extra: r.rest().to_vec(),
    })
}

fn read_backend_id(r: &mut Reader<'_>) -> Result<BackendId, Malformed> {
    match r.varint()? {
        n if n < BACKENDS_MAX as u64 => Ok(BackendId(n as u16)),
        _ => Err(Malformed::Value),
    }
}
