//! Packets of known flows in the drivers: whether that is wanted, and what the program there knows of the interfaces.

use crate::datapath::Datapath;
use crate::layout::{Gate, Gates};
use crate::maps::fill;
use crate::{Error, features};

impl Datapath {
    /// Says whether packets of known flows are to be taken in the drivers, by native XDP; from the next
    /// [`Datapath::set_nics`] on. Where that does not work they are taken by the stack's programs, and
    /// [`Datapath::slow`] says why.
    pub fn want_early(&mut self, wanted: bool) {
        self.want_early = wanted;
    }

    /// The interfaces without the program in the driver that is wanted, or to which none may send, by index, and why.
    pub fn slow(&self) -> &[(u32, String)] {
        &self.slow
    }

    /// Tells the programs in the drivers of our interfaces. A driver without the means would lose without a word what it
    /// is given to send.
    pub(crate) fn set_gates(&mut self) -> Result<(), Error> {
        let mut gates = Gates::default();
        for nic in self.nics.iter().filter(|_| self.want_early) {
            let sends = match features::sends(nic.index) {
                Ok(true) => 1,
                Ok(false) => {
                    let why = "its driver does not send what others redirect to it";
                    self.slow.push((nic.index, why.to_owned()));
                    0
                }
                Err(e) => {
                    let why = "the kernel does not say what its driver sends (Linux 6.3)";
                    self.slow.push((nic.index, format!("{why}: {e}")));
                    0
                }
            };
            gates.0[nic.subnet.index()] = Gate { nic: nic.index, mac: nic.mac, sends, unused: 0 };
        }
        self.gates.set(0, gates, 0).map_err(|e| fill("gates", e))
    }
}
