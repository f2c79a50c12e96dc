//! Operators' commands, planned stops and who is able: each story names what is asked for and what must follow.

use crate::world::{World, cluster};
use dsc_ring::Input;
use dsc_wire::local::{Command, Duty, EventKind, HostState};
use dsc_wire::*;

fn done(world: &World, at: usize, id: u64) -> Option<&Result<String, String>> {
    world.seats[at].done.iter().find(|(done, _)| *done == id).map(|(_, result)| result)
}

/// Runs until the command has its answer and tells how long every VIP was silent meanwhile, in ms.
fn carry_out(
    world: &mut World,
    at: usize,
    id: u64,
    command: Command,
) -> (Result<String, String>, u64) {
    world.input(at, Input::Command { id, command });
    let mut silent = 0;
    for _ in 0..30_000 {
        if let Some(result) = done(world, at, id) {
            return (result.clone(), silent);
        }
        world.run(1);
        silent += u64::from(!world.all_answered());
    }
    panic!("no answer\n{}", world.describe());
}

#[test]
fn a_vip_is_moved_at_once_without_a_gap_and_every_view_shows_it() {
    for n in [2, 3, 8] {
        for at in 0..n {
            let mut world = World::formed(cluster(n, 4));
            world.run(50 + at as u64);
            let host = world.who(1)[0];
            let to = (host + 1) % n;
            let command = Command::MoveVip { vip: VipId(1), node: NodeId(to as u8) };
            let start = world.now;
            let (result, silent) = carry_out(&mut world, at, 5, command);
            assert_eq!(result, Ok(format!("vip#1 is on node#{to}")));
            assert!(silent <= 1, "{silent} ms silent");
            assert!(world.now.since(start).as_millis() <= 30, "{:?}", world.now.since(start));
            assert_eq!(world.who(1), [to]);
            for i in 0..n {
                let view = &world.view(i).vips[1];
                assert_eq!((view.host, view.next), (Some(NodeId(to as u8)), None));
                assert_eq!(view.past, [NodeId(host as u8)]);
                let state = &world.seats[i].hosts[1];
                assert_eq!(state.1, [NodeId(host as u8)]);
                if i != to {
                    assert_eq!(state.0, HostState::Steer(NodeId(to as u8)));
                }
            }
            let (again, _) = carry_out(&mut world, at, 6, command);
            assert!(again.is_ok(), "already there is done");
            world.run(100);
            for i in 0..n {
                let events = &world.seats[i].events;
                let took = EventKind::Took {
                    vip: VipId(1),
                    from: Some(NodeId(host as u8)),
                    failover: false,
                };
                assert_eq!(events.iter().filter(|e| e.kind == took).count(), 1, "log of n{i}");
            }
        }
    }
}

#[test]
fn a_move_that_cannot_be_is_refused_with_its_reason() {
    let mut plan = cluster(4, 2);
    plan.nodes[3].witness = true;
    plan.nodes[2].subnets = SubnetSet(0b01);
    let mut world = World::new(plan);
    for i in [0, 1, 3] {
        world.start(i);
    }
    world.until("answers", 3_000, World::all_answered);
    let to = |vip: u16, node: u8| Command::MoveVip { vip: VipId(vip), node: NodeId(node) };
    for (command, reason) in [
        (to(9, 1), "there is no vip#9"),
        (to(0, 9), "there is no node#9"),
        (to(0, 3), "node#3 is a witness and never hosts"),
        (to(1, 2), "node#2 has no address on the subnet of that VIP"),
        (to(0, 2), "node#2 is not a member of the ring"),
        (
            Command::Duty { node: NodeId(0), duty: Duty::Witness },
            "only the configuration makes a node a witness",
        ),
        (
            Command::Duty { node: NodeId(3), duty: Duty::Open },
            "node#3 is a witness and never hosts",
        ),
    ] {
        let (result, _) = carry_out(&mut world, 0, 1, command);
        assert_eq!(result, Err(reason.to_owned()));
        world.seats[0].done.clear();
    }
    let close = Command::Duty { node: NodeId(1), duty: Duty::Closed };
    assert_eq!(carry_out(&mut world, 0, 2, close).0, Ok("node#1 is closed".into()));
    assert_eq!(carry_out(&mut world, 0, 3, to(0, 1)).0, Err("node#1 is closed".into()));
    let last = Command::Duty { node: NodeId(0), duty: Duty::Draining };
    let (result, silent) = carry_out(&mut world, 0, 4, last);
    assert_eq!(result, Err("node#0 hosts 2 VIPs that no other member can host".into()));
    assert_eq!(silent, 0);
}

