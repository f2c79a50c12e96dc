//! The lights of members and the switches of their checks, on the wire. Called by `token_codec` only.
//!
//! ```text
//! switches: count varint | records of: check u8 | off u64 | changed_ms varint | by u8 | extra
//! lights:   count varint | records of: node u8 | unfit u8 | count varint | lights | extra
//! light:    check u8 | light u8; yellow and red ones: reason u8 | detail varint | since_ms varint
//! ```

use crate::cursor::{Malformed, Reader, Writer};
use crate::health::{CHECKS_MAX, CheckId, Light, NodeLight, Reason};
use crate::ids::{NODES_MAX, NodeSet, SubnetSet};
use crate::message::read_node;
use crate::token::{CheckSwitch, LightsRecord};
use crate::token_codec::records;

pub(crate) fn write_lights(w: &mut Writer, switches: &[CheckSwitch], lights: &[LightsRecord]) {
    w.varint(switches.len() as u64);
    for switch in switches {
        w.sized(|w| {
            w.u8(switch.check.0);
            w.u64(switch.off.0);
            w.varint(switch.changed_ms);
            w.u8(switch.by.0);
            w.bytes(&switch.extra);
        });
    }
    w.varint(lights.len() as u64);
    for record in lights {
        w.sized(|w| {
            w.u8(record.node.0);
            w.u8(record.unfit.0);
            w.varint(record.lights.len() as u64);
            for light in &record.lights {
                w.u8(light.check.0);
                w.u8(light_code(light.light));
                if light.light != Light::Green {
                    let (code, detail) = light.reason.code();
                    w.u8(code);
                    w.varint(u64::from(detail));
                    w.varint(light.since_ms);
                }
            }
            w.bytes(&record.extra);
        });
    }
}

/// Checks and nodes rise, so that there is one record of each at most.
pub(crate) fn read_lights(
    r: &mut Reader<'_>,
) -> Result<(Vec<CheckSwitch>, Vec<LightsRecord>), Malformed> {
    let switches = records(r, CHECKS_MAX, read_switch)?;
    let lights = records(r, NODES_MAX, read_record)?;
    let rising = switches.is_sorted_by(|a, b| a.check < b.check)
        && lights.is_sorted_by(|a, b| a.node < b.node)
        && lights.iter().all(|l| l.lights.is_sorted_by(|a, b| a.check < b.check));
    if rising { Ok((switches, lights)) } else { Err(Malformed::Value) }
}

fn read_switch(r: &mut Reader<'_>) -> Result<CheckSwitch, Malformed> {
    Ok(CheckSwitch {
        check: read_check(r)?,
        off: NodeSet(r.u64()?),
        changed_ms: r.varint()?,
        by: read_node(r)?,
        extra: r.rest().to_vec(),
    })
}

fn read_record(r: &mut Reader<'_>) -> Result<LightsRecord, Malformed> {
    let node = read_node(r)?;
    let unfit = SubnetSet(r.u8()?);
    let count = r.count(CHECKS_MAX)?;
    let mut lights = Vec::with_capacity(count.min(r.left()));
    for _ in 0..count {
        let (check, light) = (read_check(r)?, light_of(r.u8()?)?);
        let mut own = NodeLight { check, light, reason: Reason::Answered, since_ms: 0 };
        if light != Light::Green {
            let code = r.u8()?;
            let detail = u16::try_from(r.varint()?).map_err(|_| Malformed::Value)?;
            own.reason = Reason::of_code(code, detail);
            own.since_ms = r.varint()?;
        }
        lights.push(own);
    }
    Ok(LightsRecord { node, unfit, lights, extra: r.rest().to_vec() })
}

fn read_check(r: &mut Reader<'_>) -> Result<CheckId, Malformed> {
    CheckId::try_from(r.u8()?).map_err(|_| Malformed::Value)
}

fn light_code(light: Light) -> u8 {
    match light {
        Light::Green => 0,
        Light::Yellow => 1,
        Light::Red => 2,
    }
}

fn light_of(code: u8) -> Result<Light, Malformed> {
    match code {
        0 => Ok(Light::Green),
        1 => Ok(Light::Yellow),
        2 => Ok(Light::Red),
        _ => Err(Malformed::Value),
    }
}
