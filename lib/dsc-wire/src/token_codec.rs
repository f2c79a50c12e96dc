//! The token on the wire: sections (kind, length, bytes), in them records with their own lengths. What a newer
//! build adds, as a section or at the end of a record, is kept and passed on. Called by `message` only.
//!
//! ```text
//! section: kind u16 | length u32 | bytes      kinds: 1 head  2 members  3 absent  4 vips  5 links  6 reports
//!          7 backends  8 health  9 config  10 lights, each left out when empty
//! keys:    the head holds the epochs in use; a key is an epoch's index there and the distance of its sequence
//!          number from the token's, so that the record of a VIP at rest takes a few bytes
//! ```

use crate::backend_codec::{read_backends, write_backends};
use crate::config_codec::{read_config, write_config};
use crate::cursor::{Malformed, Reader, Writer};
use crate::event::{BODY_MAX, Report, duty_code, duty_of};
use crate::health_codec::{read_health, write_health};
use crate::ids::{Incarnation, NODES_MAX, NodeId, SUBNETS_MAX, SubnetSet, VIPS_MAX};
use crate::key::{Epoch, Key};
use crate::lights_codec::{read_lights, write_lights};
use crate::local::{Load, Mac};
use crate::message::{read_key, read_node, write_key};
use crate::token::{
    AbsentRecord, BrokenLink, ConfigRecord, LINKS_MAX, MemberRecord, REPORTS_MAX, Token,
    UNKNOWN_MAX, UnknownSection,
};
use crate::vip_codec::{read_vip, write_vip};

const HEAD: u16 = 1;
const MEMBERS: u16 = 2;
const ABSENT: u16 = 3;
const VIPS: u16 = 4;
const LINKS: u16 = 5;
const REPORTS: u16 = 6;
const BACKENDS: u16 = 7;
const HEALTH: u16 = 8;
const LIGHTS: u16 = 10;
const CONFIG: u16 = 9;
/// Every key of a token may be of another epoch.
const EPOCHS_MAX: usize = NODES_MAX + VIPS_MAX + 8;
/// Most bytes of one record; far above any that this build writes.
const RECORD_MAX: usize = 8 * 1024;
/// Most unknown sections; their bytes together are bounded by [`UNKNOWN_MAX`].
const SECTIONS_MAX: usize = 64;

/// The epochs that the keys of one token belong to.
pub(crate) struct Epochs {
    list: Vec<Epoch>,
    seq: u64,
}

impl Epochs {
    fn of(token: &Token) -> Epochs {
        let mut list = vec![token.key.epoch];
        let keys = [Key::ZERO, token.switch].into_iter();
        let recs = token.members.iter().map(|m| m.rec);
        let changes = token.vips.iter().map(|v| v.changed);
        for key in keys.chain(recs).chain(changes) {
            if list.last() != Some(&key.epoch) && !list.contains(&key.epoch) {
                list.push(key.epoch);
            }
        }
        Epochs { list, seq: token.key.seq }
    }

    pub fn write(&self, w: &mut Writer, key: Key) {
        let at = self.list.iter().position(|e| *e == key.epoch).unwrap_or_default();
        w.varint(at as u64);
        let back = self.seq.wrapping_sub(key.seq);
        // A sequence number ahead of the token's does not occur; zigzag keeps it legal all the same.
        w.varint(back << 1 ^ ((back as i64) >> 63) as u64);
    }

    pub fn read(&self, r: &mut Reader<'_>) -> Result<Key, Malformed> {
        let at = r.count(EPOCHS_MAX)?;
        let epoch = *self.list.get(at).ok_or(Malformed::Value)?;
        let zigzag = r.varint()?;
        let back = (zigzag >> 1) ^ (zigzag & 1).wrapping_neg();
        Ok(Key { epoch, seq: self.seq.wrapping_sub(back) })
    }
}

fn section(w: &mut Writer, kind: u16, fill: impl FnOnce(&mut Writer)) {
    w.u16(kind);
    w.sized_u32(fill);
}

pub(crate) fn read_u32(r: &mut Reader<'_>) -> Result<u32, Malformed> {
    u32::try_from(r.varint()?).map_err(|_| Malformed::Value)
}