#[test]
fn a_drain_of_256_vips_is_quick_and_loses_nothing() {
    let mut world = World::formed(cluster(2, 256));
    assert_eq!(world.hosts_of(0), 128);
    let drain = |node| Command::Duty { node: NodeId(node), duty: Duty::Draining };
    let start = world.now;
    let (result, silent) = carry_out(&mut world, 1, 1, drain(0));
    assert_eq!(result, Ok("node#0 is drained and closed".into()));
    assert!(world.now.since(start).as_millis() < 200, "{:?}", world.now.since(start));
    assert!(silent <= 8, "a hop per batch, not {silent} ms");
    assert_eq!(world.hosts_of(1), 256);
    assert_eq!(world.duty(1, 0), Duty::Closed);
}

#[test]
fn a_closed_node_stays_closed_over_its_absence_until_it_is_opened() {
    let mut world = World::formed(cluster(3, 6));
    let set = |duty| Command::Duty { node: NodeId(2), duty };
    let (result, _) = carry_out(&mut world, 0, 1, set(Duty::Closed));
    assert_eq!(result, Ok("node#2 is closed".into()));
    assert_eq!(world.hosts_of(2), 0);
    world.crash(2);
    world.run(300);
    assert_eq!(world.duty(0, 2), Duty::Closed);
    world.start(2);
    world.until("whole ring", 2_000, World::whole);
    world.run(200);
    assert_eq!((world.duty(0, 2), world.duty(2, 2)), (Duty::Closed, Duty::Closed));
    world.crash(1);
    world.until("takeover", 500, World::all_answered);
    assert_eq!(world.hosts_of(0), 6, "a closed node inherits nothing");
    world.crash(2);
    world.run(300);
    assert!(carry_out(&mut world, 0, 2, set(Duty::Open)).0.is_ok());
    world.start(2);
    world.until("second member", 2_000, |w| w.view(0).members.len() == 2);
    world.run(100);
    assert_eq!(world.duty(0, 2), Duty::Open, "opened while it was away");
}

/// By what the others know; a planned stop is no loss.
#[test]
fn with_a_manual_rejoin_a_node_that_was_lost_comes_back_closed() {
    let mut plan = cluster(3, 6);
    plan.rejoin = Rejoin::Manual;
    let mut world = World::formed(plan);
    let all_open = |w: &World| (0..3).all(|i| w.duty(0, i) == Duty::Open);
    assert!(all_open(&world), "a start of the whole cluster closes nothing");
    world.crash(2);
    world.until("takeover", 500, World::all_answered);
    assert_eq!(world.duty(0, 2), Duty::Closed);
    world.start(2);
    world.until("whole ring", 2_000, World::whole);
    world.run(200);
    assert_eq!((world.duty(0, 2), world.duty(2, 2)), (Duty::Closed, Duty::Closed));
    let closed = EventKind::DutyChanged { peer: NodeId(2), duty: Duty::Closed };
    assert!(world.seats[1].events.iter().any(|e| e.kind == closed), "nobody is told");
    let open = Command::Duty { node: NodeId(2), duty: Duty::Open };
    assert!(carry_out(&mut world, 2, 1, open).0.is_ok());
    world.cut_both(2, 0, true);
    world.cut_both(2, 1, true);
    world.run(500);
    world.cut_both(2, 0, false);
    world.cut_both(2, 1, false);
    world.until("merged", 3_000, |w| w.whole() && w.all_answered());
    // Both sides of the cut served.
    world.two_answers.clear();
    world.run(200);
    let duties = [0, 1, 2].map(|i| world.duty(1, i));
    assert_eq!(duties, [Duty::Open, Duty::Open, Duty::Closed], "those of the smaller ring");
    assert!(carry_out(&mut world, 1, 2, open).0.is_ok());
    world.input(2, Input::Leave);
    world.until("left", 1_000, |w| w.view(0).members.len() == 2);
    world.start(2);
    world.until("back", 2_000, World::whole);
    world.run(200);
    assert!(all_open(&world), "a planned stop closes nothing");
}

