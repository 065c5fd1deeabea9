//! Settings of a Postgres server that mainly serves event logs.

/// The smallest and largest size of the buffers, in MiB.
const BUFFERS: std::ops::RangeInclusive<u64> = 256..=8_192;

/// The settings in which such a server should differ from Postgres' defaults, which are for machines with little memory and few writes.
/// Servers that we start ourselves have them; [operations](../../docs/src/operations.md) recommends them for others.
///
/// - `shared_buffers`: an eighth of the memory, 256 MiB to 8 GiB. An append to an old stream needs a page of the primary key's index; if the
///   index does not fit into the buffers, that page is read and another one is written back. (A server that has the machine to itself may
///   have a quarter.)
/// - `max_wal_size`, `checkpoint_timeout`: after each checkpoint, the first change of a page writes all of it into the write-ahead log.
pub fn server_settings() -> [(&'static str, String); 3] {
    [
        ("shared_buffers", format!("{}MB", buffers(memory()))),
        ("max_wal_size", "4GB".to_owned()),
        ("checkpoint_timeout", "15min".to_owned()),
    ]
}

/// The size of the buffers, in MiB, on a machine with this much memory, in MiB.
fn buffers(memory: Option<u64>) -> u64 {
    (memory.unwrap_or_default() / 8).clamp(*BUFFERS.start(), *BUFFERS.end())
}

/// The memory of this machine, or the limit of its container, in MiB. None where the system is not Linux.
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
