//! The kernel's capabilities, as far as the daemons need any. Asked before the first thing that needs one, because the
//! system's own reasons do not say which is missing.

/// A part of root's power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    name: &'static str,
    number: u32,
}

impl Capability {
    /// Addresses and programs on interfaces.
    pub const NET_ADMIN: Capability = Capability { name: "CAP_NET_ADMIN", number: 12 };
    /// Frames that it makes itself.
    pub const NET_RAW: Capability = Capability { name: "CAP_NET_RAW", number: 13 };
    /// Memory that stays in.
    pub const IPC_LOCK: Capability = Capability { name: "CAP_IPC_LOCK", number: 14 };
    /// What its verifier allows BPF programs.
    pub const PERFMON: Capability = Capability { name: "CAP_PERFMON", number: 38 };
    /// BPF programs and maps.
    pub const BPF: Capability = Capability { name: "CAP_BPF", number: 39 };

    /// May this process use it?
    pub fn is_held(self) -> bool {
        is_in(effective(), self)
    }
}

/// Contains [`Capability::BPF`] and [`Capability::PERFMON`].
const SYS_ADMIN: u32 = 21;

/// Asks for all of them.
///
/// # Errors
/// Text for people: those that are missing.
pub fn need(all: &[Capability]) -> Result<(), String> {
    let held = effective();
    let missing: Vec<_> = all.iter().filter(|c| !is_in(held, **c)).map(|c| c.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("cannot work without {}: run it as root, and let it have them", missing.join(", ")))
}

fn is_in(set: u64, capability: Capability) -> bool {
    let has = |number: u32| set >> number & 1 == 1;
    let in_another = [Capability::BPF, Capability::PERFMON].contains(&capability);
    has(capability.number) || in_another && has(SYS_ADMIN)
}

fn effective() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    set.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_system_s_wider_right_counts() {
        assert!(is_in(1 << 21, Capability::BPF) && is_in(1 << 39, Capability::BPF));
        assert!(!is_in(1 << 21, Capability::NET_RAW) && !is_in(1 << 38, Capability::BPF));
    }
}