impl Token {
    pub(crate) fn write(&self, w: &mut Writer) {
        let epochs = Epochs::of(self);
        section(w, HEAD, |w| {
            write_key(w, self.key);
            w.u64(self.digest);
            w.varint(epochs.list.len() as u64);
            for e in &epochs.list {
                w.u32(e.counter);
                w.u8(e.proposer.0);
                w.u64(e.incarnation.0);
            }
            epochs.write(w, self.switch);
            w.u32(self.lease_us);
            w.u32(self.founding_us);
            w.u16(self.hurry);
        });
        section(w, MEMBERS, |w| {
            w.varint(self.members.len() as u64);
            for m in &self.members {
                w.sized(|w| write_member(w, m, &epochs));
            }
        });
        section(w, ABSENT, |w| {
            w.varint(self.absent.len() as u64);
            for a in &self.absent {
                w.sized(|w| {
                    w.u8(a.node.0);
                    w.u8(duty_code(a.duty));
                    w.u32(a.steer_us);
                    w.bytes(&a.extra);
                });
            }
        });
        let members = self.member_set();
        section(w, VIPS, |w| {
            w.varint(self.vips.len() as u64);
            for v in &self.vips {
                w.sized(|w| write_vip(w, v, members, &epochs));
            }
        });
        section(w, LINKS, |w| {
            w.varint(self.links.len() as u64);
            for l in &self.links {
                w.sized(|w| {
                    w.u8(l.from.0);
                    w.u8(l.to.0);
                    w.u64(l.incarnation.0);
                    w.u32(l.left_us);
                });
            }
        });
        section(w, REPORTS, |w| {
            w.varint(self.reports.len() as u64);
            for report in &self.reports {
                w.sized(|w| write_report(w, report));
            }
        });
        if !self.backends.is_empty() {
            section(w, BACKENDS, |w| write_backends(w, &self.backends));
        }
        if !self.health.is_empty() {
            section(w, HEALTH, |w| write_health(w, &self.health));
        }
        if self.config != ConfigRecord::default() {
            section(w, CONFIG, |w| write_config(w, &self.config));
        }
        if !self.switches.is_empty() || !self.lights.is_empty() {
            section(w, LIGHTS, |w| write_lights(w, &self.switches, &self.lights));
        }
        for unknown in &self.unknown {
            section(w, unknown.kind, |w| w.bytes(&unknown.bytes));
        }
    }

    /// Reads to the end of `r`. Every number that indexes something is below its bound afterwards; whether it fits
    /// the configuration is the ring's question.
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Token, Malformed> {
        if r.u16()? != HEAD {
            return Err(Malformed::Value);
        }
        let length = r.u32()? as usize;
        let (mut token, epochs) = read_head(&mut r.sub(length)?)?;
        let mut unknown_bytes = 0;
        while !r.is_empty() {
            let kind = r.u16()?;
            let length = r.u32()? as usize;
            let s = &mut r.sub(length)?;
            match kind {
                MEMBERS => token.members = records(s, NODES_MAX, |r| read_member(r, &epochs))?,
                ABSENT => token.absent = records(s, NODES_MAX, read_absent)?,
                VIPS => {
                    let members = token.member_set();
                    token.vips = records(s, VIPS_MAX, |r| read_vip(r, members, &epochs))?;
                }
                LINKS => token.links = records(s, LINKS_MAX, read_link)?,
                REPORTS => token.reports = records(s, REPORTS_MAX, read_report)?,
                BACKENDS => token.backends = read_backends(s)?,
                HEALTH => token.health = read_health(s)?,
                LIGHTS => (token.switches, token.lights) = read_lights(s)?,
                CONFIG => token.config = read_config(s)?,
                _ => {
                    unknown_bytes += length;
                    if unknown_bytes > UNKNOWN_MAX || token.unknown.len() == SECTIONS_MAX {
                        return Err(Malformed::TooLong);
                    }
                    token.unknown.push(UnknownSection { kind, bytes: s.rest().to_vec() });
                }
            }
        }
        if token.member_set().len() != token.members.len() {
            return Err(Malformed::Value);
        }
        Ok(token)
    }
}

pub(crate) fn records<T>(
    r: &mut Reader<'_>,
    max: usize,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = r.count(max)?;
    let mut list = Vec::with_capacity(count.min(r.left()));
    for _ in 0..count {
        let length = r.count(RECORD_MAX)?;
        list.push(read(&mut r.sub(length)?)?);
    }
    Ok(list)
}

