//! The screen of `top`, drawn at several sizes against the `.screen` files below `expected/` (`BLESS=1` rewrites them:
//! under a line, `^` marks what is reversed), and what its keys do. The program in a real terminal is in `terminal.rs`.

use crate::answer::{case, folder};
use dsc_wire::local::View;
use dsc_wire::{NodeId, Persistence, VipId};
use dscctl::top::order::Order;
use dscctl::top::picture::Picture;
use dscctl::top::screen;
use dscctl::top::state::{Effect, Key, Mode, State};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};

fn picture(name: &str) -> Picture {
    let case = case(name);
    Picture::new(&case.view, &case.events, case.now, case.wall_ms)
}

/// Sixteen nodes with sixteen VIPs each, all kinds of pins among them.
fn wide() -> Picture {
    let case = case("steady");
    let mut view: View = case.view.clone();
    let (node, vip) = (view.nodes[0].clone(), view.vips[0].clone());
    view.names.nodes = (1..=16).map(|n| format!("node{n:02}")).collect();
    view.nodes = vec![node; 16];
    for (index, node) in view.nodes.iter_mut().enumerate() {
        node.id = NodeId(index as u8);
        node.load.cpu_permille = 1 << (index % 10);
        node.load.bytes_per_s = vec![1 << (2 * index), 1 << (32 - 2 * index)];
    }
    view.members = view.nodes.iter().map(|n| n.id).collect();
    let address = |n: u16| IpAddr::V4(Ipv4Addr::from(0x0a01_0000 + 100 + u32::from(n)));
    view.names.vips = (0..256).map(address).collect();
    view.names.vip_subnets = vec![view.names.vip_subnets[0]; 256];
    view.vips = vec![vip; 256];
    for (index, vip) in view.vips.iter_mut().enumerate() {
        vip.id = VipId(index as u16);
        vip.host = Some(NodeId((index / 16) as u8));
        let kinds = [Persistence::Free, Persistence::Current, Persistence::Preferred];
        vip.persistence = kinds[index % 3];
        vip.preferred = (index % 3 == 2).then_some(NodeId((index % 16) as u8));
    }
    Picture::new(&view, &case.events, case.now, case.wall_ms)
}

/// The screen as text.
fn drawn(picture: &Picture, state: &State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let frame = terminal
        .draw(|frame| {
            let area = frame.area();
            screen::draw(frame.buffer_mut(), area, picture, state);
        })
        .unwrap();
    let mut page = String::new();
    for y in 0..height {
        let cells = || (0..width).map(|x| &frame.buffer[(x, y)]);
        let text: String = cells().map(|c| c.symbol()).collect();
        writeln!(page, "{}", text.trim_end()).unwrap();
        let reversed = |modifier: Modifier| modifier.contains(Modifier::REVERSED);
        let marks: String = cells().map(|c| if reversed(c.modifier) { '^' } else { ' ' }).collect();
        if !marks.trim().is_empty() {
            writeln!(page, "{}", marks.trim_end()).unwrap();
        }
    }
    page
}

/// The state after these keys, none of which may be an order.
fn after(picture: &Picture, keys: &[Key]) -> State {
    let mut state = State::default();
    for key in keys {
        assert_eq!(state.step(*key, picture, true), Effect::None, "{key:?}");
    }
    state
}

use Key::{Char, Down, Enter, Escape, Left, Right, Up};

