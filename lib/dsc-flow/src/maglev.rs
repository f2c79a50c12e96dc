//! The Maglev table of a service: from the hash of a new flow to a backend. It is a function of the backends' addresses
//! and weights alone, so that every node has the same table, and few rows change when a backend comes or goes.
//! Source: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4.

use dsc_wire::BackendId;
use std::net::{IpAddr, SocketAddr};

/// Rows of a table: prime, so that every stride visits all of them; the kernel's tables have this size. With 100
/// backends of one weight the shares differ by less than one per cent.
pub const MAGLEV_SIZE: usize = 16_381;

/// A row without a backend; every row of a table is so, or none.
pub const EMPTY: u16 = u16::MAX;

/// A backend that new flows may be given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What the rows say.
    pub id: BackendId,
    /// What decides which rows it prefers.
    pub address: SocketAddr,
    /// Its share, relative to the others'; 0: none.
    pub weight: u32,
}

/// The table: [`MAGLEV_SIZE`] rows, each the number of a backend, or all [`EMPTY`] if none has weight. The order of
/// the candidates does not matter as long as their addresses differ.
pub fn table(candidates: &[Candidate]) -> Vec<u16> {
    let mut rows = vec![EMPTY; MAGLEV_SIZE];
    let mut walks: Vec<Walk> = candidates.iter().filter(|c| c.weight > 0).map(Walk::new).collect();
    walks.sort_unstable_by_key(|w| (w.address, w.id));
    let Some(heaviest) = walks.iter().map(|w| w.weight).max() else { return rows };
    let mut left = MAGLEV_SIZE;
    // The heaviest takes a turn in every round, so there are at most as many rounds as rows.
    while left > 0 {
        for walk in &mut walks {
            walk.credit += walk.weight;
            if walk.credit < heaviest {
                continue;
            }
            walk.credit -= heaviest;
            if left > 0 {
                let row = walk.next_empty(&rows);
                rows[row] = walk.id.0;
                left -= 1;
            }
        }
    }
    rows
}

/// One backend's walk through the rows, in the order in which it prefers them.
struct Walk {
    id: BackendId,
    address: SocketAddr,
    weight: u64,
    /// What it has saved for its next turn, which costs the heaviest backend's weight.
    credit: u64,
    /// The row it looks at next, and how far the one after it is.
    row: usize,
    stride: usize,
}

impl Walk {
    fn new(candidate: &Candidate) -> Walk {
        let size = MAGLEV_SIZE as u64;
        Walk {
            id: candidate.id,
            address: candidate.address,
            weight: u64::from(candidate.weight),
            credit: 0,
            row: (hash(OFFSET, candidate.address) % size) as usize,
            stride: (hash(STRIDE, candidate.address) % (size - 1) + 1) as usize,
        }
    }

    /// Its most preferred row that is still empty; there must be one.
    fn next_empty(&mut self, rows: &[u16]) -> usize {
        loop {
            let row = self.row;
            self.row = (row + self.stride) % MAGLEV_SIZE;
            if rows[row] == EMPTY {
                return row;
            }
        }
    }
}

/// Tells the hash for the first row from the hash for the stride.
const OFFSET: u8 = 1;
/// See [`OFFSET`].
const STRIDE: u8 = 2;

/// FNV-1a over purpose, address (4 or 16 bytes) and port (2 bytes, high byte first), with MurmurHash3's finalizer,
/// because neighbouring addresses differ in few bits. It must never change: nodes of two builds would send one flow to
/// two backends.
fn hash(purpose: u8, address: SocketAddr) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    eat(&[purpose]);
    match address.ip() {
        IpAddr::V4(ip) => eat(&ip.octets()),
        IpAddr::V6(ip) => eat(&ip.octets()),
    }
    eat(&address.port().to_be_bytes());
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}
