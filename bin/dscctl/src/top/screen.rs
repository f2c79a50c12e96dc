//! The screen, as a pure function of picture, state and size: the ring, what is not green, the nodes side by side
//! (`columns.rs`), the last events, what is selected, and the line where questions are asked and answered.

use super::columns;
use super::picture::Picture;
use super::state::{Mode, State};
use crate::show_text::{percent, persistence, serving, state as ring_state, traffic, words};
use crate::shown::NodeRow;
use dsc_wire::Light;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

/// A smaller screen has no room for a question and what it is about.
const LEAST: (u16, u16) = (40, 16);

/// What the keys do.
pub const KEYS: &[(&str, &str)] = &[
    ("arrows, hjkl", "select a node, or one of its VIPs; Tab too"),
    ("m", "move the VIP: then choose a node"),
    ("p", "pin the VIP to a node, or where it is"),
    ("u", "unpin the VIP"),
    ("o", "open the node"),
    ("c", "close the node: its VIPs go at once"),
    ("d", "drain the node: its VIPs go one by one"),
    ("Enter, y", "take what is chosen; yes"),
    ("Esc, n", "let it be; no"),
    ("?", "these keys"),
    ("q, Ctrl-C", "quit"),
];

/// What stands before a VIP.
pub const MARKS: &[(&str, &str)] = &[
    ("+", "pinned where it is (persistence 1)"),
    ("#", "on its preferred host (persistence 3)"),
    ("^", "away from its preferred host"),
    (">", "being handed over"),
    ("~", "fenced: its host is lost"),
    ("!", "not served; after a subnet: cannot host there"),
    (". ? X", "checks of a node: green, yellow, red"),
];

/// Is there room for everything that must be seen?
pub fn fits(area: Rect) -> bool {
    area.width >= LEAST.0 && area.height >= LEAST.1
}

/// Draws it all on an empty buffer.
pub fn draw(buffer: &mut Buffer, area: Rect, picture: &Picture, state: &State) {
    let mut page = Page { buffer, area, top: area.top(), bottom: area.bottom() };
    if !fits(area) {
        let (width, height) = LEAST;
        for text in ["dscctl top:".into(), format!("needs {width}x{height}"), "q quits".into()] {
            page.line(&text, Style::new());
        }
        return;
    }
    let bold = Style::new().add_modifier(Modifier::BOLD);
    page.line(&ring(picture), bold);
    if state.mode == Mode::Keys {
        page.rule("keys; any key ends this");
        for (key, meaning) in KEYS.iter().chain(MARKS) {
            page.line(&format!("{key:<14}{meaning}"), Style::new());
        }
        return;
    }
    warnings(&mut page, picture);
    foot(&mut page, picture, state);
    events(&mut page, picture);
    let (wide, title) = columns::fit(area.width, picture, state);
    page.rule(&title);
    let rest = Rect::new(area.left(), page.top, area.width, page.bottom - page.top);
    columns::draw(page.buffer, rest, picture, state, wide);
}

/// Lines that have not been drawn yet: from the top down, and from the bottom up.
struct Page<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
    top: u16,
    bottom: u16,
}

impl Page<'_> {
    fn line(&mut self, text: &str, style: Style) {
        if self.top < self.bottom {
            self.put(self.top, text, style);
            self.top += 1;
        }
    }

    fn line_below(&mut self, text: &str, style: Style) {
        if self.top < self.bottom {
            self.bottom -= 1;
            self.put(self.bottom, text, style);
        }
    }

    fn rule(&mut self, title: &str) {
        let text = format!("── {title} {}", "─".repeat(self.area.width.into()));
        self.line(&text, Style::new().fg(Color::DarkGray));
    }

    fn put(&mut self, y: u16, text: &str, style: Style) {
        self.buffer.set_stringn(self.area.left(), y, text, self.area.width.into(), style);
    }
}

fn ring(picture: &Picture) -> String {
    let status = &picture.status;
    let left = match status.lease_valid {
        true => format!("{} of {} ms", status.lease_left_ms, status.lease_ms),
        false => "over".to_owned(),
    };
    format!(
        "{}: {} {}, {} of {} in ring, epoch {}, rotation {:.1} ms, lease {left}",
        status.cluster,
        status.node,
        ring_state(status.state),
        status.members.len(),
        status.nodes.len(),
        status.epoch,
        status.rotation_us as f64 / 1000.0,
    )
}

