//! dsc-fwd on clsact, the hook of kernels without TCX: its filters beside those of others, and what becomes of them.

use crate::net::probe::Asker;
use crate::net::{self, Node, VIP4, until, world_on};
use dsc_bpf::Hook;
use dsc_wire::local::HostState;
use dsc_wire::{SubnetId, Time};
use std::net::Ipv4Addr;

const V4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);

fn filters(node: &Node) -> String {
    let [incoming, outgoing] = ["ingress", "egress"]
        .map(|way| node.machine.space.tc(&format!("filter show dev eth0 {way}")));
    incoming + &outgoing
}

fn ours(node: &Node) -> usize {
    filters(node).lines().filter(|line| line.contains("handle 0xd5c dsc direct-action")).count()
}

fn detach(node: &mut Node) {
    node.kill();
    node.lease.set_lease(Time::ZERO);
    assert_eq!(node.run_once(&["--detach"]), (Some(0), String::new()));
}

/// Others use the same qdisc, some of them before us.
#[test]
fn filters_of_others_and_their_qdisc_are_left_alone() {
    let mut world = world_on(Some(Hook::Clsact));
    let node = &mut world.nodes[0];
    detach(node);
    let tc = |arguments: &str| node.machine.space.tc(arguments);
    tc("qdisc add dev eth0 clsact");
    tc("filter add dev eth0 ingress protocol ip prio 1 u32 match u32 0 0");
    tc("filter add dev eth0 ingress prio 9 u32 match u32 0 0");
    // One with our handle, told from ours by its name.
    std::fs::write("/mnt/returns-0", "1,6 0 0 0,").unwrap();
    tc("filter add dev eth0 egress prio 1 handle 0xd5c bpf bytecode-file /mnt/returns-0");
    let theirs = filters(node);
    for _ in 0..3 {
        node.start();
        node.kill();
    }
    let with_ours = filters(node);
    assert_eq!(ours(node), 2, "{with_ours}");
    assert_eq!(with_ours.matches("pref 2 bpf chain 0 handle").count(), 2, "{with_ours}");
    node.start();
    detach(node);
    assert_eq!(filters(node), theirs);
}

#[test]
fn a_qdisc_that_another_program_has_put_a_filter_into_stays() {
    let mut world = world_on(Some(Hook::Clsact));
    let node = &mut world.nodes[0];
    node.machine.space.tc("filter add dev eth0 ingress prio 9 u32 match u32 0 0");
    detach(node);
    let left = filters(node);
    assert!(left.contains("pref 9 u32") && ours(node) == 0, "{left}");
}

/// Whose qdisc it is now cannot be read from it.
#[test]
fn a_qdisc_that_another_program_has_made_in_place_of_ours_stays() {
    let mut world = world_on(Some(Hook::Clsact));
    let node = &mut world.nodes[0];
    let replace = |space: &net::Space| {
        space.tc("qdisc del dev eth0 clsact");
        space.tc("qdisc add dev eth0 clsact");
    };
    node.unseen(replace);
    until("both are back", || ours(node) == 2);
    detach(node);
    assert!(node.machine.space.tc("qdisc show dev eth0").contains("clsact"));
    // The same without a daemon.
    node.machine.space.tc("qdisc del dev eth0 clsact");
    node.start();
    node.kill();
    replace(&node.machine.space);
    node.lease.set_lease(Time::ZERO);
    assert_eq!(node.run_once(&["--detach"]), (Some(0), String::new()));
    assert!(node.machine.space.tc("qdisc show dev eth0").contains("clsact"));
}

/// Scripts that set up traffic shaping say `replace`, which finds the qdisc that is there.
#[test]
fn replacing_the_qdisc_by_its_like_takes_nothing_away() {
    let world = world_on(Some(Hook::Clsact));
    let node = &world.nodes[0];
    node.machine.space.tc("qdisc replace dev eth0 clsact");
    assert_eq!(ours(node), 2);
}

/// One program deletes the qdisc and all filters with it, as scripts of traffic shapers do.
#[test]
fn filters_that_another_program_deletes_come_back() {
    let world = world_on(Some(Hook::Clsact));
    let node = &world.nodes[0];
    node.host(VIP4, HostState::On, &[]);
    for deletion in
        ["qdisc del dev eth0 clsact", "filter del dev eth0 ingress", "filter del dev eth0 egress"]
    {
        node.machine.space.tc(deletion);
        until("both are back", || ours(node) == 2);
    }
    let mut asker = Asker::new(&world.client);
    let question = asker.ask(V4, false);
    until("the question is answered", || asker.answers().contains_key(&question));
}

/// The older qdisc has no egress, and takes filters for it as if they were for ingress.
#[test]
fn an_ingress_qdisc_is_refused() {
    let mut world = world_on(Some(Hook::Clsact));
    let node = &mut world.nodes[0];
    detach(node);
    node.machine.space.tc("qdisc add dev eth0 ingress");
    let (code, said) = node.run_once(&[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("its qdisc ingress has no place for it"), "{said}");
    assert_eq!(filters(node), "");
}

/// The node goes on where it can, and its addresses are cared for.
#[test]
fn an_interface_at_fault_takes_nothing_from_the_other_subnets() {
    let mut world = world_on(Some(Hook::Clsact));
    world.nodes[0].host(VIP4, HostState::On, &[]);
    world.add_subnet();
    let node = &world.nodes[0];
    let space = &node.machine.space;
    for (nic, other) in [("eth0", "eth1"), ("eth1", "eth0")] {
        node.unseen(|space| {
            space.tc(&format!("qdisc del dev {nic} clsact"));
            space.tc(&format!("qdisc add dev {nic} ingress"));
        });
        let left = [SubnetId(u8::from(nic == "eth0"))].into_iter().collect();
        until("dsc-fwd is ready on the other only", || node.ringd.ready_on() == left);
        space.tc(&format!("qdisc del dev {other} clsact"));
        space.ip("addr del 10.1.0.101/32 dev lo");
        until("the other has its programs again", || {
            space.tc(&format!("filter show dev {other} egress")).contains("handle 0xd5c dsc")
        });
        until("the address is back", || space.ip("addr show dev lo").contains("10.1.0.101/32"));
        space.tc(&format!("qdisc del dev {nic} ingress"));
        until("dsc-fwd is ready on both again", || node.ringd.ready());
    }
    let mut asker = Asker::new(&world.client);
    let question = asker.ask(V4, false);
    until("the question is answered", || asker.answers().contains_key(&question));
}

/// The old hook goes when the new one is in force. To make or delete a qdisc costs the kernel the frames that the interface
/// sends at that moment, so this is the one change that loses some.
#[test]
fn changing_the_hook_leaves_nothing_of_the_old_one() {
    if Hook::best().unwrap() == Hook::Clsact {
        return;
    }
    let mut world = world_on(Some(Hook::Tcx));
    world.nodes[0].host(VIP4, HostState::On, &[]);
    let mut asker = Asker::new(&world.client);
    for hook in [Hook::Clsact, Hook::Tcx, Hook::Clsact] {
        let node = &mut world.nodes[0];
        node.kill();
        node.hook = Some(hook);
        node.start();
        assert_eq!(ours(node), if hook == Hook::Clsact { 2 } else { 0 });
        let links = std::fs::read_dir("/sys/fs/bpf/n1/links").unwrap().count();
        assert_eq!(links, if hook == Hook::Tcx { 2 } else { 0 });
        let question = asker.ask(V4, false);
        until("the question is answered", || asker.answers().contains_key(&question));
    }
}