fn read_head(r: &mut Reader<'_>) -> Result<(Token, Epochs), Malformed> {
    let key = read_key(r)?;
    let digest = r.u64()?;
    let count = r.count(EPOCHS_MAX)?;
    let mut epochs = Epochs { list: Vec::with_capacity(count.min(r.left())), seq: key.seq };
    for _ in 0..count {
        let counter = r.u32()?;
        let proposer = NodeId(r.u8()?);
        epochs.list.push(Epoch { counter, proposer, incarnation: Incarnation(r.u64()?) });
    }
    let token = Token {
        key,
        digest,
        switch: epochs.read(r)?,
        lease_us: r.u32()?,
        founding_us: r.u32()?,
        hurry: r.u16()?,
        members: Vec::new(),
        absent: Vec::new(),
        vips: Vec::new(),
        links: Vec::new(),
        reports: Vec::new(),
        backends: Vec::new(),
        health: Vec::new(),
        switches: Vec::new(),
        lights: Vec::new(),
        config: ConfigRecord::default(),
        unknown: Vec::new(),
    };
    Ok((token, epochs))
}

fn write_member(w: &mut Writer, m: &MemberRecord, epochs: &Epochs) {
    w.u8(m.node.0);
    w.u64(m.incarnation.0);
    epochs.write(w, m.rec);
    w.varint(u64::from(m.left_us));
    w.varint(u64::from(m.lease_us));
    w.u8(duty_code(m.duty) | u8::from(m.leaving) << 7);
    w.u8(m.able.0);
    w.u8(m.linked.0);
    w.u16(m.load.cpu_permille);
    w.varint(m.load.bytes_per_s.len() as u64);
    for bytes_per_s in &m.load.bytes_per_s {
        w.varint(*bytes_per_s);
    }
    w.varint(m.macs.len() as u64);
    for mac in &m.macs {
        w.bool(mac.is_some());
        w.bytes(mac.as_ref().map_or(&[], |mac: &Mac| &mac[..]));
    }
    w.bytes(&m.extra);
}

fn read_member(r: &mut Reader<'_>, epochs: &Epochs) -> Result<MemberRecord, Malformed> {
    let node = read_node(r)?;
    let incarnation = Incarnation(r.u64()?);
    let rec = epochs.read(r)?;
    let left_us = read_u32(r)?;
    let lease_us = read_u32(r)?;
    let code = r.u8()?;
    let mut member = MemberRecord::new(node, incarnation, duty_of(code & 0x7f)?);
    member.rec = rec;
    member.left_us = left_us;
    member.lease_us = lease_us;
    member.leaving = code & 0x80 != 0;
    member.able = SubnetSet(r.u8()?);
    member.linked = SubnetSet(r.u8()?);
    let cpu_permille = r.u16()?;
    let count = r.count(SUBNETS_MAX)?;
    let bytes_per_s = (0..count).map(|_| r.varint()).collect::<Result<_, _>>()?;
    member.load = Load { cpu_permille, bytes_per_s };
    for _ in 0..r.count(SUBNETS_MAX)? {
        let known = r.bool()?;
        let mac = if known { r.bytes(6)?.try_into().ok() } else { None };
        member.macs.push(mac);
    }
    member.extra = r.rest().to_vec();
    Ok(member)
}

fn read_absent(r: &mut Reader<'_>) -> Result<AbsentRecord, Malformed> {
    Ok(AbsentRecord {
        node: read_node(r)?,
        duty: duty_of(r.u8()?)?,
        steer_us: r.u32()?,
        extra: r.rest().to_vec(),
    })
}

fn read_link(r: &mut Reader<'_>) -> Result<BrokenLink, Malformed> {
    Ok(BrokenLink {
        from: read_node(r)?,
        to: read_node(r)?,
        incarnation: Incarnation(r.u64()?),
        left_us: r.u32()?,
    })
}

fn write_report(w: &mut Writer, report: &Report) {
    w.u8(report.node.0);
    w.varint(report.number);
    w.u64(report.incarnation);
    w.u8(report.hops);
    w.u64(report.wall_ms);
    w.counted(&report.body);
}

fn read_report(r: &mut Reader<'_>) -> Result<Report, Malformed> {
    Ok(Report {
        node: read_node(r)?,
        number: r.varint()?,
        incarnation: r.u64()?,
        hops: r.u8()?,
        wall_ms: r.u64()?,
        body: r.counted(BODY_MAX)?.to_vec(),
    })
}
