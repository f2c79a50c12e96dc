//! The kernel's table of flows as user space sees it: what the programs made, what peers made, what is old. Each flow has two
//! entries, one per direction; they are put and removed together. Called by `dsc-fwd` alone.

use crate::entry::{end, entry_key, flow_of, joined, marks, reply_key, request_key, tick};
use crate::layout::{BACKEND_NONE, Entry, EntryKey, TICK_BITS, WAY_DIRECT, WAY_REPLY, WAY_REQUEST};
use crate::puts::{Put, PutEntry, Puts, state_code};
use crate::services::Backend;
use crate::sources::Zone;
use crate::{Error, call, octets};
use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData, MapError};
use dsc_wire::{BackendId, Flow, FlowKind, Protocol, SubnetId, Time, VipId};
use std::collections::HashMap as StdMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How long packets that pass directly may cease, in the table's unit: as an idle connection (RFC 5382, requirement 5).
const DIRECT_TICKS: u32 = 7_000;
/// Entries that are taken over at once.
const TAKEN: usize = 4096;

/// A flow in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which, and how far it has come by the entries of both directions.
    pub flow: Flow,
    /// Its backend; none of a flow that began inside.
    pub backend: Option<BackendId>,
    /// When its last packet came through this node, or a peer last told of it; to about a second.
    pub at: Time,
}

/// Where a walk through the table is. It meets every flow that is there from its beginning to its end.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    batch: Option<u32>,
}

/// The table.
pub struct FlowTable {
    map: HashMap<MapData, EntryKey, Entry>,
    /// The same, for what the loader crate does not offer.
    fd: OwnedFd,
    puts: Puts,
    vips: StdMap<IpAddr, (VipId, SubnetId)>,
    backends: StdMap<(Protocol, SocketAddr), (BackendId, SubnetId)>,
    /// Those of source NAT.
    zones: Vec<Zone>,
}

/// The numbers that this node's configuration gives to the ends of a flow.
struct Places {
    vip: VipId,
    vip_subnet: SubnetId,
    backend: BackendId,
    subnet: SubnetId,
}

impl Places {
    /// An entry of the flow with them.
    fn of(&self, entry: Entry) -> Entry {
        let subnet = if entry.way == WAY_REQUEST { self.subnet } else { self.vip_subnet };
        Entry { vip: self.vip.0, backend: self.backend.0, subnet: subnet.0, ..entry }
    }
}

impl FlowTable {
    pub(crate) fn take(ebpf: &mut Ebpf) -> Result<FlowTable, Error> {
        let map = ebpf.take_map("flows").expect("the object has this map");
        let Map::HashMap(data) = &map else { panic!("flows is a hash") };
        let fd = data.fd().as_fd().try_clone_to_owned();
        let fd = fd.map_err(|source| Error::Flows { source })?;
        let map = HashMap::try_from(map).map_err(|e| crate::maps::fill("flows", e))?;
        let puts = Puts::take(ebpf)?;
        let (vips, backends) = (StdMap::new(), StdMap::new());
        Ok(FlowTable { map, fd, puts, vips, backends, zones: Vec::new() })
    }

