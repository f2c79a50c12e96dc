//! The states that operators give to backends (rule 18): each story names what is asked for, what goes wrong, and what every
//! node must show.

use crate::world::{World, cluster};
use dsc_ring::Input;
use dsc_wire::local::{BackendView, Command, EventKind};
use dsc_wire::token::BackendRecord;
use dsc_wire::*;

const WALL_MS: u64 = 1_700_000_000_000;

/// A formed ring whose clocks agree.
fn formed(nodes: usize) -> World {
    let mut world = World::formed(cluster(nodes, 4));
    clocks(&mut world, WALL_MS);
    world.run(50);
    world
}

fn clocks(world: &mut World, wall_ms: u64) {
    for i in world.running() {
        world.input(i, Input::Wall { wall_ms });
    }
}

fn order(backend: u16, state: BackendState) -> Command {
    Command::Backend { backend: BackendId(backend), state }
}

fn done(world: &World, at: usize, id: u64) -> Option<Result<String, String>> {
    world.seats[at].done.iter().find(|(done, _)| *done == id).map(|(_, result)| result.clone())
}

/// Gives the command to node `at` and waits for its end.
fn carry_out(world: &mut World, at: usize, id: u64, command: Command) -> Result<String, String> {
    world.input(at, Input::Command { id, command });
    world.until("an end of the command", 1_000, |w| done(w, at, id).is_some());
    done(world, at, id).unwrap()
}

/// What a node shows, without when and by whom.
fn shown(world: &World, i: usize) -> Vec<(u16, BackendState)> {
    world.view(i).backends.iter().map(|b| (b.id.0, b.state)).collect()
}

fn all_show(world: &World, wanted: &[(u16, BackendState)]) -> bool {
    world.running().iter().all(|i| shown(world, *i) == wanted)
}

use BackendState::{Disabled, Draining, Enabled};

#[test]
fn a_state_is_in_every_view_when_the_command_is_done() {
    for n in [1, 2, 3, 8] {
        for at in 0..n {
            let mut world = formed(n);
            world.run(3 * at as u64);
            let start = world.now;
            assert_eq!(
                carry_out(&mut world, at, 1, order(2, Draining)),
                Ok("backend#2 is draining".to_owned())
            );
            assert!(world.now.since(start).as_millis() <= 30, "{:?}", world.now.since(start));
            assert!(all_show(&world, &[(2, Draining)]), "{n} nodes: {}", world.describe());
            let by = NodeId(at as u8);
            let BackendView { changed_ms, by: shown_by, .. } = world.view(n - 1).backends[0];
            assert_eq!(shown_by, by);
            assert!((WALL_MS..WALL_MS + 1_000).contains(&changed_ms), "{changed_ms}");
            world.run(100);
            for i in 0..n {
                let wanted = EventKind::BackendChanged { backend: BackendId(2), state: Draining };
                let told = world.seats[i].events.iter().filter(|e| e.kind == wanted);
                assert_eq!(told.map(|e| e.node).collect::<Vec<_>>(), [by], "log of n{i}");
            }
        }
    }
}

#[test]
fn a_reader_is_told_of_the_new_view() {
    let mut world = formed(3);
    world.run(100);
    let before: Vec<u64> = world.seats.iter().map(|s| s.changes).collect();
    carry_out(&mut world, 0, 1, order(0, Disabled)).unwrap();
    for (seat, before) in world.seats.iter().zip(before) {
        assert!(seat.changes > before);
    }
}

#[test]
fn what_differs_from_the_file_and_what_does_not_are_both_kept() {
    let mut world = formed(3);
    // The file enables 0 and disables 1.
    carry_out(&mut world, 0, 1, order(1, Enabled)).unwrap();
    assert!(all_show(&world, &[(1, Enabled)]));
    carry_out(&mut world, 2, 2, order(1, Disabled)).unwrap();
    carry_out(&mut world, 1, 3, order(0, Enabled)).unwrap();
    assert!(all_show(&world, &[(0, Enabled), (1, Disabled)]), "{}", world.describe());
}

