//! What is selected and asked, and what each key makes of it. Pure: a key and the picture go in, an order may come out.

use super::order::Order;
use super::picture::Picture;
use crate::shown::VipRow;
use std::net::IpAddr;

/// A key, whatever the terminal sent for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// An arrow, or k.
    Up,
    /// An arrow, or j.
    Down,
    /// An arrow, h, or Tab with Shift.
    Left,
    /// An arrow, l, or Tab.
    Right,
    /// Take what is chosen.
    Enter,
    /// Let it be.
    Escape,
    /// Ctrl-C.
    Interrupt,
    /// A letter.
    Char(char),
}

/// What the keys are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only looking.
    Look,
    /// The list of keys is shown.
    Keys,
    /// A node is being chosen for a VIP: to move it there, or to pin it.
    Choose {
        /// The VIP.
        vip: IpAddr,
        /// To pin it?
        pin: bool,
        /// The node, by its place; none: where the VIP is.
        node: Option<usize>,
    },
    /// It is done if the answer is y.
    Confirm(Order),
}

/// What to do after a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Go on.
    None,
    /// Leave.
    Quit,
    /// Carry it out.
    Do(Order),
}

/// The selection, by places that hold while the picture changes, and what was said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The selected VIP; it stays selected wherever it goes.
    pub vip: Option<String>,
    /// The selected column, if no VIP is.
    pub column: usize,
    /// What the keys are about.
    pub mode: Mode,
    /// What is being carried out.
    pub running: Option<Order>,
    /// What became of the last change, or why a key did nothing.
    pub said: Option<String>,
}

impl Default for State {
    fn default() -> State {
        State { vip: None, column: 0, mode: Mode::Look, running: None, said: None }
    }
}

impl State {
    /// Takes a key. A question that cannot be read must not be answered: unless the screen `fits`, only leaving is possible.
    pub fn step(&mut self, key: Key, picture: &Picture, fits: bool) -> Effect {
        if key == Key::Interrupt {
            return Effect::Quit;
        }
        if !fits {
            return if key == Key::Char('q') { Effect::Quit } else { Effect::None };
        }
        match self.mode.clone() {
            Mode::Look => return self.look(key, picture),
            Mode::Keys => self.mode = Mode::Look,
            Mode::Choose { vip, pin, node } => self.choose(key, picture, vip, pin, node),
            Mode::Confirm(order) => match key {
                Key::Char('y' | 'Y') => {
                    self.mode = Mode::Look;
                    self.said = None;
                    self.running = Some(order.clone());
                    return Effect::Do(order);
                }
                Key::Char('n' | 'N' | 'q') | Key::Escape => self.let_be(),
                _ => {}
            },
        }
        Effect::None
    }

    /// The order was carried out, or not.
    pub fn answered(&mut self, said: String) {
        self.running = None;
        self.said = Some(said);
    }