    /// Copies the entries of an earlier table, as many as there is room for. Those that its programs make meanwhile are
    /// adopted by their next packet.
    pub(crate) fn take_over(&mut self, old: OwnedFd) -> Result<(), Error> {
        let (mut place, mut more) = (None, true);
        while more {
            let batch;
            (batch, more) = read(&old, &mut place, TAKEN)?;
            for (key, entry) in &batch {
                if !self.set(key, entry)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Tells where VIPs, backends and machines inside are; flows of others are [`Put::Foreign`]. Those that an earlier daemon
    /// left in the table, with another configuration, are brought in line or taken out.
    ///
    /// # Errors
    /// [`Error::Flows`] or [`Error::Fill`]: the kernel refused.
    pub fn know(
        &mut self,
        vips: &[(VipId, IpAddr, SubnetId)],
        backends: &[Backend],
        zones: &[Zone],
    ) -> Result<(), Error> {
        self.vips = vips.iter().map(|(id, ip, subnet)| (*ip, (*id, *subnet))).collect();
        self.zones = zones.iter().filter(|zone| zone.source.is_some()).copied().collect();
        self.backends = (0u16..)
            .zip(backends)
            .map(|(index, b)| ((b.protocol, b.address), (BackendId(index), b.subnet)))
            .collect();
        let (mut place, mut more) = (None, true);
        while more {
            let batch;
            (batch, more) = read(&self.fd, &mut place, TAKEN)?;
            for (key, entry) in &batch {
                self.bring_in_line(key, entry)?;
            }
        }
        Ok(())
    }

    fn bring_in_line(&mut self, key: &EntryKey, entry: &Entry) -> Result<(), Error> {
        let Some(flow) = flow_of(key, entry).filter(|_| entry.way != WAY_DIRECT) else {
            return Ok(());
        };
        let Some(places) = self.places(&flow) else { return self.delete(key) };
        let right = places.of(*entry);
        if right != *entry {
            self.set(key, &right)?;
        }
        Ok(())
    }

    fn places(&self, flow: &Flow) -> Option<Places> {
        let (vip, vip_subnet) = *self.vips.get(&flow.key.vip.ip())?;
        let (backend, subnet) = match flow.kind {
            FlowKind::Nat => *self.backends.get(&(flow.key.protocol, flow.backend))?,
            FlowKind::SourceNat => {
                let zone = self.zones.iter().find(|zone| zone.contains(flow.backend.ip()))?;
                (BackendId(BACKEND_NONE), zone.subnet)
            }
        };
        Some(Places { vip, vip_subnet, backend, subnet })
    }

    /// Puts flows in that a peer knows, in their order, or joins what it knows with what is here. Adds what became of each,
    /// those that are [`Put::Foreign`] first.
    ///
    /// # Errors
    /// [`Error::Flows`]: the kernel refused for another reason than a full table.
    pub fn put(&mut self, flows: &[Flow], now: Time, became: &mut Vec<Put>) -> Result<(), Error> {
        let told: Vec<PutEntry> = flows.iter().filter_map(|flow| self.entry(flow, now)).collect();
        became.extend((told.len()..flows.len()).map(|_| Put::Foreign));
        self.puts.run(&told, became)
    }

    /// The program that puts them in, to be looked at.
    pub fn program(&self) -> BorrowedFd<'_> {
        self.puts.program()
    }

    /// None of a flow that is foreign here.
    fn entry(&self, flow: &Flow, now: Time) -> Option<PutEntry> {
        let places = self.places(flow)?;
        let (request_marks, reply_marks) = marks(flow.state);
        let side = |replaced: SocketAddr, way, marks| {
            places.of(Entry {
                address: octets(replaced.ip()),
                port: replaced.port().to_be_bytes(),
                way,
                marks,
                seen: tick(now),
                ..Entry::default()
            })
        };
        Some(PutEntry {
            key: request_key(&flow.key),
            back: reply_key(flow),
            request: side(flow.backend, WAY_REQUEST, request_marks),
            reply: side(flow.key.vip, WAY_REPLY, reply_marks),
            state: state_code(flow.state),
            ..PutEntry::default()
        })
    }

    /// Takes a flow out; nothing happens if it is not there.
    ///
    /// # Errors
    /// [`Error::Fill`]: the kernel refused.
    pub fn remove(&mut self, flow: &Flow) -> Result<(), Error> {
        self.delete(&request_key(&flow.key))?;
        let back = reply_key(flow);
        let vip = (octets(flow.key.vip.ip()), flow.key.vip.port().to_be_bytes());
        let of_this = |entry: &Entry| (entry.address, entry.port) == vip;
        if self.get(&back)?.as_ref().is_some_and(of_this) { self.delete(&back) } else { Ok(()) }
    }

    /// Takes a flow out that a walk has met, unless packets of it, or of a new one between the same ends, came since; false
    /// then.
    ///
    /// # Errors
    /// [`Error::Fill`]: the kernel refused.
    pub fn remove_silent(&mut self, met: &Seen) -> Result<bool, Error> {
        let later = |entry: Option<Entry>| entry.is_some_and(|e| e.seen > tick(met.at));
        let alive = later(self.get(&request_key(&met.flow.key))?)
            || later(self.get(&reply_key(&met.flow))?);
        if !alive {
            self.remove(&met.flow)?;
        }
        Ok(!alive)
    }

    /// Is the flow there that a reply from `backend` to `client` belongs to? The VIP's end, if so.
    ///
    /// # Errors
    /// [`Error::Fill`]: the kernel refused.
    pub fn vip_of_reply(
        &self,
        protocol: Protocol,
        backend: SocketAddr,
        client: SocketAddr,
    ) -> Result<Option<SocketAddr>, Error> {
        let key = entry_key(protocol, backend, client);
        let entry = self.get(&key)?.filter(|entry| entry.way == WAY_REPLY);
        Ok(entry.map(|entry| end(&key, entry.address, entry.port)))
    }

    /// Lets packets from `backend` to `client` pass as they are until they cease: they are of no flow.
    ///
    /// # Errors
    /// [`Error::Fill`]: the kernel refused for another reason than a full table.
    pub fn direct(
        &mut self,
        protocol: Protocol,
        backend: SocketAddr,
        client: SocketAddr,
        now: Time,
    ) -> Result<(), Error> {
        let key = entry_key(protocol, backend, client);
        if self.get(&key)?.is_none() {
            let entry = Entry { way: WAY_DIRECT, seen: tick(now), ..Entry::default() };
            self.set(&key, &entry)?;
        }
        Ok(())
    }

    /// Flows from where `walk` is, about half of `most`; an empty batch may come before the end. False at the end.
    ///
    /// # Errors
    /// [`Error::Fill`]: the kernel refused.
    pub fn walk(
        &self,
        walk: &mut Walk,
        now: Time,
        most: usize,
        out: &mut Vec<Seen>,
    ) -> Result<bool, Error> {
        let (batch, more) = read(&self.fd, &mut walk.batch, most)?;
        for (key, entry) in &batch {
            if entry.way == WAY_DIRECT {
                if tick(now).saturating_sub(entry.seen) > DIRECT_TICKS {
                    call::delete(self.fd.as_fd(), key).map_err(|source| Error::Flows { source })?;
                }
                continue;
            }
            if entry.way != WAY_REQUEST {
                // A reply whose request is gone would never be met again.
                self.drop_widow(key, entry)?;
                continue;
            }
            out.extend(self.seen(key, entry)?);
        }
        Ok(more)
    }

    /// As [`FlowTable::walk`], for a question: it changes nothing, calls `met` with every flow as far as one direction has
    /// come, and gives those for which that says so. The other direction of the rest, which is most of the work, is not
    /// looked at.
    ///
    /// # Errors
    /// [`Error::Flows`]: the kernel refused.
    pub fn ask(
        &self,
        walk: &mut Walk,
        most: usize,
        mut met: impl FnMut(&Flow) -> bool,
        out: &mut Vec<Seen>,
    ) -> Result<bool, Error> {
        let (batch, more) = read(&self.fd, &mut walk.batch, most)?;
        for (key, entry) in batch.iter().filter(|(_, entry)| entry.way == WAY_REQUEST) {
            if flow_of(key, entry).is_some_and(|flow| met(&flow)) {
                out.extend(self.seen(key, entry)?);
            }
        }
        Ok(more)
    }

    /// The flow of a request's entry, with what its reply's knows.
    fn seen(&self, key: &EntryKey, entry: &Entry) -> Result<Option<Seen>, Error> {
        let Some(flow) = flow_of(key, entry) else { return Ok(None) };
        let other = self.get(&reply_key(&flow))?;
        let state = joined(entry.marks, other.map_or(0, |o| o.marks));
        let last = entry.seen.max(other.map_or(0, |o| o.seen));
        Ok(Some(Seen {
            flow: Flow { state, ..flow },
            backend: (flow.kind == FlowKind::Nat).then_some(BackendId(entry.backend)),
            at: Time(u64::from(last) << TICK_BITS),
        }))
    }

    fn drop_widow(&self, key: &EntryKey, entry: &Entry) -> Result<(), Error> {
        let Some(flow) = flow_of(key, entry) else { return Ok(()) };
        if self.get(&request_key(&flow.key))?.is_none() {
            let result = call::delete(self.fd.as_fd(), key);
            return result.map_err(|source| Error::Flows { source });
        }
        Ok(())
    }

    fn get(&self, key: &EntryKey) -> Result<Option<Entry>, Error> {
        match self.map.get(key, 0) {
            Ok(entry) => Ok(Some(entry)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(e) => Err(crate::maps::fill("flows", e)),
        }
    }

    /// False if the table is full.
    fn set(&mut self, key: &EntryKey, entry: &Entry) -> Result<bool, Error> {
        match self.map.insert(key, entry, 0) {
            Ok(()) => Ok(true),
            Err(MapError::SyscallError(e)) if is_full(&e.io_error) => Ok(false),
            Err(e) => Err(crate::maps::fill("flows", e)),
        }
    }

    fn delete(&mut self, key: &EntryKey) -> Result<(), Error> {
        match self.map.remove(key) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(MapError::SyscallError(e)) if e.io_error.raw_os_error() == Some(libc::ENOENT) => {
                Ok(())
            }
            Err(e) => Err(crate::maps::fill("flows", e)),
        }
    }
}

/// Entries of a table from `place` on, at most `most`, and whether there are more.
fn read(
    table: &OwnedFd,
    place: &mut Option<u32>,
    most: usize,
) -> Result<(Vec<(EntryKey, Entry)>, bool), Error> {
    let mut keys = vec![EntryKey::default(); most];
    let mut entries = vec![Entry::default(); most];
    let (count, more) = call::lookup_batch(table.as_fd(), place, &mut keys, &mut entries)
        .map_err(|source| Error::Flows { source })?;
    Ok((keys.into_iter().zip(entries).take(count).collect(), more))
}

/// Full, or its bucket is being changed at this moment, for which the kernel may refuse to wait.
fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::E2BIG | libc::ENOMEM | libc::EBUSY))
}
