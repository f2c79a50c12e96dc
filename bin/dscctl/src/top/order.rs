//! A change that somebody asks for on the screen: as a command would, in words of its own that outlive the picture.

use crate::change::Wish;
use std::net::IpAddr;

/// A change in the operator's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// `move-vip VIP NODE`
    Move(IpAddr, String),
    /// `pin VIP [NODE]`
    Pin(IpAddr, Option<String>),
    /// `unpin VIP`
    Unpin(IpAddr),
    /// `node close NODE`
    Close(String),
    /// `node open NODE`
    Open(String),
    /// `node drain NODE`
    Drain(String),
}

impl Order {
    /// The same for the code of the commands.
    pub fn wish(&self) -> Wish<'_> {
        match self {
            Order::Move(vip, node) => Wish::Move(*vip, node),
            Order::Pin(vip, node) => Wish::Pin(*vip, node.as_deref()),
            Order::Unpin(vip) => Wish::Unpin(*vip),
            Order::Close(node) => Wish::Close(node),
            Order::Open(node) => Wish::Open(node),
            Order::Drain(node) => Wish::Drain(node),
        }
    }

    /// What it would do, for "...? y/n".
    pub fn text(&self) -> String {
        match self {
            Order::Move(vip, node) => format!("move {vip} to {node}"),
            Order::Pin(vip, Some(node)) => format!("pin {vip} to {node}"),
            Order::Pin(vip, None) => format!("pin {vip} where it is"),
            Order::Unpin(vip) => format!("unpin {vip}: let it be moved to even out the load"),
            Order::Close(node) => format!("close {node}: hand all its VIPs over at once"),
            Order::Open(node) => format!("open {node}: let it host VIPs"),
            Order::Drain(node) => format!("drain {node}: hand its VIPs over one by one"),
        }
    }
}
