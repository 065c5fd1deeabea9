//! What a test needs of the machine. Where it may not have it, the test is left out, which is said; where it may, it is there (`scripts/setup
//! test` sees to the programs), and a test that can't run has failed.

/// Something that Linux lets a process do or not: a capability, by its number.
#[derive(Clone, Copy, Debug)]
pub enum Right {
    /// CAP_NET_ADMIN: to make networks.
    Networks = 12,
    /// CAP_SYS_PTRACE: to look into other processes.
    Tracing = 19,
    /// CAP_SYS_ADMIN: to mount.
    Mounting = 21,
}

/// Leaves a test out for want of rights.
///
/// # Panics
/// When this process has them all: then the reason is none.
pub fn left_out(test: &str, needs: &[Right], reason: &str) {
    // Some kernels can't, whoever asks.
    let kernel_cannot = ["not supported", "Unknown device type"].iter().any(|said| reason.contains(said));
    let may = needs.iter().all(|right| held() & (1 << *right as u32) != 0);
    assert!(
        kernel_cannot || !may,
        "{test} could not run, though this process may do what it needs ({needs:?}): {reason}"
    );
    println!("SKIPPED {test}: {reason}");
}

/// The rights of this process, a bit each; where there are no capabilities, none.
fn held() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or_default()
}
