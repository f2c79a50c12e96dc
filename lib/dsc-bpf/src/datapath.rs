//! Loads the kernel programs, keeps them on the interfaces, fills their maps. Called by `dsc-fwd` alone. Maps are pinned, and
//! programs stay where they are attached: when the daemon ends nothing changes in the kernel, and the next one carries on with
//! the same maps and puts its programs in the place of the old ones. It never touches `lease` and `hosts`, which are
//! `dsc-ringd`'s.

use crate::claims::Claims;
use crate::direction::Direction;
use crate::flows::FlowTable;
use crate::hook::{Hook, Hooks};
use crate::layout::{Gates, MacEntry, NIC_ROUTER, NicEntry, VERDICTS, VipCountEntry, VipEntry};
use crate::maps::{check_shapes, fill, insert, retain, taken};
use crate::news::{Held, News};
use crate::programs::Programs;
use crate::services::{Backend, BackendCount, Service, ServiceMaps};
use crate::sources::{Source, SourceMaps, Zone};
use crate::{Error, LAYOUT, LeaseMap, outgrown};
use aya::maps::{Array, HashMap, MapData, PerCpuArray};
use dsc_wire::ids::SUBNETS_MAX;
use dsc_wire::local::{Counter, Mac};
use dsc_wire::{BackendId, NodeId, Routing, SubnetId, VipId};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

/// An interface of this node that carries a subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// The kernel's index, which tells it from a later interface of the same name.
    pub index: u32,
    /// Its name, for people.
    pub name: String,
    /// The subnet it carries.
    pub subnet: SubnetId,
    /// Its MAC address.
    pub mac: Mac,
    /// Does this machine forward IPv6 from it? Neighbour advertisements say so.
    pub router: bool,
    /// Its own IPv4 address, which replaces a VIP as the sender of this node's ARP requests.
    pub address4: Option<Ipv4Addr>,
    /// Its own IPv6 address, for the same in solicitations.
    pub address6: Option<Ipv6Addr>,
}

/// What this node took for one VIP since the maps were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VipCount {
    /// Frames delivered to this node's stack.
    pub packets: u64,
    /// Their bytes, with link-layer headers.
    pub bytes: u64,
    /// Frames handed to another node.
    pub steered: u64,
}

/// What [`Datapath::open`] gives: each for the part of the daemon that uses it.
pub struct Opened {
    /// The programs and their tables.
    pub datapath: Datapath,
    /// Machines that say they have a VIP.
    pub claims: Claims,
    /// The flows.
    pub flows: FlowTable,
    /// There was a table: what an earlier daemon knew is in it.
    pub inherited: bool,
    /// Flows that the programs made.
    pub news: News,
    /// Replies that wait for their flow.
    pub held: Held,
}

/// The programs and their maps.
pub struct Datapath {
    pub(crate) dir: PathBuf,
    hooks: Hooks,
    pub(crate) nics: Vec<Nic>,
    /// Where this daemon's programs are, as far as it knows; an earlier one's are not among them.
    placed: BTreeSet<(u32, Direction)>,
    faults: Vec<(u32, Error)>,
    /// Programs are wanted in the drivers too.
    pub(crate) want_early: bool,
    /// Interfaces that cannot do what is wanted of their drivers, and why.
    pub(crate) slow: Vec<(u32, String)>,
    vips4: HashMap<MapData, [u8; 4], VipEntry>,
    vips6: HashMap<MapData, [u8; 16], VipEntry>,
    nic_map: HashMap<MapData, u32, NicEntry>,
    members: HashMap<MapData, MacEntry, u32>,
    stations: Array<MapData, MacEntry>,
    verdicts: PerCpuArray<MapData, u64>,
    vip_counts: PerCpuArray<MapData, VipCountEntry>,
    services: ServiceMaps,
    sources: SourceMaps,
    doors: Array<MapData, u32>,
    pub(crate) gates: Array<MapData, Gates>,
    programs: Programs,
}