#[test]
fn a_node_that_is_closed_as_the_only_other_host_crashes_says_so_at_once_and_serves_on() {
    for (duty, told) in [(Duty::Closed, "closed"), (Duty::Draining, "being drained")] {
        let refused = "node#0 hosts 6 VIPs that no other member can host".to_owned();
        let applied = format!("node#0 is {told}, but hosts 3 VIPs that no other member can host");
        let mut firsts = 0;
        // Where the token is decides whether the command or the removal comes first.
        for phase in 0..20 {
            let mut plan = cluster(3, 6);
            plan.nodes[2].witness = true;
            let mut world = World::formed(plan);
            world.run(100 + phase);
            world.crash(1);
            let command = Command::Duty { node: NodeId(0), duty };
            world.input(0, Input::Command { id: 1, command });
            world.until("an answer", 200, |w| done(w, 0, 1).is_some());
            let result = done(&world, 0, 1).cloned().unwrap();
            let first = result == Err(applied.clone());
            assert!(first || result == Err(refused.clone()), "{result:?}");
            world.run(300);
            let shown = (world.duty(0, 0), world.hosts_of(0));
            assert_eq!(shown, if first { (duty, 3) } else { (Duty::Open, 6) });
            firsts += u32::from(first);
            if first {
                world.start(1);
                world.until("hand-over", 3_000, |w| w.hosts_of(1) == 6 && w.all_answered());
                world.run(100);
                assert_eq!(world.duty(1, 0), Duty::Closed);
            }
        }
        assert!(firsts > 0, "the command never came first");
    }
}

#[test]
fn a_node_that_leaves_hands_over_first_and_nobody_waits_for_it() {
    for n in [1, 2, 3, 5] {
        let mut world = World::formed(cluster(n, 10));
        world.run(70);
        world.input(0, Input::Leave);
        let mut silent = 0;
        for _ in 0..400 {
            world.run(1);
            silent += u64::from(n > 1 && !world.all_answered());
            if world.seats[0].left {
                world.seats[0].ring = None;
            }
        }
        assert!(world.seats[0].left, "{}", world.describe());
        assert!(silent <= 2, "{n} nodes: {silent} ms silent");
        assert_eq!(world.count(|k| matches!(k, EventKind::Removed { .. })), 0);
        assert_eq!(world.count(|k| matches!(k, EventKind::Regenerated)), 0);
        if n == 1 {
            continue;
        }
        let (state, past) = world.seats[1].hosts.iter().find(|h| h.1 == [NodeId(0)]).unwrap();
        assert!(
            matches!(state, HostState::On | HostState::Steer(_)),
            "steered to who left: {past:?}"
        );
        world.start(0);
        world.until("its return", 2_000, World::whole);
        world.run(100);
        assert!(world.all_answered());
        assert_eq!(world.duty(1, 0), Duty::Open);
    }
}

#[test]
fn a_lost_carrier_silences_at_once_and_moves_that_subnets_vips() {
    let mut world = World::formed(cluster(3, 12));
    let mine: Vec<usize> = (0..12).filter(|v| world.answers(0, *v)).collect();
    world.input(0, Input::Able { subnets: SubnetSet(0b10) });
    for v in &mine {
        assert_eq!(world.answers(0, *v), v % 2 == 1, "vip {v} of subnet {}", v % 2);
    }
    let gap = world.until("hand-over", 100, World::all_answered);
    assert!(gap <= 25, "{gap} ms");
    world.run(100);
    assert!(mine.iter().all(|v| world.answers(0, *v) == (v % 2 == 1)));
    world.input(0, Input::Able { subnets: SubnetSet(0b11) });
    let before: Vec<_> = (0..12).map(|v| world.who(v)).collect();
    world.run(5_000);
    assert_eq!((0..12).map(|v| world.who(v)).collect::<Vec<_>>(), before, "nothing comes back");
}

