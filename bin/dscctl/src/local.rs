//! Fills `status --local` and `counters`: what this node's daemons and kernel do. Pure; the answers are arguments.

use crate::failure::Failure;
use crate::names;
use crate::shown::{CounterRow, Local, LocalVip, Sharing, SharingLag, SharingPeer};
use crate::status::{hex, lease_left_ms, lease_valid};
use crate::warnings;
use dsc_wire::Time;
use dsc_wire::local::{
    Event, FwdCounters, FwdLag, FwdPeer, FwdSharing, HostState, RingState, View, VipCounters,
};

/// This node at `now`, from its ring daemon's view and its data path's counters, or why there are none.
pub fn fill(
    view: &View,
    fwd: Result<&FwdCounters, &Failure>,
    events: &[Event],
    now: Time,
    wall_ms: u64,
) -> Local {
    let silent_ms = |last: Option<Time>| Some(now.since(last?).as_millis() as u64);
    let hosts = view.vips.iter().any(|v| v.host == Some(view.me));
    let answers = matches!(view.state, RingState::Member | RingState::Alone);
    let lease_valid = lease_valid(view, now);
    Local {
        cluster: view.names.cluster.clone(),
        node: names::node(&view.names, view.me),
        state: view.state,
        incarnation: hex(view.incarnation.0),
        view: view.number,
        lease_valid,
        lease_left_ms: lease_left_ms(view, now),
        lease_ms: view.lease_ms,
        mon_silent_ms: silent_ms(view.heard.mon),
        fwd_silent_ms: silent_ms(view.heard.fwd),
        keys: view.keys.clone(),
        links: fwd.map_or_else(|_| Vec::new(), |f| f.links.clone()),
        vips: fwd.map_or_else(|_| Vec::new(), |f| f.vips.iter().map(|v| vip(view, v)).collect()),
        sharing: fwd.ok().and_then(|f| f.sharing.as_ref()).map(|s| sharing(view, s)),
        verdicts: fwd.map_or_else(|_| Vec::new(), |f| f.verdicts.clone()),
        serving: answers && fwd.is_ok() && (lease_valid || !hosts),
        warnings: warnings::of_local(view, fwd, events, now, wall_ms),
    }
}

fn vip(view: &View, counted: &VipCounters) -> LocalVip {
    let (state, steer_to) = match counted.state {
        HostState::Off => ("off", None),
        HostState::On => ("on", None),
        HostState::Incoming => ("incoming", None),
        HostState::Steer(node) => ("steer", Some(names::node(&view.names, node))),
    };
    LocalVip {
        address: counted.vip.to_string(),
        state,
        steer_to,
        packets: counted.packets,
        bytes: counted.bytes,
        steered: counted.steered,
    }
}

fn sharing(view: &View, sharing: &FwdSharing) -> Sharing {
    let peer = |peer: &FwdPeer| SharingPeer {
        node: names::node(&view.names, peer.node),
        ready: peer.ready,
        told: peer.told,
        missing: peer.missing,
    };
    let lag = |lag: FwdLag| SharingLag {
        flows: lag.flows,
        p50_us: lag.p50_us,
        p99_us: lag.p99_us,
        max_us: lag.max_us,
    };
    let FwdSharing { ready, told, backlog, gaps, .. } = *sharing;
    let (lag, peers) = (sharing.lag.map(lag), sharing.peers.iter().map(peer).collect());
    let keys = sharing.keys.clone();
    Sharing { ready, told, backlog, gaps, lag, peers, keys }
}

/// The counters of both daemons; those of the data path only if it answered.
pub fn counters(view: &View, fwd: Option<&FwdCounters>) -> Vec<CounterRow> {
    let ring = view.counters.iter().map(|c| ("ring", c));
    let verdicts = fwd.into_iter().flat_map(|f| &f.verdicts).map(|c| ("verdict", c));
    ring.chain(verdicts)
        .map(|(of, counter)| CounterRow { of, name: counter.name.clone(), count: counter.count })
        .collect()
}