impl Datapath {
    /// Loads the programs for node `me`, with the maps pinned below `dir` or new ones. Nothing is attached yet; it will be to
    /// `hook`. The table has room for `flows_max` flows; one of another size is replaced, and its flows are taken over. A
    /// backend's replies leave as `routing` says.
    ///
    /// # Errors
    /// [`Error`]: a right is missing, the kernel refuses the programs, or the pinned maps are another build's.
    pub fn open(
        dir: &Path,
        me: NodeId,
        hook: Hook,
        flows_max: u32,
        routing: Routing,
    ) -> Result<Opened, Error> {
        // The programs share these two maps with dsc-ringd, which may not have started yet.
        drop(LeaseMap::open(dir)?);
        let pins = dir.join(LAYOUT);
        fs::create_dir_all(&pins).map_err(|source| Error::Mount { dir: pins.clone(), source })?;
        let hooks = Hooks::open(dir, hook)?;
        // Each flow has two entries.
        let entries = flows_max.saturating_mul(2);
        check_shapes(&pins)?;
        let pin = pins.join("flows");
        let inherited = pin.exists();
        let outgrown = outgrown::unpin_other_size(&pin, entries)?;
        let (mut ebpf, programs) = match Programs::load(dir, me, entries, routing) {
            Ok(loaded) => loaded,
            Err(e) => {
                if let Some(old) = outgrown {
                    outgrown::pin_again(&old, &pin)?;
                }
                return Err(e);
            }
        };
        let claims = Claims(taken(&mut ebpf, "claims")?);
        let news = News::take(&mut ebpf)?;
        let held = Held(taken(&mut ebpf, "held")?);
        let mut flows = FlowTable::take(&mut ebpf)?;
        if let Some(old) = outgrown {
            flows.take_over(old)?;
        }
        let datapath = Datapath {
            dir: dir.to_owned(),
            hooks,
            nics: Vec::new(),
            placed: BTreeSet::new(),
            faults: Vec::new(),
            want_early: false,
            slow: Vec::new(),
            vips4: taken(&mut ebpf, "vips4")?,
            vips6: taken(&mut ebpf, "vips6")?,
            nic_map: taken(&mut ebpf, "nics")?,
            members: taken(&mut ebpf, "members")?,
            stations: taken(&mut ebpf, "stations")?,
            verdicts: taken(&mut ebpf, "verdicts")?,
            vip_counts: taken(&mut ebpf, "vip_counts")?,
            services: ServiceMaps::take(&mut ebpf)?,
            sources: SourceMaps::take(&mut ebpf, me)?,
            doors: taken(&mut ebpf, "doors")?,
            gates: taken(&mut ebpf, "gates")?,
            programs,
        };
        // The loader needs megabytes for a moment; the daemon runs for years without them.
        drop(ebpf);
        // SAFETY: it only returns free pages to the system.
        unsafe { libc::malloc_trim(0) };
        Ok(Opened { datapath, claims, flows, inherited, news, held })
    }

    /// Makes these the services and their backends, by their numbers. Flows that exist are not touched.
    ///
    /// # Errors
    /// [`Error::Fill`]: the kernel refused an entry; those before it are in force.
    pub fn set_services(
        &mut self,
        services: &[Service],
        backends: &[Backend],
    ) -> Result<(), Error> {
        self.services.set(services, backends)
    }

    /// Makes these the source NATs, by their numbers, and `zones` all that is known of addresses. Flows that exist are not
    /// touched.
    ///
    /// # Errors
    /// [`Error::Fill`]: the kernel refused an entry; those before it are in force.
    pub fn set_sources(&mut self, sources: &[Source], zones: &[Zone]) -> Result<(), Error> {
        self.sources.set(sources, zones)
    }

    /// What this node did for `backend` since the maps were made.
    ///
    /// # Errors
    /// [`Error::Fill`]: the kernel refused to read the map.
    pub fn backend_count(&self, backend: BackendId) -> Result<BackendCount, Error> {
        self.services.count(backend)
    }

    /// Makes `vips` the virtual addresses that the programs know; all others are any machine's. A VIP that stays is
    /// never absent meanwhile.
    ///
    /// # Errors
    /// [`Error::Fill`]: the kernel refused an entry; those before it are in force.
    pub fn set_vips(&mut self, vips: &[(VipId, IpAddr, SubnetId)]) -> Result<(), Error> {
        let (mut four, mut six) = (BTreeMap::new(), BTreeMap::new());
        for (vip, address, subnet) in vips {
            let entry = VipEntry { index: vip.0, subnet: subnet.0, unused: 0 };
            match address {
                IpAddr::V4(a) => four.insert(a.octets(), entry),
                IpAddr::V6(a) => six.insert(a.octets(), entry),
            };
        }
        insert("vips4", &mut self.vips4, &four)?;
        insert("vips6", &mut self.vips6, &six)?;
        retain("vips4", &mut self.vips4, &four)?;
        retain("vips6", &mut self.vips6, &six)
    }