#[test]
fn every_screen_is_as_expected() {
    let mut lost = picture("steady");
    lost.lost = Some("cannot ask /run/dsc/status: no dsc-ringd is running on this node".into());
    let said = State {
        said: Some(
            "cannot move 10.1.0.100 to n3: n3 is closed, and a sentence that is far too long for \
             one line of a small terminal goes on in the next"
                .into(),
        ),
        ..State::default()
    };
    let confirm = after(&wide(), &[Down, Down, Char('m'), Right, Enter]);
    let running = State { running: Some(Order::Drain("n2".into())), ..State::default() };
    let look = State::default();
    let screens: Vec<(&str, Picture, State)> = vec![
        ("steady", picture("steady"), after(&picture("steady"), &[Right, Down])),
        ("crash", picture("crash"), look.clone()),
        ("handover", picture("handover"), running),
        ("minority", picture("minority"), said),
        ("paths", picture("paths"), look.clone()),
        ("starting", picture("starting"), look.clone()),
        ("troubled", picture("troubled"), look.clone()),
        ("alone", picture("alone"), look.clone()),
        ("checks", picture("checks"), look.clone()),
        ("lost", lost, look.clone()),
        ("keys", picture("steady"), after(&picture("steady"), &[Char('?')])),
        ("choose", wide(), after(&wide(), &[Left, Down, Char('p'), Left, Left])),
        ("wide", wide(), confirm),
    ];
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for (name, picture, state) in &screens {
        let mut page = String::new();
        for (width, height) in [(80, 24), (200, 60), (40, 16), (20, 5)] {
            if (width, height) == (200, 60)
                && !["steady", "troubled", "wide", "checks"].contains(name)
            {
                continue;
            }
            let screen = drawn(picture, state, width, height);
            write!(page, "{width}x{height}\n{screen}").unwrap();
        }
        let expected = folder("expected").join(format!("top-{name}")).with_extension("screen");
        if bless {
            fs::write(&expected, page).unwrap();
        } else if fs::read_to_string(&expected).ok().as_ref() != Some(&page) {
            wrong.push(format!("{}\n{page}", expected.display()));
        }
    }
    assert!(wrong.is_empty(), "BLESS=1 rewrites what is expected\n{}", wrong.join("\n"));
}

/// No size and no selection may panic, and from the least size on what is asked is always on the screen.
#[test]
fn any_size_is_drawn() {
    for picture in [wide(), picture("crash"), picture("starting")] {
        for keys in [&[][..], &[Down, Char('m'), Right, Enter], &[Right, Right, Down, Down, Down]] {
            let state = after(&picture, keys);
            for (width, height) in (1..64).map(|n| (n * 4, n)).chain((1..50).map(|n| (n, 60 - n))) {
                let screen = drawn(&picture, &state, width, height);
                let fits = screen::fits(Rect::new(0, 0, width, height));
                if let Mode::Confirm(_) = state.mode {
                    assert_eq!(fits, screen.contains("? y/n"), "{width}x{height}\n{screen}");
                }
            }
        }
    }
}

#[test]
fn the_selection_walks_through_nodes_and_vips_and_follows_a_vip() {
    let picture = picture("steady");
    let at = |keys: &[Key]| {
        let state = after(&picture, keys);
        let (column, vip) = state.selected(&picture);
        (picture.columns()[column].name().to_owned(), vip.map(|v| v.address.clone()))
    };
    let node = |name: &str| (name.to_owned(), None);
    let vip = |name: &str, address: &str| (name.to_owned(), Some(address.to_owned()));
    assert_eq!(at(&[]), node("n1"));
    assert_eq!(at(&[Up]), node("n1"));
    assert_eq!(at(&[Right]), node("n2"));
    assert_eq!(at(&[Left]), node("n3"));
    assert_eq!(at(&[Right, Right, Right]), node("n1"));
    assert_eq!(at(&[Down]), vip("n1", "10.1.0.100"));
    assert_eq!(at(&[Down, Down]), vip("n1", "fd00:1::100"));
    assert_eq!(at(&[Down, Down, Down]), vip("n1", "fd00:1::100"));
    assert_eq!(at(&[Down, Down, Up]), vip("n1", "10.1.0.100"));
    assert_eq!(at(&[Down, Up]), node("n1"));
    assert_eq!(at(&[Down, Down, Left]), vip("n3", "10.1.0.102"));
    assert_eq!(at(&[Down, Escape]), node("n1"));

    let state = after(&picture, &[Down]);
    let mut later = picture.clone();
    later.status.vips[0].host = Some("n3".into());
    let (column, vip) = state.selected(&later);
    assert_eq!((column, vip.unwrap().address.as_str()), (2, "10.1.0.100"));
    later.status.vips.remove(0);
    assert_eq!(state.selected(&later), (0, None));
}

