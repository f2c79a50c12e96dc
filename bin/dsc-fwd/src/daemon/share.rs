//! Flows in the daemon's loop: from the programs to the peers, from the peers to the kernel's table, and the replies that
//! wait for them.

use super::Daemon;
use crate::balance;
use crate::sources;
use crate::symmetric::Hosts;
use dsc_bpf::{Told, Walk};
use dsc_fwd::share::{Sharing, Todo};
use dsc_sys::keyfile::KeyFile;
use dsc_sys::{clock, nic, random, realtime};
use dsc_wire::local::{FwdSharing, HostState};
use dsc_wire::seal::Keyring;
use dsc_wire::{Flow, FlowState, NodeId, Routing, Time};
use std::net::IpAddr;

impl Daemon {
    /// Opens the sockets to the peers, if there are flows to share.
    pub(super) fn share(&mut self) -> Result<(), String> {
        if !balance::has_flows(&self.config) {
            return Ok(());
        }
        let key_file = KeyFile::open(&self.config.key_file).map_err(|e| e.to_string())?;
        let nics = nic::nics().map_err(|e| format!("cannot read this machine's addresses: {e}"))?;
        let life = random::incarnation().map_err(|e| format!("cannot get random numbers: {e}"))?;
        if let Err(e) = realtime::prefer() {
            tracing::warn!(
                "cannot set real-time priority {}: {e}: needs CAP_SYS_NICE, LimitRTPRIO, or CPUSchedulingPolicy=rr in its unit; on a busy \
                 machine flows come late to the others",
                realtime::PREFERRED
            );
        }
        let now = clock::now();
        let keyring = key_file.keyring(Keyring::for_flows);
        self.sharing = Some(Sharing::open(&self.config, self.me, keyring, &nics, life, now)?);
        self.key_file = Some(key_file);
        self.adopted = self.inherited
            && now < self.lease.lease()
            && self.vips.iter().any(|(vip, ..)| self.lease.host(*vip).0 == HostState::On);
        Ok(())
    }

    /// Takes other keys when their file has them.
    pub(super) fn look_at_keys(&mut self) {
        if let (Some(sharing), Some(key_file)) = (&mut self.sharing, &mut self.key_file)
            && key_file.look()
        {
            sharing.set_keyring(key_file.keyring(Keyring::for_flows));
        }
    }

    /// How flows are shared, for people.
    pub(super) fn sharing_status(&self, now: Time) -> Option<FwdSharing> {
        let keys = self.key_file.as_ref().map(KeyFile::ids).unwrap_or_default();
        Some(FwdSharing { keys, ..self.sharing.as_ref()?.status(now) })
    }

    /// Brings source NAT into the kernel, as far as the others' flows are known.
    pub(super) fn set_sources(&mut self) -> Result<(), String> {
        let known = self.knows_flows();
        let (sources, zones) =
            (sources::sources(&self.config, known), sources::zones(&self.config));
        self.datapath.set_sources(&sources, &zones).map_err(|e| e.to_string())
    }

    /// Does this node know all flows that there are to know?
    pub(super) fn knows_flows(&self) -> bool {
        self.adopted || self.sharing.as_ref().is_none_or(Sharing::is_ready)
    }

    /// Everything about flows that can be done now.
    pub(super) fn flow_turn(&mut self, now: Time) -> Result<(), String> {
        let told = self.flows.news(now)?;
        let mut remind = Vec::new();
        self.flows.look(now, &mut remind)?;
        if let Some(sharing) = &mut self.sharing {
            for Told { flow, at } in told {
                match flow.state {
                    FlowState::Opening => sharing.made(now, flow, at),
                    _ => sharing.changed(now, flow),
                }
            }
            remind.into_iter().for_each(|flow| sharing.changed(now, flow));
            for todo in sharing.turn(now) {
                self.todo(now, todo)?;
            }
        }
        self.prompt(now)?;
        self.waiting.take(now);
        let symmetric = self.config.flows.routing == Routing::Symmetric;
        let hosts = symmetric.then(|| Hosts {
            vips: &self.vips,
            lease: &self.lease,
            macs: &self.macs,
            voices: &mut self.voices,
        });
        self.waiting.turn(now, self.flows.table_mut(), hosts)
    }

    /// Asks the clients of flows that have ended for a packet, as the host of their VIP.
    fn prompt(&mut self, now: Time) -> Result<(), String> {
        let holds = now < self.lease.lease();
        let mine = |address: IpAddr| {
            let vip = self.vips.iter().find(|(_, own, _)| *own == address);
            holds && vip.is_some_and(|(vip, ..)| self.lease.host(*vip).0 == HostState::On)
        };
        self.prompts.turn(now, self.flows.table(), mine)
    }

    fn todo(&mut self, now: Time, todo: Todo) -> Result<(), String> {
        match todo {
            Todo::Apply(flows) => self.flows.apply(&flows, now),
            Todo::Entered { flows, made } => {
                // The clock is read again: bringing them in took some of that time.
                if let Some(sharing) = &mut self.sharing {
                    sharing.entered(clock::now(), flows, made);
                }
                Ok(())
            }
            Todo::NeedCopy { to, copy, part, flows_max } => {
                let (flows, last) = self.part(now, to, copy, part, flows_max)?;
                if let Some(sharing) = &mut self.sharing {
                    sharing.copy_part(now, to, copy, flows, last);
                }
                Ok(())
            }
            Todo::Ready => {
                tracing::info!("the flows of the other members are known");
                self.set_sources()?;
                self.tell();
                Ok(())
            }
        }
    }

    /// The next part of the copy that `to` takes, and whether it is the last.
    fn part(
        &mut self,
        now: Time,
        to: NodeId,
        copy: u64,
        part: u32,
        most: usize,
    ) -> Result<(Vec<Flow>, bool), String> {
        let (number, walk) = self.gifts.entry(to).or_insert((copy, Walk::default()));
        if *number != copy || part == 0 {
            (*number, *walk) = (copy, Walk::default());
        }
        let mut seen = Vec::new();
        let more =
            self.flows.table().walk(walk, now, most, &mut seen).map_err(|e| e.to_string())?;
        if !more {
            self.gifts.remove(&to);
        }
        // What has ended is of no use to who was not there: late segments find their backend without it.
        let live = seen.into_iter().map(|seen| seen.flow).filter(|f| f.state != FlowState::Closed);
        Ok((live.collect(), !more))
    }
}