#[test]
fn a_vip_that_nobody_is_able_to_host_is_not_moved_around() {
    let mut world = World::formed(cluster(3, 6));
    for i in 0..3 {
        world.input(i, Input::Able { subnets: SubnetSet(0b10) });
        world.run(7);
    }
    world.run(300);
    let moves = |w: &World| w.view(0).vips.iter().map(|v| v.moves).sum::<u64>();
    let before = moves(&world);
    world.run(3_000);
    assert_eq!(moves(&world), before);
    assert!((0..6).all(|v| world.who(v).len() == v % 2));
    world.input(1, Input::Able { subnets: SubnetSet(0b11) });
    world.until("an able node", 300, World::all_answered);
}

#[test]
fn a_member_cut_off_on_one_subnet_gives_up_its_vips_there() {
    let mut world = World::formed(cluster(3, 6));
    world.input(2, Input::Linked { subnets: SubnetSet(0b10) });
    world.until("hand-over", 200, |w| (0..6).all(|v| !w.answers(2, v) || v % 2 == 1));
    world.run(200);
    assert!(world.all_answered());
    // All cut on the other subnet: nobody knows better.
    for i in 0..3 {
        world.input(i, Input::Linked { subnets: SubnetSet::EMPTY });
    }
    let before: Vec<_> = (0..6).map(|v| world.who(v)).collect();
    world.run(1_000);
    assert_eq!((0..6).map(|v| world.who(v)).collect::<Vec<_>>(), before);
    // Two nodes cannot tell which of them is cut off.
    let mut world = World::formed(cluster(2, 4));
    world.run(100);
    let before: Vec<_> = (0..4).map(|v| world.who(v)).collect();
    world.input(0, Input::Linked { subnets: SubnetSet(0b10) });
    world.run(1_000);
    assert_eq!((0..4).map(|v| world.who(v)).collect::<Vec<_>>(), before);
}

#[test]
fn persistence_3_comes_home_once_its_host_is_steady() {
    let mut plan = cluster(3, 3);
    for v in &mut plan.vips {
        v.preferred = Some(NodeId(1));
        v.persistence = Persistence::Preferred;
    }
    let mut world = World::formed(plan);
    assert_eq!(world.hosts_of(1), 3, "preferred at first assignment");
    for round in 0..3 {
        world.crash(1);
        world.until("takeover", 300, World::all_answered);
        world.start(1);
        world.until("return of the node", 2_000, World::whole);
        let home = world.until("return of the VIPs", 60_000, |w| w.hosts_of(1) == 3);
        assert!(home >= 2_000 << round, "damped: {home} ms in round {round}");
        assert!(world.all_answered());
    }
    let away = Command::MoveVip { vip: VipId(0), node: NodeId(0) };
    let (result, _) = carry_out(&mut world, 2, 1, away);
    assert_eq!(result, Err("vip#0 is pinned to node#1, which is able: unpin it".into()));
    assert!(carry_out(&mut world, 2, 2, Command::Unpin { vip: VipId(0) }).0.is_ok());
    assert!(carry_out(&mut world, 2, 3, away).0.is_ok());
    assert_eq!(world.view(1).vips[0].persistence, Persistence::Free);
    let pin = Command::Pin { vip: VipId(0), node: Some(NodeId(2)) };
    assert!(carry_out(&mut world, 1, 4, pin).0.is_ok());
    world.until("pinned VIP at home", 20_000, |w| w.who(0) == [2]);
    let here = Command::Pin { vip: VipId(0), node: None };
    assert!(carry_out(&mut world, 1, 5, here).0.is_ok());
    assert_eq!(world.view(0).vips[0].persistence, Persistence::Current);
}