/// In the words of `status`, as many as there is room for; that we are cut off comes first.
fn warnings(page: &mut Page, picture: &Picture) {
    let lost = picture.lost.iter().map(|why| format!("this is old: {why}"));
    let told = picture.status.warnings.iter().map(|w| w.text.clone());
    let all: Vec<String> = lost.chain(told).collect();
    let room = usize::from(page.area.height / 6);
    let shown = if all.len() > room { room - 1 } else { all.len() };
    let style = Style::new().fg(Color::Red);
    for text in &all[..shown] {
        page.line(&format!("! {text}"), style);
    }
    if shown < all.len() {
        page.line(&format!("! and {} more: dscctl status", all.len() - shown), style);
    }
}

fn events(page: &mut Page, picture: &Picture) {
    let room = usize::from(page.area.height / 8);
    for event in picture.events.iter().rev().take(room) {
        // The time of day: what is on this screen is of today.
        let time = event.wall.get(11..19).unwrap_or_default();
        page.line_below(&format!("{time}  {:<8}  {}", event.node, event.text), Style::new());
    }
}

/// What is selected, and below it what is asked or was said, on two lines if it is long.
fn foot(page: &mut Page, picture: &Picture, state: &State) {
    let reversed = Style::new().add_modifier(Modifier::REVERSED);
    let (text, style) = match &state.mode {
        Mode::Confirm(order) => (format!("{}? y/n", order.text()), reversed),
        Mode::Choose { vip, pin, node } => {
            let node =
                node.and_then(|node| picture.status.nodes.get(node)).map(|n| n.name.as_str());
            let whither = node.map_or("where it is".to_owned(), |node| format!("to {node}"));
            let verb = if *pin { "pin" } else { "move" };
            let text = format!("{verb} {vip} {whither}? arrows choose, Enter takes, Esc lets be");
            (text, reversed)
        }
        Mode::Look | Mode::Keys => match (&state.said, &state.running) {
            (Some(said), _) => (said.clone(), Style::new().fg(Color::Yellow)),
            (None, Some(order)) => (format!("asked to {}; waiting", order.text()), Style::new()),
            (None, None) => {
                let keys = "m move  p pin  u unpin  o open  c close  d drain  ? keys  q quit";
                (keys.to_owned(), Style::new().fg(Color::DarkGray))
            }
        },
    };
    let lines = wrapped(&text, page.area.width.into());
    let most = if matches!(state.mode, Mode::Look | Mode::Keys) { 2 } else { lines.len() };
    for line in lines.iter().take(most).rev() {
        page.line_below(line, style);
    }
    let selected = selected(picture, state);
    page.line_below(&selected, Style::new());
}

fn selected(picture: &Picture, state: &State) -> String {
    match state.selected(picture) {
        (_, Some(vip)) => {
            let preferred = vip.preferred.iter().map(|node| format!(" {node}")).collect::<String>();
            let past = if vip.past.is_empty() { String::new() } else { words(&vip.past) };
            let before = if past.is_empty() { past } else { format!(", before on {past}") };
            format!(
                "{} on {}: {}, {}{preferred}, moves {}{before}",
                vip.address,
                vip.subnet,
                serving(vip),
                persistence(vip.persistence),
                vip.moves
            )
        }
        (column, None) => match picture.columns().get(column).and_then(|c| c.node) {
            Some(node) => format!(
                "{}: {} VIPs, able {}, cpu {}, {}{}",
                node.name,
                node.vips.len(),
                words(&node.able),
                percent(node.cpu_permille),
                traffic(node),
                dark(node)
            ),
            None => "VIPs that no node hosts".into(),
        },
    }
}

/// The checks that are not green.
fn dark(node: &NodeRow) -> String {
    let dark = node.lights.iter().filter(|(_, light)| **light != Light::Green);
    dark.map(|(check, light)| format!(", {check} {light}")).collect()
}

/// Lines no longer than `width`, broken between words where that is possible.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is always one");
        if last.is_empty() {
            *last = word.to_owned();
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            *last = format!("{last} {word}");
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