    /// Makes `nics` the interfaces with programs: attaches or renews them there, and detaches them elsewhere. An interface
    /// that refuses takes nothing from the others; [`Datapath::faults`] has it.
    ///
    /// # Errors
    /// [`Error::Fill`], [`Error::Detach`]: programs are where they can be, but old ones may be left elsewhere.
    pub fn set_nics(&mut self, nics: &[Nic]) -> Result<(), Error> {
        let entries = nics.iter().map(|nic| (nic.index, nic_entry(nic))).collect();
        // A program never runs on an interface that it knows nothing of: entries come first and go last.
        insert("nics", &mut self.nic_map, &entries)?;
        let indices: Vec<u32> = nics.iter().map(|nic| nic.index).collect();
        self.put_where_missing(&indices);
        self.placed.retain(|(nic, _)| indices.contains(nic));
        let faulty: Vec<u32> = self.faults.iter().map(|(nic, _)| *nic).collect();
        let early = if self.want_early { &indices[..] } else { &[] };
        self.hooks.keep_only(&indices, &faulty, early)?;
        retain("nics", &mut self.nic_map, &entries)?;
        self.set_doors(nics)?;
        self.nics = nics.to_vec();
        self.forget_gone();
        self.set_gates()
    }

    /// By which interface a flow's packets leave for each subnet; none for a subnet that has lost its interface.
    fn set_doors(&mut self, nics: &[Nic]) -> Result<(), Error> {
        for subnet in SubnetId::all() {
            let door = nics.iter().find(|nic| nic.subnet == subnet).map_or(0, |nic| nic.index);
            let index = u32::from(subnet.0);
            self.doors.set(index, door, 0).map_err(|e| fill("doors", e))?;
        }
        Ok(())
    }

    /// Puts programs back that something else took off their interfaces; true if there were any. It also tries again where
    /// there was a fault.
    ///
    /// # Errors
    /// [`Error::Fill`]: the kernel refused an entry.
    pub fn mend(&mut self) -> Result<bool, Error> {
        let nics: Vec<u32> = self.nics.iter().map(|nic| nic.index).collect();
        let put_back = self.put_where_missing(&nics);
        self.forget_gone();
        self.set_gates()?;
        Ok(put_back)
    }

    /// The interfaces that lack a program, by index, and why.
    pub fn faults(&self) -> &[(u32, Error)] {
        &self.faults
    }

    /// An interface that went away meanwhile is no fault: there is nothing to serve.
    fn forget_gone(&mut self) {
        for (gone, _) in self.faults.extract_if(.., |(_, fault)| fault.is_gone()) {
            self.nics.retain(|nic| nic.index != gone);
            self.placed.retain(|(nic, _)| *nic != gone);
        }
    }

    fn put_where_missing(&mut self, nics: &[u32]) -> bool {
        self.faults.clear();
        self.slow.clear();
        let mut put_back = false;
        for nic in nics {
            let mut put = || -> Result<(), Error> {
                for direction in Direction::BOTH {
                    put_back |= self.keep(*nic, direction)?;
                }
                Ok(())
            };
            if let Err(e) = put() {
                self.faults.push((*nic, e));
                continue;
            }
            if self.want_early
                && let Err(e) = self.keep(*nic, Direction::Driver)
            {
                self.slow.push((*nic, e.to_string()));
            }
        }
        put_back
    }

    /// Puts a program where it is missing; true if it was there before.
    fn keep(&mut self, nic: u32, direction: Direction) -> Result<bool, Error> {
        let placed = self.placed.contains(&(nic, direction));
        if placed && self.hooks.holds(nic, direction)? {
            return Ok(false);
        }
        self.placed.remove(&(nic, direction));
        self.attach(nic, direction)?;
        self.placed.insert((nic, direction));
        Ok(placed)
    }

    fn attach(&mut self, nic: u32, direction: Direction) -> Result<(), Error> {
        let refused = |why: &str| Error::Attach {
            nic,
            direction: direction.name(),
            source: std::io::Error::other(why.to_owned()),
        };
        let program = self.programs.of(direction).map_err(refused)?;
        self.hooks.attach(nic, direction, program)
    }