#[test]
fn each_change_is_asked_for_and_done_only_at_yes() {
    let picture = picture("steady");
    let vip: IpAddr = "10.1.0.100".parse().unwrap();
    let move_to = |node: &str| Order::Move(vip, node.into());
    let pin = |node: Option<&str>| Order::Pin(vip, node.map(str::to_owned));
    for (keys, expected) in [
        (&[Down, Char('m'), Enter][..], move_to("n2")),
        (&[Down, Char('m'), Right, Enter], move_to("n3")),
        (&[Down, Char('m'), Left, Left, Enter], move_to("n3")),
        (&[Down, Char('p'), Enter], pin(None)),
        (&[Down, Char('p'), Right, Enter], pin(Some("n1"))),
        (&[Down, Char('p'), Left, Enter], pin(Some("n3"))),
        (&[Down, Char('u')], Order::Unpin(vip)),
        (&[Right, Char('o')], Order::Open("n2".into())),
        (&[Right, Char('c')], Order::Close("n2".into())),
        (&[Right, Char('d')], Order::Drain("n2".into())),
    ] {
        let asked = after(&picture, keys);
        assert_eq!(asked.mode, Mode::Confirm(expected.clone()));
        for other in [Enter, Right, Char('x'), Char(' ')] {
            let mut state = asked.clone();
            assert_eq!(state.step(other, &picture, true), Effect::None);
            assert_eq!(state, asked, "{other:?} is no answer");
        }
        for no in [Char('n'), Char('q'), Escape] {
            let mut state = asked.clone();
            assert_eq!(state.step(no, &picture, true), Effect::None);
            assert_eq!((&state.mode, &state.running), (&Mode::Look, &None));
            assert_eq!(state.said.as_deref(), Some("nothing was changed"));
        }
        let mut state = asked.clone();
        assert_eq!(state.step(Char('y'), &picture, false), Effect::None, "nobody could read it");
        assert_eq!(state, asked);
        assert_eq!(state.step(Char('y'), &picture, true), Effect::Do(expected.clone()));
        assert_eq!((&state.mode, &state.running), (&Mode::Look, &Some(expected.clone())));
        // One after the other.
        for key in keys {
            assert_eq!(state.step(*key, &picture, true), Effect::None);
        }
        assert!(state.mode == Mode::Look && state.running == Some(expected), "{state:?}");
        state.answered("10.1.0.100 is free; all 3 members show it".into());
        assert_eq!(state.running, None);
        assert!(state.said.unwrap().contains("all 3 members"));
    }
}

#[test]
fn what_cannot_be_meant_is_said_and_changes_nothing() {
    let steady = picture("steady");
    let mut lost = steady.clone();
    lost.lost = Some("no answer".into());
    let mut nobody = steady.clone();
    nobody.status.vips[0].host = None;
    let mut single = steady.clone();
    single.status.nodes.truncate(1);
    for (picture, keys, said) in [
        (&steady, &[Char('m')][..], "select a VIP first, with the arrows"),
        (&steady, &[Char('u')], "select a VIP first, with the arrows"),
        (&steady, &[Down, Char('d')], "select a node first: up to its name"),
        (&lost, &[Down, Char('m')], "the picture is old: wait until dsc-ringd answers"),
        (&nobody, &[Left, Char('c')], "this is no node"),
        (&single, &[Down, Char('m')], "there is no other node"),
    ] {
        let state = after(picture, keys);
        assert_eq!(state.said.as_deref(), Some(said));
        assert_eq!((&state.mode, &state.running), (&Mode::Look, &None));
    }
}

#[test]
fn leaving_is_possible_wherever_one_is() {
    let picture = picture("steady");
    for keys in [&[][..], &[Char('?')], &[Down, Char('m')], &[Down, Char('u')]] {
        let mut state = after(&picture, keys);
        assert_eq!(state.step(Key::Interrupt, &picture, true), Effect::Quit);
        assert_eq!(state.step(Key::Interrupt, &picture, false), Effect::Quit);
        assert_eq!(state.step(Char('q'), &picture, false), Effect::Quit);
    }
    assert_eq!(after(&picture, &[]).step(Char('q'), &picture, true), Effect::Quit);
    assert_eq!(after(&picture, &[Char('?'), Char('q')]).mode, Mode::Look);
}