#[test]
fn a_backend_that_is_not_there_is_refused_and_nothing_changes() {
    let mut world = formed(2);
    let refused = carry_out(&mut world, 0, 1, order(3, Disabled));
    assert_eq!(refused, Err("there is no backend#3".to_owned()));
    world.run(100);
    assert!(all_show(&world, &[]));
}

#[test]
fn a_ring_without_states_carries_none_and_one_with_them_does_not_turn_faster() {
    let mut world = formed(3);
    let turns = |world: &mut World| {
        world.run(500);
        let before = world.seats[0].sent;
        world.run(1_000);
        world.tamper = Some(|_| ());
        world.run(30);
        world.seats[0].sent - before
    };
    let idle = turns(&mut world);
    assert_eq!(world.last_token.as_ref().map(|t| t.backends.len()), Some(0));
    carry_out(&mut world, 0, 1, order(0, Disabled)).unwrap();
    let carrying = turns(&mut world);
    assert_eq!(world.last_token.as_ref().map(|t| t.backends.len()), Some(1));
    assert!(carrying <= idle + 1, "{idle} and {carrying} turns");
}

#[test]
fn the_last_of_those_who_saw_it_brings_it_to_all_others() {
    for last in 0..4 {
        let mut world = formed(4);
        carry_out(&mut world, 0, 1, order(0, Disabled)).unwrap();
        for i in (0..4).filter(|i| *i != last) {
            world.crash(i);
        }
        world.run(300);
        assert!(all_show(&world, &[(0, Disabled)]), "{}", world.describe());
        for i in (0..4).filter(|i| *i != last) {
            world.start(i);
        }
        world.until("the whole ring", 3_000, World::whole);
        world.run(100);
        assert!(all_show(&world, &[(0, Disabled)]), "{}", world.describe());
    }
}

#[test]
fn a_daemon_that_was_started_again_learns_it() {
    let mut world = formed(3);
    carry_out(&mut world, 0, 1, order(2, Draining)).unwrap();
    world.kill(0);
    world.start(0);
    assert_eq!(shown(&world, 0), [], "a new life knows nothing yet");
    world.until("the whole ring", 2_000, World::whole);
    world.until("the state here", 100, |w| all_show(w, &[(2, Draining)]));
}

#[test]
fn a_cluster_that_was_off_has_the_states_of_the_file() {
    let mut world = formed(3);
    carry_out(&mut world, 0, 1, order(0, Disabled)).unwrap();
    (0..3).for_each(|i| world.crash(i));
    (0..3).for_each(|i| world.start(i));
    world.until("the whole ring", 3_000, World::whole);
    assert!(all_show(&world, &[]), "{}", world.describe());
}

fn part(world: &mut World, cut: bool) {
    for a in 0..2 {
        for b in 2..5 {
            world.cut_both(a, b, cut);
        }
    }
}

#[test]
fn of_what_both_sides_of_a_cut_changed_the_later_is_in_force_when_they_meet() {
    // The later word is given in the lesser or in the greater ring: which one gives itself up does not matter.
    for (first, second) in [(0, 4), (4, 0)] {
        let mut world = formed(5);
        carry_out(&mut world, 3, 1, order(0, Disabled)).unwrap();
        part(&mut world, true);
        world.run(1_000);
        carry_out(&mut world, first, 2, order(0, Enabled)).unwrap();
        carry_out(&mut world, first, 3, order(1, Enabled)).unwrap();
        world.run(20);
        carry_out(&mut world, second, 4, order(0, Draining)).unwrap();
        carry_out(&mut world, second, 5, order(2, Disabled)).unwrap();
        part(&mut world, false);
        world.until("one ring", 1_000, World::whole);
        world.run(100);
        let wanted = [(0, Draining), (1, Enabled), (2, Disabled)];
        assert!(all_show(&world, &wanted), "{}", world.describe());
        let first = world.view(0).backends;
        assert!((1..5).all(|i| world.view(i).backends == first), "when and by whom, too");
        world.two_answers.clear();
    }
}

