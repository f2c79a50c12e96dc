//! The audits see what they are there to see: each is shown a world in which its promise is broken.

use dsc_test_sim::backends::Word;
use dsc_test_sim::plan::{Class, MS, Plan, Wish};
use dsc_test_sim::trace::Trace;
use dsc_test_sim::world::{Given, World};
use dsc_test_sim::{audit, backends};
use dsc_wire::local::{Command, HostState};
use dsc_wire::{BackendId, BackendState, NodeId, Persistence, Time, VipId};
use std::time::Duration;

const VIP: VipId = VipId(0);

/// Switched on, but not yet far enough for the rings to do anything.
fn world(class: Class) -> World {
    let plan = Plan::new(5, Wish { class: Some(class), nodes: Some(3) });
    let mut world = World::new(plan, Trace(0));
    world.run_until(21 * MS).unwrap();
    world
}

fn ahead(world: &World, node: NodeId, ms: u64) -> Time {
    world.machines[node.index()].clock.local(world.at) + Duration::from_millis(ms)
}

fn takes(world: &mut World, node: NodeId) -> Result<(), String> {
    let end = ahead(world, node, 20);
    audit::lease(world, node, end)?;
    audit::host(world, node, VIP, HostState::On, Vec::new())
}

#[test]
fn two_hosts_are_seen_whichever_comes_first() {
    for class in [Class::Whole, Class::Majority, Class::Crash] {
        let mut two = world(class);
        takes(&mut two, NodeId(0)).unwrap();
        assert!(takes(&mut two, NodeId(2)).unwrap_err().starts_with("P3"));
        let mut late = world(class);
        takes(&mut late, NodeId(0)).unwrap();
        audit::host(&mut late, NodeId(1), VIP, HostState::On, Vec::new()).unwrap();
        let end = ahead(&late, NodeId(1), 20);
        assert!(audit::lease(&mut late, NodeId(1), end).unwrap_err().starts_with("P3"));
    }
}

#[test]
fn a_host_whose_lease_is_over_is_none() {
    let mut world = world(Class::Majority);
    takes(&mut world, NodeId(0)).unwrap();
    world.run_until(world.at + 22 * MS).unwrap();
    takes(&mut world, NodeId(1)).unwrap();
}

#[test]
fn two_hosts_that_hear_each_other_are_seen_after_the_bound() {
    let mut world = world(Class::Cut);
    for node in [NodeId(0), NodeId(1)] {
        audit::host(&mut world, node, VIP, HostState::On, Vec::new()).unwrap();
    }
    let quiet = world.plan.bound();
    let mut outcome = Ok(());
    // Past the quiet time after the start the rings themselves may switch it off again, so the maps are set anew.
    while outcome.is_ok() && world.at < quiet {
        for node in [NodeId(0), NodeId(1)] {
            outcome = outcome.and_then(|()| takes(&mut world, node));
        }
        outcome = outcome.and_then(|()| world.run_until(world.at + MS));
    }
    assert!(outcome.unwrap_err().contains("which have heard each other"));
}

#[test]
fn a_lease_beyond_its_maximum_is_seen() {
    let mut world = world(Class::Quiet);
    let end = ahead(&world, NodeId(0), 100_000);
    assert!(audit::lease(&mut world, NodeId(0), end).unwrap_err().contains("ahead"));
}

#[test]
fn a_lapse_in_peace_is_seen() {
    let mut world = world(Class::Quiet);
    takes(&mut world, NodeId(0)).unwrap();
    world.audit.calm = true;
    world.run_until(world.at + 22 * MS).unwrap();
    let end = ahead(&world, NodeId(0), 20);
    assert!(audit::lease(&mut world, NodeId(0), end).unwrap_err().contains("in peace"));
}

#[test]
fn a_vip_left_alone_in_peace_is_seen_and_one_led_on_is_not() {
    let mut world = world(Class::Operator);
    takes(&mut world, NodeId(0)).unwrap();
    world.audit.covered[0] = true;
    audit::host(&mut world, NodeId(1), VIP, HostState::Incoming, Vec::new()).unwrap();
    audit::host(&mut world, NodeId(0), VIP, HostState::Steer(NodeId(1)), Vec::new()).unwrap();
    let off = audit::host(&mut world, NodeId(0), VIP, HostState::Off, Vec::new());
    assert!(off.unwrap_err().contains("nobody"));
}

#[test]
fn a_vip_that_leaves_the_greater_ring_is_seen() {
    let mut world = world(Class::Heal);
    world.plan.cluster.vips[0].persistence = Persistence::Current;
    takes(&mut world, NodeId(0)).unwrap();
    world.audit.keepers.insert(NodeId(0));
    let off = audit::host(&mut world, NodeId(0), VIP, HostState::Off, Vec::new());
    assert!(off.unwrap_err().contains("greater ring"));
}

#[test]
fn an_end_of_a_command_that_nobody_gave_is_seen() {
    let mut world = world(Class::Operator);
    assert!(audit::done(&mut world, NodeId(0), 0, Ok(String::new()), false).is_err());
}

const DRAIN: Command = Command::Backend { backend: BackendId(2), state: BackendState::Draining };

/// The command is given to `node`, whose number for it is 0.
fn given(world: &mut World, node: NodeId) {
    let machine = &world.machines[node.index()];
    let (at, life, word) = (world.at, machine.life, Word::given(machine.view(world.at), DRAIN));
    world.commands.push(Given { at, node, life, command: DRAIN, word, result: None });
}

#[test]
fn a_state_of_a_backend_that_is_done_and_not_shown_is_seen() {
    let mut world = world(Class::Operator);
    given(&mut world, NodeId(0));
    let done = audit::done(&mut world, NodeId(0), 0, Ok(String::new()), false);
    assert!(done.unwrap_err().contains("no such state"));
}

#[test]
fn a_state_of_a_backend_that_is_lost_or_differs_is_seen() {
    let mut world = world(Class::Operator);
    world.run_until(1_000 * MS).unwrap();
    given(&mut world, NodeId(1));
    world.give(NodeId(1), dsc_ring::Input::Command { id: 0, command: DRAIN });
    world.run_until(1_200 * MS).unwrap();
    assert_eq!(world.done.len(), 1);
    let forget = |world: &mut World, node: usize| {
        let mut view = world.machines[node].view(world.at).unwrap().clone();
        view.backends.clear();
        let shown = &mut world.machines[node].shown;
        shown.take();
        shown.set(view).unwrap();
    };
    let agree = |world: &World| {
        let views: Vec<_> = world.machines.iter().filter_map(|m| m.view(world.at)).collect();
        assert_eq!(views.len(), 3);
        backends::agree(world, &views)
    };
    assert_eq!(agree(&world), Ok(()));
    forget(&mut world, 2);
    assert!(agree(&world).unwrap_err().contains("node 2 []"));
    let mut again = world.commands[0].clone();
    again.result = None;
    world.commands.push(again);
    let done = audit::done(&mut world, NodeId(1), 1, Ok(String::new()), false);
    assert!(done.unwrap_err().contains("node 2 shows []"));
    forget(&mut world, 0);
    forget(&mut world, 1);
    assert!(agree(&world).unwrap_err().contains("is lost"));
    // Nobody lives who had seen it.
    world.machines.iter_mut().for_each(|m| m.life += 2);
    assert_eq!(agree(&world), Ok(()));
}
