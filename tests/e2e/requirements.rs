//! Requirements of tests on the machine. A test is skipped, with a message, only if this process lacks the rights for it. If it has the
//! rights, the needed programs must be there (`scripts/setup test` installs them), and a test that can't run fails.

/// A Linux capability, by its number.
#[derive(Clone, Copy, Debug)]
pub enum Right {
    /// CAP_NET_ADMIN, to create networks.
    Networks = 12,
    /// CAP_SYS_PTRACE, to trace other processes.
    Tracing = 19,
    /// CAP_SYS_ADMIN, to mount file systems.
    Mounting = 21,
}

/// Skips a test because of missing capabilities.
///
/// # Panics
/// If this process has all of them, so that they can't be the reason.
pub fn skip(test: &str, needs: &[Right], reason: &str) {
    // Some kernels lack the feature, whatever the capabilities.
    let kernel_cannot = ["not supported", "Unknown device type"].iter().any(|said| reason.contains(said));
    let may = needs.iter().all(|right| held() & (1 << *right as u32) != 0);
    assert!(
        kernel_cannot || !may,
        "{test} could not run, though this process may do what it needs ({needs:?}): {reason}"
    );
    println!("SKIPPED {test}: {reason}");
}

/// The effective capabilities of this process as a bit set; 0 where there are none.
fn held() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or_default()
}
