//! How busy this machine is: bytes through each interface and the processors' time, from `/proc`. Used by the health
//! daemon once a second; the files stay open, so a reading is one system call each.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Most bytes read of a `/proc` file; interfaces beyond are not seen.
const READ_MAX: usize = 64 * 1024;

/// Bytes that passed an interface since it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicBytes {
    /// As `ip link` calls it.
    pub name: String,
    /// Received.
    pub rx: u64,
    /// Sent.
    pub tx: u64,
    /// Frames that could not be received or sent.
    pub errors: u64,
}

/// Time of all processors together, in the kernel's ticks since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTicks {
    /// Doing something.
    pub busy: u64,
    /// Busy and idle.
    pub total: u64,
}

/// The open files.
pub struct LoadReader {
    dev: File,
    stat: File,
    buffer: Vec<u8>,
}

impl LoadReader {
    /// Opens the files for the network namespace it is called in.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn open() -> io::Result<LoadReader> {
        Ok(LoadReader {
            dev: File::open("/proc/net/dev")?,
            stat: File::open("/proc/stat")?,
            buffer: vec![0; 4096],
        })
    }

    /// All interfaces' counts.
    ///
    /// # Errors
    /// The system's.
    pub fn nics(&mut self) -> io::Result<Vec<NicBytes>> {
        let text = read_whole(&self.dev, &mut self.buffer)?;
        Ok(text.lines().filter_map(parse_nic).collect())
    }

    /// All processors' time.
    ///
    /// # Errors
    /// The system's, or a first line that is not the sum of all processors.
    pub fn cpu(&mut self) -> io::Result<CpuTicks> {
        // Only the first line is wanted, and the kernel makes the rest only if asked for it.
        let read = self.stat.read_at(&mut self.buffer[..256], 0)?;
        let text = String::from_utf8_lossy(&self.buffer[..read]);
        text.lines().next().and_then(parse_cpu).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

fn read_whole<'a>(file: &File, buffer: &'a mut Vec<u8>) -> io::Result<std::borrow::Cow<'a, str>> {
    let mut filled = 0;
    loop {
        match file.read_at(&mut buffer[filled..], filled as u64)? {
            0 => break,
            n => filled += n,
        }
        if filled == buffer.len() {
            if filled >= READ_MAX {
                break;
            }
            buffer.resize(filled * 2, 0);
        }
    }
    Ok(String::from_utf8_lossy(&buffer[..filled]))
}

/// `  eth0: RXBYTES PACKETS ERRS DROP FIFO FRAME COMPRESSED MULTICAST TXBYTES ...`; the two heading lines have no colon
/// followed by numbers.
fn parse_nic(line: &str) -> Option<NicBytes> {
    let (name, counts) = line.rsplit_once(':')?;
    let mut counts = counts.split_ascii_whitespace();
    let mut next = |skip: usize| counts.nth(skip)?.parse::<u64>().ok();
    let (rx, rx_errors, tx, tx_errors) = (next(0)?, next(1)?, next(5)?, next(1)?);
    Some(NicBytes { name: name.trim().to_owned(), rx, tx, errors: rx_errors + tx_errors })
}

/// `cpu  user nice system idle iowait irq softirq steal guest guest_nice`; guests are counted in user already.
fn parse_cpu(line: &str) -> Option<CpuTicks> {
    let fields = line.strip_prefix("cpu ")?.split_ascii_whitespace().take(8);
    let ticks: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    let idle = ticks.get(3)? + ticks.get(4).copied().unwrap_or(0);
    let total = ticks.iter().sum();
    Some(CpuTicks { busy: total - idle, total })
}

/// Busy share between two readings, 0..=1000.
pub fn busy_permille(before: CpuTicks, after: CpuTicks) -> u16 {
    let total = after.total.saturating_sub(before.total);
    let busy = after.busy.saturating_sub(before.busy);
    (busy * 1000).checked_div(total).map_or(0, |share| share.min(1000) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_line_gives_the_first_and_the_ninth_count() {
        let line = "  eth0: 100 1 2 0 0 0 0 7 900 9 1 0 0 0 0 0";
        let expected = NicBytes { name: "eth0".to_owned(), rx: 100, tx: 900, errors: 3 };
        assert_eq!(parse_nic(line), Some(expected));
        assert_eq!(parse_nic(" face |bytes    packets errs drop"), None);
        assert_eq!(parse_nic("eth0: 1 2 3"), None);
    }

    #[test]
    fn busy_is_what_is_neither_idle_nor_waiting() {
        let before = parse_cpu("cpu  10 0 10 100 20 0 0 0 0 0").unwrap();
        assert_eq!(before, CpuTicks { busy: 20, total: 140 });
        let after = parse_cpu("cpu  35 0 10 150 45 0 0 0 0 0").unwrap();
        assert_eq!(busy_permille(before, after), 250);
        assert_eq!(busy_permille(after, after), 0);
        assert_eq!(parse_cpu("cpu0 1 2 3 4 5 6 7 8"), None);
    }

    #[test]
    fn this_machine_can_be_read() {
        let mut reader = LoadReader::open().unwrap();
        assert!(reader.nics().unwrap().iter().any(|n| n.name == "lo"));
        let first = reader.cpu().unwrap();
        assert!(first.total > first.busy);
    }
}
