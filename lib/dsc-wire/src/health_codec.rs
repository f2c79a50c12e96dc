//! What the checkers found, on the wire: a byte for a backend that is green, about a dozen for one that is red. Called by
//! `token_codec` only.
//!
//! ```text
//! record: node u8 | left_us varint | count varint | verdicts | count varint | growing | count varint | failing |
//!         extra; nothing behind the verdicts if nothing of it is there, as builds wrote it that knew no more
//! verdict: (distance from the backend before, times two, plus one if red) varint; red ones: reason u8 | detail varint |
//!          since_ms varint
//! growing: distance from the backend before varint | share u8
//! failing: distance from the backend before varint
//! ```

use crate::cursor::{Malformed, Reader, Writer};
use crate::flow::{BACKENDS_MAX, BackendId};
use crate::health::{FAILING_MAX, Growth, Reason, SHARES, Verdict};
use crate::ids::NODES_MAX;
use crate::message::read_node;
use crate::token::{HealthRecord, VERDICTS_MAX};
use crate::token_codec::read_u32;

/// Most bytes of one record; a member that finds every backend red writes half of it.
const RECORD_MAX: usize = 32 * 1024;

pub(crate) fn write_health(w: &mut Writer, health: &[HealthRecord]) {
    w.varint(health.len() as u64);
    for record in health {
        w.sized(|w| {
            w.u8(record.node.0);
            w.varint(u64::from(record.left_us));
            w.varint(record.verdicts.len() as u64);
            let mut next = 0;
            for v in &record.verdicts {
                let distance = u64::from(v.backend.0).wrapping_sub(next);
                w.varint(distance << 1 | u64::from(v.red));
                next = u64::from(v.backend.0) + 1;
                if v.red {
                    let (code, detail) = v.reason.code();
                    w.u8(code);
                    w.varint(u64::from(detail));
                    w.varint(v.since_ms);
                }
            }
            let (growing, failing) = (&record.growing, &record.failing);
            if !growing.is_empty() || !failing.is_empty() || !record.extra.is_empty() {
                write_growing(w, growing);
                write_failing(w, failing);
            }
            w.bytes(&record.extra);
        });
    }
}

fn write_growing(w: &mut Writer, growing: &[Growth]) {
    w.varint(growing.len() as u64);
    let mut next = 0;
    for growth in growing {
        w.varint(u64::from(growth.backend.0).wrapping_sub(next));
        next = u64::from(growth.backend.0) + 1;
        w.u8(growth.share);
    }
}

fn write_failing(w: &mut Writer, failing: &[BackendId]) {
    w.varint(failing.len() as u64);
    let mut next = 0;
    for backend in failing {
        w.varint(u64::from(backend.0).wrapping_sub(next));
        next = u64::from(backend.0) + 1;
    }
}

/// The nodes rise, so that there is one record of a node at most, and so do the backends of each.
pub(crate) fn read_health(r: &mut Reader<'_>) -> Result<Vec<HealthRecord>, Malformed> {
    let mut health: Vec<HealthRecord> = Vec::new();
    let mut verdicts = 0;
    for _ in 0..r.count(NODES_MAX)? {
        let length = r.count(RECORD_MAX)?;
        let record = read_record(&mut r.sub(length)?)?;
        verdicts += record.verdicts.len();
        if health.last().is_some_and(|last| last.node >= record.node) {
            return Err(Malformed::Value);
        }
        if verdicts > VERDICTS_MAX {
            return Err(Malformed::TooLong);
        }
        health.push(record);
    }
    Ok(health)
}

fn read_record(r: &mut Reader<'_>) -> Result<HealthRecord, Malformed> {
    let node = read_node(r)?;
    let left_us = read_u32(r)?;
    let count = r.count(BACKENDS_MAX)?;
    let mut verdicts = Vec::with_capacity(count.min(r.left()));
    let mut next = 0u64;
    for _ in 0..count {
        let word = r.varint()?;
        let backend = read_next(&mut next, word >> 1)?;
        let red = word & 1 == 1;
        let mut verdict = Verdict { backend, red, reason: Reason::Answered, since_ms: 0 };
        if red {
            let code = r.u8()?;
            let detail = u16::try_from(r.varint()?).map_err(|_| Malformed::Value)?;
            verdict.reason = Reason::of_code(code, detail);
            verdict.since_ms = r.varint()?;
        }
        verdicts.push(verdict);
    }
    let (growing, failing) = match r.is_empty() {
        true => (Vec::new(), Vec::new()),
        false => (read_growing(r, verdicts.len())?, read_failing(r)?),
    };
    Ok(HealthRecord { node, left_us, verdicts, growing, failing, extra: r.rest().to_vec() })
}

/// At most `most`.
fn read_growing(r: &mut Reader<'_>, most: usize) -> Result<Vec<Growth>, Malformed> {
    let count = r.count(most)?;
    let mut growing = Vec::with_capacity(count.min(r.left()));
    let mut next = 0;
    for _ in 0..count {
        let distance = r.varint()?;
        let (backend, share) = (read_next(&mut next, distance)?, r.u8()?);
        if !(1..SHARES).contains(&share) {
            return Err(Malformed::Value);
        }
        growing.push(Growth { backend, share });
    }
    Ok(growing)
}

fn read_failing(r: &mut Reader<'_>) -> Result<Vec<BackendId>, Malformed> {
    let count = r.count(FAILING_MAX)?;
    let mut next = 0;
    (0..count)
        .map(|_| {
            let distance = r.varint()?;
            read_next(&mut next, distance)
        })
        .collect()
}

/// The backend so far behind those that may come `next`.
fn read_next(next: &mut u64, distance: u64) -> Result<BackendId, Malformed> {
    let backend = next.checked_add(distance).filter(|b| *b < BACKENDS_MAX as u64);
    let backend = backend.ok_or(Malformed::Value)?;
    *next = backend + 1;
    Ok(BackendId(backend as u16))
}
