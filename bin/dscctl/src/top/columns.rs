//! The nodes side by side: what each does, how loaded it is, and its VIPs with their pins. Part of the screen; pure.

use super::picture::{Column, Picture};
use super::state::{Mode, State};
use super::thermometer::{CPU, Scale, TRAFFIC, bar};
use crate::show_text::{bytes_per_s, duty, percent};
use crate::shown::{NodeRow, Serving, VipRow};
use dsc_wire::local::Duty;
use dsc_wire::{Light, Persistence};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

/// A column with the blank beside it: a pin and the address of most VIPs.
const WIDTH_MIN: u16 = 12;
/// Wider, a bar says no more.
const WIDTH_MAX: u16 = 40;
/// One of several VIPs in a line, with the blank beside it.
const CELL_MIN: usize = 14;
/// From here on a bar has its figure beside it.
const FIGURE_MIN: usize = 24;
/// The longest figure, and the blank before it.
const FIGURE: usize = 11;
/// The name of a subnet beside its bar, and the sign that the node cannot host there.
const LABEL: usize = 4;

/// Which columns are on the screen, and how wide each is.
#[derive(Clone, Copy)]
pub struct Wide {
    first: usize,
    count: usize,
    width: u16,
}

/// As many columns as have room, with the one that matters among them; and words for the line above.
pub fn fit(width: u16, picture: &Picture, state: &State) -> (Wide, String) {
    let all = picture.columns().len();
    let each = width / u16::try_from(all.max(1)).unwrap_or(u16::MAX);
    let each = each.clamp(WIDTH_MIN, WIDTH_MAX);
    let count = usize::from(width / each).clamp(1, all.max(1));
    let at = target(state).unwrap_or_else(|| state.selected(picture).0);
    let first = (at / count * count).min(all.saturating_sub(count));
    let title = match count >= all {
        true => "nodes".to_owned(),
        false => format!("nodes, {} to {} of {all}", first + 1, first + count),
    };
    (Wide { first, count, width: each }, title)
}

/// The node that is being chosen.
fn target(state: &State) -> Option<usize> {
    match state.mode {
        Mode::Choose { node, .. } => node,
        _ => None,
    }
}

/// Draws them.
pub fn draw(buffer: &mut Buffer, area: Rect, picture: &Picture, state: &State, wide: Wide) {
    let (selected, vip) = state.selected(picture);
    for (place, column) in picture.columns().iter().enumerate().skip(wide.first).take(wide.count) {
        let x = area.left() + (place - wide.first) as u16 * wide.width;
        let width = (wide.width - 1).min(area.right().saturating_sub(x));
        let mut pen = Pen { buffer, x, y: area.top(), width: width.into(), bottom: area.bottom() };
        let mut name = Style::new().add_modifier(Modifier::BOLD);
        let chosen = target(state).map_or(place == selected && vip.is_none(), |t| t == place);
        if chosen {
            name = name.add_modifier(Modifier::REVERSED);
        }
        let here = if column.name() == picture.status.node { "*" } else { "" };
        pen.line(&format!("{}{here}", column.name()), name);
        if let Some(node) = column.node {
            head(&mut pen, node);
        }
        vips(&mut pen, &picture.vips_of(*column), *column, vip);
    }
}

/// Where the next line of a column goes.
struct Pen<'a> {
    buffer: &'a mut Buffer,
    x: u16,
    y: u16,
    width: usize,
    bottom: u16,
}

impl Pen<'_> {
    fn line(&mut self, text: &str, style: Style) {
        self.put(0, text, self.width, style);
        self.y += 1;
    }

    fn put(&mut self, across: usize, text: &str, width: usize, style: Style) {
        if self.y < self.bottom {
            self.buffer.set_stringn(self.x + across as u16, self.y, text, width, style);
        }
    }

    fn left(&self) -> usize {
        self.bottom.saturating_sub(self.y).into()
    }
}

/// State, duty and thermometers.
fn head(pen: &mut Pen, node: &NodeRow) {
    let (text, colour) = match (node.member, node.duty) {
        (false, _) => ("not in ring", Color::Red),
        (true, Duty::Open) => ("open", Color::Green),
        (true, other) => (duty(other), Color::Yellow),
    };
    pen.line(text, Style::new().fg(colour));
    lights(pen, node);
    let cpu = percent(node.cpu_permille);
    thermometer(pen, "cpu", CPU, f64::from(node.cpu_permille), &cpu, node.member);
    for (subnet, bytes) in &node.bytes_per_s {
        let able = node.able.contains(subnet) || node.duty == Duty::Witness;
        let mut label: String = subnet.chars().take(LABEL - 1).collect();
        if node.member && !able {
            label.push('!');
        }
        thermometer(pen, &label, TRAFFIC, *bytes as f64, &bytes_per_s(*bytes), node.member);
    }
}