    /// Makes `macs` the addresses of the cluster's nodes, this one's among them: whom frames can be steered to and
    /// whose claims are no conflict.
    ///
    /// # Errors
    /// [`Error::Fill`]: the kernel refused an entry; those before it are in force.
    pub fn set_macs(&mut self, macs: &[(NodeId, SubnetId, Mac)]) -> Result<(), Error> {
        let members = macs
            .iter()
            .map(|(node, _, mac)| (mac_key(*mac), u32::from(node.0)))
            .collect::<std::collections::HashMap<MacEntry, u32>>();
        let old: Vec<MacEntry> = self.members.keys().filter_map(Result::ok).collect();
        // First everybody is known as a member, then frames are steered there: a steered frame that is not
        // recognised could be steered back.
        for (key, node) in &members {
            self.members.insert(key, node, 0).map_err(|e| fill("members", e))?;
        }
        let mut stations = vec![MacEntry::default(); self.stations.len() as usize];
        for (node, subnet, mac) in macs {
            let place = stations.get_mut(node.index() * SUBNETS_MAX + subnet.index());
            if let Some(place) = place {
                *place = MacEntry { known: 1, ..mac_key(*mac) };
            }
        }
        for (index, station) in (0u32..).zip(&stations) {
            if self.stations.get(&index, 0).map_err(|e| fill("stations", e))? != *station {
                self.stations.set(index, station, 0).map_err(|e| fill("stations", e))?;
            }
        }
        for key in old.iter().filter(|key| !members.contains_key(key)) {
            self.members.remove(key).map_err(|e| fill("members", e))?;
        }
        Ok(())
    }

    /// Frames per verdict since the maps were made, in the order of `bpf/verdicts.h`.
    ///
    /// # Errors
    /// [`Error::Fill`]: the kernel refused to read the map.
    pub fn verdicts(&self) -> Result<Vec<Counter>, Error> {
        let mut counters = Vec::with_capacity(VERDICTS.len());
        for (index, name) in (0u32..).zip(VERDICTS) {
            let counts = self.verdicts.get(&index, 0).map_err(|e| fill("verdicts", e))?;
            counters.push(Counter { name: name.to_owned(), count: counts.iter().sum() });
        }
        Ok(counters)
    }

    /// What this node took for `vip` since the maps were made.
    ///
    /// # Errors
    /// [`Error::Fill`]: the kernel refused to read the map.
    pub fn vip_count(&self, vip: VipId) -> Result<VipCount, Error> {
        let counts =
            self.vip_counts.get(&u32::from(vip.0), 0).map_err(|e| fill("vip_counts", e))?;
        Ok(counts.iter().fold(VipCount::default(), |sum, count| VipCount {
            packets: sum.packets + count.packets,
            bytes: sum.bytes + count.bytes,
            steered: sum.steered + count.steered,
        }))
    }

    /// One line per program that is attached: interface, hook, direction.
    pub fn links(&self) -> Vec<String> {
        self.nics
            .iter()
            .flat_map(|nic| {
                let hook = |way| match way {
                    Direction::Driver => "xdp".to_owned(),
                    _ => self.hooks.hook().to_string(),
                };
                let there = |way: &Direction| self.placed.contains(&(nic.index, *way));
                let ways = Direction::ALL.into_iter().filter(there);
                ways.map(|way| format!("{} {} {}", nic.name, hook(way), way.name()))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// The interfaces that should have programs, but for those that went away.
    pub fn nics(&self) -> &[Nic] {
        &self.nics
    }

    /// The program for frames that come in (`true`) or go out, to be run on test frames.
    pub fn program_for(&self, incoming: bool) -> BorrowedFd<'_> {
        let direction = if incoming { Direction::Ingress } else { Direction::Egress };
        self.programs.of(direction).expect("it is loaded")
    }

    /// The program in the drivers, to be run on test frames.
    ///
    /// # Panics
    /// The kernel refused it.
    pub fn early_program(&self) -> BorrowedFd<'_> {
        self.programs.of(Direction::Driver).expect("the kernel took it")
    }
}

fn mac_key(mac: Mac) -> MacEntry {
    MacEntry { bytes: mac, known: 0, unused: 0 }
}

fn nic_entry(nic: &Nic) -> NicEntry {
    NicEntry {
        mac: nic.mac,
        subnet: nic.subnet.0,
        flags: if nic.router { NIC_ROUTER } else { 0 },
        address4: nic.address4.map(|a| a.octets()).unwrap_or_default(),
        address6: nic.address6.map(|a| a.octets()).unwrap_or_default(),
    }
}
