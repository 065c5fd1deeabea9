//! Recommended settings of a Postgres server that mainly serves event logs.

/// The smallest and largest size of the buffers, in MiB.
const BUFFERS: std::ops::RangeInclusive<u64> = 256..=8_192;

/// Names and values of the settings that should differ from Postgres' defaults, which suit machines with little memory and few writes. The
/// servers that this program starts itself use them; `docs/src/operations.md` recommends them for others.
///
/// - `shared_buffers`: an eighth of the memory, at least 256 MiB and at most 8 GiB. An append to an old stream needs a page of the primary
///   key's index; if the index does not fit into the buffers, that page is read from disk and another one is written back. (A server that
///   has the machine to itself may use a quarter.)
/// - `max_wal_size`, `checkpoint_timeout`: fewer checkpoints. After each of them, the first change of a page writes the whole page to the
///   write-ahead log.
pub fn server_settings() -> [(&'static str, String); 3] {
    [
        ("shared_buffers", format!("{}MB", buffers(memory()))),
        ("max_wal_size", "4GB".to_owned()),
        ("checkpoint_timeout", "15min".to_owned()),
    ]
}

/// The size of the buffers in MiB, for this much memory in MiB; the smallest size when the memory is unknown.
fn buffers(memory: Option<u64>) -> u64 {
    (memory.unwrap_or_default() / 8).clamp(*BUFFERS.start(), *BUFFERS.end())
}

/// The memory in MiB: that of the machine, or the limit of this process's container if that is less. `None` if the system is not Linux.
fn memory() -> Option<u64> {
    let machine = total(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = limits.iter().find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    Some(limit.map_or(machine, |bytes| machine.min(bytes >> 20)))
}

/// The total memory in MiB, from the text of `/proc/meminfo`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib >> 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffers_are_an_eighth_of_the_memory_within_bounds() {
        assert_eq!(buffers(Some(24_576)), 3_072);
        assert_eq!(buffers(Some(1_024)), 256);
        assert_eq!(buffers(Some(1_048_576)), 8_192);
        assert_eq!(buffers(None), 256);
    }

    #[test]
    fn the_total_memory_is_found() {
        assert_eq!(total("MemTotal:       24662348 kB\nMemFree:  1 kB\n"), Some(24_084));
        assert_eq!(total("MemFree:  1 kB\n"), None);
        assert_eq!(total("MemTotal: much\n"), None);
    }
}