/// The word is the same as what was in force, and says so to the other side all the same.
#[test]
fn a_word_that_changes_nothing_here_is_a_word() {
    let mut world = formed(5);
    part(&mut world, true);
    world.run(1_000);
    carry_out(&mut world, 4, 1, order(0, Disabled)).unwrap();
    world.run(20);
    carry_out(&mut world, 0, 2, order(0, Enabled)).unwrap();
    part(&mut world, false);
    world.until("one ring", 1_000, World::whole);
    world.run(100);
    assert!(all_show(&world, &[(0, Enabled)]), "{}", world.describe());
    world.two_answers.clear();
}

#[test]
fn a_later_word_is_later_though_its_clock_is_behind() {
    let mut world = formed(3);
    world.input(0, Input::Wall { wall_ms: WALL_MS + 3_600_000 });
    carry_out(&mut world, 0, 1, order(0, Disabled)).unwrap();
    let ahead = world.view(1).backends[0].changed_ms;
    carry_out(&mut world, 1, 2, order(0, Enabled)).unwrap();
    assert!(all_show(&world, &[(0, Enabled)]), "{}", world.describe());
    assert_eq!(world.view(2).backends[0].changed_ms, ahead + 1);
}

#[test]
fn one_of_two_words_at_once_is_refused_or_both_are_done_in_turn() {
    let mut world = formed(3);
    for (at, id, state) in [(0, 1, Disabled), (1, 2, Draining), (2, 3, Disabled)] {
        world.input(at, Input::Command { id, command: order(0, state) });
    }
    world.until("all ends", 1_000, |w| (0..3).all(|i| done(w, i, i as u64 + 1).is_some()));
    world.run(100);
    let state = shown(&world, 0)[0].1;
    assert!(all_show(&world, &[(0, state)]), "{}", world.describe());
    let ends: Vec<_> = (0..3).map(|i| done(&world, i, i as u64 + 1).unwrap()).collect();
    for (i, wanted) in [(0, Disabled), (1, Draining), (2, Disabled)] {
        match &ends[i] {
            Ok(text) => assert_eq!(*text, format!("backend#0 is {wanted}")),
            Err(reason) => assert_eq!(reason, "another command has undone it"),
        }
    }
    assert!(ends.iter().any(Result::is_ok), "{ends:?}");
}

/// A token that was made again from an older copy shows less than its members have seen.
#[test]
fn a_token_that_shows_less_than_was_seen_is_put_right_and_nothing_is_done_before() {
    let mut world = formed(3);
    carry_out(&mut world, 0, 1, order(0, Disabled)).unwrap();
    carry_out(&mut world, 0, 2, order(2, Draining)).unwrap();
    world.run(100);
    world.tamper = Some(|token| {
        token.backends.remove(0);
        token.backends[0].state = Enabled;
        token.backends[0].changed_ms -= 1;
        token.key.epoch.counter += 1;
    });
    world.run(100);
    assert!(all_show(&world, &[(0, Disabled), (2, Draining)]), "{}", world.describe());
    world.tamper = Some(|_| ());
    world.run(30);
    let token = world.last_token.as_ref().expect("a token under way");
    assert_eq!(token.backends.len(), 2, "{:?}", token.backends);
}

#[test]
fn a_token_of_backends_that_are_not_configured_is_a_strangers() {
    let mut world = formed(3);
    world.run(50);
    world.tamper = Some(|token| {
        token.backends.push(BackendRecord {
            backend: BackendId(3),
            state: Disabled,
            changed_ms: 1,
            by: NodeId(0),
            extra: Vec::new(),
        });
    });
    world.until("the ring without it", 2_000, |w| w.tamper.is_none() && w.whole());
    world.run(200);
    world.until("the whole ring", 2_000, World::whole);
    assert!(all_show(&world, &[]), "{}", world.describe());
}
