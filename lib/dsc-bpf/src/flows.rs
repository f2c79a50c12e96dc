//! The kernel's table of flows as user space sees it: what the programs made, what peers made, what is old. Each flow has two
//! entries, one per direction; they are put and removed together. Called by `dsc-fwd` alone.

use crate::entry::{
    end, entry_key, flow_of, joined, marks, reply_key, request_key, supersedes, tick,
};
use crate::layout::{BACKEND_NONE, Entry, EntryKey, TICK_BITS, WAY_DIRECT, WAY_REPLY, WAY_REQUEST};
use crate::services::Backend;
use crate::sources::Zone;
use crate::{Error, call, octets};
use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData, MapError};
use dsc_wire::{BackendId, Flow, FlowKey, FlowKind, FlowState, Protocol, SubnetId, Time, VipId};
use std::collections::HashMap as StdMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

/// What is told again of a flow is only put in if it was seen longer ago than this, in the table's unit: less than the shortest
/// time that a silent flow is kept.
const STALE_TICKS: u32 = 3;
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

/// What became of a flow that was to be put into the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It was not there.
    New,
    /// It was there, and is now as far as either knew.
    Known,
    /// The backend's port has a flow from the same client's port to another VIP, made since as far as can be told.
    Clash,
    /// The table is full.
    Full,
    /// Its VIP or backend is in no service of this node's configuration, or no source NAT is for its inner end.
    Foreign,
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
        Ok(FlowTable { map, fd, vips: StdMap::new(), backends: StdMap::new(), zones: Vec::new() })
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

    /// Puts a flow in that a peer knows, or joins what it knows with what is here.
    ///
    /// # Errors
    /// [`Error::Fill`]: the kernel refused for another reason than a full table.
    pub fn put(&mut self, flow: &Flow, now: Time) -> Result<Put, Error> {
        let Some(places) = self.places(flow) else { return Ok(Put::Foreign) };
        let (request_marks, reply_marks) = marks(flow.state);
        let seen = tick(now);
        let key = request_key(&flow.key);
        let request = places.of(Entry {
            address: octets(flow.backend.ip()),
            port: flow.backend.port().to_be_bytes(),
            way: WAY_REQUEST,
            marks: request_marks,
            seen,
            ..Entry::default()
        });
        let back = reply_key(flow);
        let reply = places.of(Entry {
            address: octets(flow.key.vip.ip()),
            port: flow.key.vip.port().to_be_bytes(),
            way: WAY_REPLY,
            marks: reply_marks,
            seen,
            ..Entry::default()
        });
        let old = self.get(&key)?.filter(|old| old.way == WAY_REQUEST);
        let mut there = self.get(&back)?.filter(|there| there.way == WAY_REPLY);
        let same_vip = |there: &Entry| (there.address, there.port) == (reply.address, reply.port);
        let known = old.and_then(|old| flow_of(&key, &old));
        if let (Some(old), Some(known)) = (old, known) {
            let known_back = reply_key(&known);
            let other = if known_back == back { there } else { self.get(&known_back)? };
            let other_marks = other.map_or(0, |other| other.marks);
            let known = Flow { state: joined(old.marks, other_marks), ..known };
            if known.backend == flow.backend
                && there.is_some_and(|there| same_vip(&there))
                && joined(old.marks | request.marks, other_marks | reply.marks) == known.state
                && (flow.state != FlowState::Opening || known.state == FlowState::Opening)
                && seen.saturating_sub(old.seen) < STALE_TICKS
            {
                return Ok(Put::Known);
            }
            let anew = flow.state == FlowState::Opening && known.state == FlowState::Closed;
            if known.backend != flow.backend && !anew && !supersedes(flow, &known) {
                return Ok(Put::Known);
            }
            if anew || known.backend != flow.backend {
                self.delete(&known_back)?;
                there = there.filter(|_| known_back != back);
            }
        }
        if let Some(there) = there.filter(|there| !same_vip(there)) {
            // To the backend they are one connection. Whoever made this one knew that the other had ended; news of one
            // that was made before may come late.
            if flow.state != FlowState::Opening {
                return Ok(Put::Clash);
            }
            let vip = end(&back, there.address, there.port);
            let other = request_key(&FlowKey { vip, ..flow.key });
            // One that begins inside may have been made by two nodes at once, each with a port of its own: all keep the same.
            if flow.kind == FlowKind::SourceNat
                && let Some(entry) = self.get(&other)?
            {
                let opening = joined(entry.marks, there.marks) == FlowState::Opening;
                if opening && vip < flow.key.vip {
                    return Ok(Put::Clash);
                }
            }
            self.delete(&other)?;
        }
        // Both entries are of the same flow as told; what each node has seen of it adds up.
        let of_this = there.filter(same_vip);
        let reply = Entry { marks: reply.marks | of_this.map_or(0, |there| there.marks), ..reply };
        let same = old.filter(|_| of_this.is_some());
        let request = Entry { marks: request.marks | same.map_or(0, |old| old.marks), ..request };
        if !self.set(&back, &reply)? {
            return Ok(Put::Full);
        }
        if !self.set(&key, &request)? {
            self.delete(&back)?;
            return Ok(Put::Full);
        }
        Ok(if same.is_some() { Put::Known } else { Put::New })
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