/// A sign for each check, in the order of their names; the first that do not fit are left out only if they are green.
fn lights(pen: &mut Pen, node: &NodeRow) {
    if node.lights.is_empty() {
        return;
    }
    pen.put(0, "chk", LABEL, Style::new());
    let room = pen.width.saturating_sub(LABEL);
    let green = node.lights.values().filter(|light| **light == Light::Green).count();
    let hidden = node.lights.len().saturating_sub(room).min(green);
    let mut left = hidden;
    let shown = node.lights.values().filter(|light| {
        let leave = left > 0 && **light == Light::Green;
        left -= usize::from(leave);
        !leave
    });
    for (place, light) in shown.take(room).enumerate() {
        let (sign, colour) = match light {
            Light::Green => (".", Color::Green),
            Light::Yellow => ("?", Color::Yellow),
            Light::Red => ("X", Color::Red),
        };
        pen.put(LABEL + place, sign, 1, Style::new().fg(colour));
    }
    pen.y += 1;
}

fn thermometer(pen: &mut Pen, label: &str, scale: Scale, value: f64, figure: &str, known: bool) {
    let figured = if pen.width >= FIGURE_MIN { FIGURE } else { 0 };
    let cells = pen.width.saturating_sub(LABEL + figured);
    let able = if label.ends_with('!') { Style::new().fg(Color::Red) } else { Style::new() };
    pen.put(0, label, LABEL, able);
    // What a node outside last said of itself is no longer so.
    let drawn = if known { bar(scale, value, cells) } else { "?".to_owned() };
    pen.put(LABEL, &drawn, cells, Style::new().fg(Color::Cyan));
    if figured > 0 && known {
        pen.put(LABEL + cells, &format!("{figure:>FIGURE$}"), FIGURE, Style::new());
    }
    pen.y += 1;
}

/// In a grid; if there is no room for all, the page with the selected one, and how many there are besides.
fn vips(pen: &mut Pen, vips: &[&VipRow], column: Column<'_>, selected: Option<&VipRow>) {
    let across = (pen.width / CELL_MIN).max(1);
    let cell = pen.width / across;
    let room = pen.left() * across;
    let (shown, hidden) = if vips.len() <= room {
        (vips, 0)
    } else {
        let page = (pen.left().saturating_sub(1) * across).max(1);
        let at = vips.iter().position(|v| Some(*v) == selected).unwrap_or(0);
        let shown = vips.chunks(page).nth(at / page).unwrap_or_default();
        (shown, vips.len() - shown.len())
    };
    for line in shown.chunks(across) {
        for (place, vip) in line.iter().enumerate() {
            let gap = usize::from(across > 1);
            let (mark, mut style) = mark(vip, column);
            if selected == Some(*vip) {
                style = style.add_modifier(Modifier::REVERSED);
            }
            let address = shortened(&vip.address, cell - gap - 1);
            pen.put(place * cell, &format!("{mark}{address}"), cell - gap, style);
        }
        pen.y += 1;
    }
    if hidden > 0 {
        pen.line(&format!(" +{hidden} more"), Style::new().fg(Color::DarkGray));
    }
}

/// What matters most of a VIP: that it is not served, that it is on its way, or how it is pinned.
fn mark(vip: &VipRow, column: Column<'_>) -> (char, Style) {
    let home = vip.preferred.as_deref() == Some(column.name());
    match (vip.state, vip.persistence) {
        (Serving::Unserved, _) => ('!', Style::new().fg(Color::Red)),
        (Serving::Fenced, _) => ('~', Style::new().fg(Color::Red)),
        (Serving::HandingOver, _) => ('>', Style::new().fg(Color::Yellow)),
        (Serving::Served, Persistence::Free) => (' ', Style::new()),
        (Serving::Served, Persistence::Current) => ('+', Style::new()),
        (Serving::Served, Persistence::Preferred) if home => ('#', Style::new()),
        (Serving::Served, Persistence::Preferred) => ('^', Style::new().fg(Color::Yellow)),
    }
}

/// The end of an address tells it from its neighbours.
fn shortened(address: &str, width: usize) -> String {
    let length = address.chars().count();
    if length <= width {
        return address.to_owned();
    }
    let kept = address.chars().skip(length + 1 - width.max(1));
    std::iter::once('…').chain(kept).take(width).collect()
}