    /// The place of the selected column and, if a VIP is selected, the VIP.
    pub fn selected<'a>(&self, picture: &'a Picture) -> (usize, Option<&'a VipRow>) {
        let columns = picture.columns();
        let vip = self.vip.as_ref();
        let vip = vip.and_then(|v| picture.status.vips.iter().find(|row| row.address == *v));
        let home = |v: &VipRow| {
            columns.iter().position(|c| c.node.map(|n| n.name.as_str()) == v.host.as_deref())
        };
        match vip.and_then(|v| Some((home(v)?, v))) {
            Some((column, vip)) => (column, Some(vip)),
            None => (self.column.min(columns.len().saturating_sub(1)), None),
        }
    }

    fn look(&mut self, key: Key, picture: &Picture) -> Effect {
        let (column, vip) = self.selected(picture);
        self.column = column;
        self.said = None;
        match key {
            Key::Char('q') => return Effect::Quit,
            Key::Char('?') => self.mode = Mode::Keys,
            Key::Escape => self.vip = None,
            Key::Up | Key::Down => self.along(picture, key == Key::Down),
            Key::Left | Key::Right => self.across(picture, key == Key::Right),
            Key::Char(letter @ ('m' | 'p' | 'u' | 'o' | 'c' | 'd')) => {
                if let Some(order) = &self.running {
                    self.said = Some(format!("one after the other: still to {}", order.text()));
                } else if let Err(why) = self.begin(letter, picture, vip) {
                    self.said = Some(why.into());
                }
            }
            Key::Enter | Key::Interrupt | Key::Char(_) => {}
        }
        Effect::None
    }

    /// Up and down: from the node through its VIPs.
    fn along(&mut self, picture: &Picture, down: bool) {
        let Some(column) = picture.columns().get(self.column).copied() else { return };
        let vips = picture.vips_of(column);
        let at = vips.iter().position(|v| Some(&v.address) == self.vip.as_ref());
        let next = match (at, down) {
            (None, true) => Some(0),
            (None, false) => None,
            (Some(at), true) => Some((at + 1).min(vips.len() - 1)),
            (Some(at), false) => at.checked_sub(1),
        };
        self.vip = next.and_then(|next| vips.get(next)).map(|v| v.address.clone());
    }

    /// Left and right: to the next node, as deep in its VIPs as before.
    fn across(&mut self, picture: &Picture, right: bool) {
        let columns = picture.columns();
        let Some(column) = columns.get(self.column) else { return };
        let depth =
            picture.vips_of(*column).iter().position(|v| Some(&v.address) == self.vip.as_ref());
        self.column = neighbour(self.column, columns.len(), right);
        let vips = picture.vips_of(columns[self.column]);
        let last = vips.len().checked_sub(1);
        let there = depth.and_then(|depth| Some(vips[depth.min(last?)].address.clone()));
        self.vip = there;
    }

    fn begin(
        &mut self,
        letter: char,
        picture: &Picture,
        vip: Option<&VipRow>,
    ) -> Result<(), &'static str> {
        if picture.lost.is_some() {
            return Err("the picture is old: wait until dsc-ringd answers");
        }
        if "mpu".contains(letter) {
            let vip = vip.ok_or("select a VIP first, with the arrows")?;
            let address =
                vip.address.parse().map_err(|_| "this VIP has no address to name it by")?;
            self.mode = match letter {
                'u' => Mode::Confirm(Order::Unpin(address)),
                'p' => Mode::Choose { vip: address, pin: true, node: None },
                _ => {
                    let other = |n: &str| vip.host.as_deref() != Some(n);
                    let node = picture.status.nodes.iter().position(|n| other(&n.name));
                    let node = Some(node.ok_or("there is no other node")?);
                    Mode::Choose { vip: address, pin: false, node }
                }
            };
            return Ok(());
        }
        if vip.is_some() {
            return Err("select a node first: up to its name");
        }
        let columns = picture.columns();
        let node = columns.get(self.column).and_then(|c| c.node).ok_or("this is no node")?;
        let name = node.name.clone();
        self.mode = Mode::Confirm(match letter {
            'o' => Order::Open(name),
            'c' => Order::Close(name),
            _ => Order::Drain(name),
        });
        Ok(())
    }

    fn choose(&mut self, key: Key, picture: &Picture, vip: IpAddr, pin: bool, node: Option<usize>) {
        let nodes = &picture.status.nodes;
        match key {
            Key::Left | Key::Up | Key::Right | Key::Down => {
                let right = matches!(key, Key::Right | Key::Down);
                // To stay where it is comes before the first node.
                let first = usize::from(pin);
                let at = node.map_or(0, |node| node + first);
                let next = neighbour(at, nodes.len() + first, right);
                self.mode = Mode::Choose { vip, pin, node: next.checked_sub(first) };
            }
            Key::Enter => {
                let name = node.and_then(|node| nodes.get(node)).map(|n| n.name.clone());
                self.mode = match (pin, name) {
                    (true, name) => Mode::Confirm(Order::Pin(vip, name)),
                    (false, Some(name)) => Mode::Confirm(Order::Move(vip, name)),
                    // The nodes are others than a moment ago.
                    (false, None) => Mode::Look,
                };
            }
            Key::Escape | Key::Char('n' | 'q') => self.let_be(),
            Key::Interrupt | Key::Char(_) => {}
        }
    }

    fn let_be(&mut self) {
        self.mode = Mode::Look;
        self.said = Some("nothing was changed".into());
    }
}

/// The next of `count` places in a circle.
fn neighbour(at: usize, count: usize, forward: bool) -> usize {
    match count {
        0 => 0,
        count if forward => (at + 1) % count,
        count => (at + count - 1) % count,
    }
}
