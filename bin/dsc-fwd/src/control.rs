//! Answers questions about the data path on the socket `fwd`, from what the kernel says when asked. What is asked about the load
//! balancer is in `inventory.rs`.

use dsc_bpf::{Datapath, LeaseMap};
use dsc_sys::local::Server;
use dsc_wire::local::{Counter, FwdCounters, FwdRequest, FwdSharing, VipCounters};
use dsc_wire::{SubnetId, VipId};
use serde::Serialize;
use std::io;
use std::net::IpAddr;

/// Questions answered in one turn; the rest wait for the next.
const TURN_MAX: usize = 32;

/// Answers the questions that wait; true if there may be more. A question that cannot be understood gets no answer and is
/// counted, one that the kernel does not let us answer is logged.
///
/// # Errors
/// The socket is beyond use.
pub fn answer_waiting(
    server: &mut Server,
    mut answer: impl FnMut(FwdRequest) -> Result<Vec<u8>, String>,
) -> io::Result<bool> {
    for _ in 0..TURN_MAX {
        let Some((asker, question)) = server.take()? else { return Ok(false) };
        match serde_json::from_slice(&question).map(&mut answer) {
            Ok(Ok(text)) => server.answer(&asker, text),
            Ok(Err(e)) => tracing::warn!("{e}"),
            Err(_) => server.malformed += 1,
        }
    }
    Ok(true)
}

/// As it goes over the socket.
///
/// # Errors
/// None that our own types cause.
pub fn encoded(answer: &impl Serialize) -> Result<Vec<u8>, String> {
    serde_json::to_vec(answer).map_err(|e| format!("cannot encode an answer: {e}"))
}

/// All counters, read now.
///
/// # Errors
/// The kernel refused to read a map.
pub fn counters(
    datapath: &Datapath,
    lease: &LeaseMap,
    vips: &[(VipId, IpAddr, SubnetId)],
    own: Vec<Counter>,
    sharing: Option<FwdSharing>,
) -> Result<FwdCounters, String> {
    let mut counted = Vec::with_capacity(vips.len());
    for (id, vip, _) in vips {
        let count = datapath.vip_count(*id).map_err(|e| e.to_string())?;
        counted.push(VipCounters {
            vip: *vip,
            state: lease.host(*id).0,
            packets: count.packets,
            bytes: count.bytes,
            steered: count.steered,
        });
    }
    let mut verdicts = datapath.verdicts().map_err(|e| e.to_string())?;
    verdicts.extend(own);
    Ok(FwdCounters { vips: counted, verdicts, links: datapath.links(), sharing })
}
