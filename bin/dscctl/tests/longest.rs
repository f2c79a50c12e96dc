//! The longest answers that dsc-fwd and dsc-link may give are within what an answer may be: one that is not would never arrive.

use dsc_sys::local::REPLY_MAX;
use dsc_wire::Reason;
use dsc_wire::flow::{BACKENDS_MAX, SERVICES_MAX};
use dsc_wire::health::{CHECKERS_MAX, CHECKS_MAX, Verdict};
use dsc_wire::ids::{NODES_MAX, SUBNETS_MAX, VIPS_MAX};
use dsc_wire::local::{
    BackendName, CheckName, DOWNLOADS_LISTED_MAX, FLOWS_LISTED_MAX, FwdBackend, FwdFlow, FwdFlows,
    FwdService, FwdServices, LinkDownload, LinkDownloads, LinkService, Names, OBJECT_MAX,
};
use dsc_wire::{
    BackendId, BackendState, Flow, FlowKey, FlowKind, FlowState, NodeId, NodeSet, Protocol,
    ServiceId, ServiceKind, SubnetId, SubnetSet, VipId,
};
use std::net::SocketAddr;

#[test]
fn the_longest_answers_about_flows_and_downloads_fit() {
    let end: SocketAddr = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap();
    let key = FlowKey { protocol: Protocol::Tcp, client: end, vip: end };
    let flow = FwdFlow {
        flow: Flow { key, backend: end, state: FlowState::Opening, kind: FlowKind::Nat },
        service: Some(ServiceId(127)),
        age_s: u64::MAX,
        owner: Some(NodeId(63)),
    };
    let flows = FwdFlows { flows: vec![flow; FLOWS_LISTED_MAX as usize], ..FwdFlows::default() };
    let name = "x".repeat(63);
    let most = u64::MAX;
    let service = FwdService {
        name: name.clone(),
        vips: vec![VipId(1023); VIPS_MAX],
        protocol: Protocol::Tcp,
        port: 65_535,
        kind: ServiceKind::Local,
        backends: vec![BackendId(1023); BACKENDS_MAX / SERVICES_MAX],
        flows: most,
        packets: most,
        bytes: most,
    };
    let verdict = Verdict {
        backend: BackendId(1023),
        red: true,
        reason: Reason::Other { code: u8::MAX, detail: u16::MAX },
        since_ms: most,
    };
    let backend = FwdBackend {
        service: ServiceId(127),
        address: end,
        weight: 100,
        state: BackendState::Draining,
        checked: true,
        balanced: true,
        green: Vec::new(),
        red: vec![(NodeId(63), verdict); CHECKERS_MAX],
        share: Some(7),
        flows: most,
        packets: most,
        bytes: most,
    };
    let check =
        CheckName { name: "x".repeat(32), nodes: NodeSet(most), critical: SubnetSet(u8::MAX) };
    let names = Names {
        checks: vec![check; CHECKS_MAX],
        cluster: name.clone(),
        nodes: vec![name.clone(); NODES_MAX],
        subnets: vec![name.clone(); SUBNETS_MAX],
        vips: vec![end.ip(); VIPS_MAX],
        vip_subnets: vec![SubnetId(7); VIPS_MAX],
        services: vec![name; SERVICES_MAX],
        backends: vec![
            BackendName {
                service: ServiceId(127),
                address: end,
                state: BackendState::Draining
            };
            BACKENDS_MAX
        ],
    };
    let services = vec![service; SERVICES_MAX];
    let services = FwdServices { names, services, backends: vec![backend; BACKENDS_MAX] };
    let download = LinkDownload {
        service: "x".repeat(63),
        client: end,
        // Each character is written as six.
        object: "\u{1}".repeat(OBJECT_MAX),
        sent: most,
        length: Some(most),
        backend: Some(end),
        resumable: false,
        resumes: u32::MAX,
        age_ms: most,
    };
    let link = LinkService {
        name: "x".repeat(63),
        connections: most,
        running: most,
        accepted: most,
        refused: most,
        requests: most,
        bytes: most,
        resumes: most,
        broken: most,
    };
    let link = LinkDownloads {
        downloads: vec![download; DOWNLOADS_LISTED_MAX as usize],
        matched: u32::MAX,
        services: vec![link; 2 * SERVICES_MAX],
    };
    for length in [
        serde_json::to_vec(&flows).unwrap().len(),
        serde_json::to_vec(&services).unwrap().len(),
        serde_json::to_vec(&link).unwrap().len(),
    ] {
        assert!(length > REPLY_MAX / 8 && length <= REPLY_MAX, "{length}");
    }
}
