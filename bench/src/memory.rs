//! Memory of a process: its resident set, from /proc.

use std::time::Duration;

use anyhow::Context;

/// Resident set of a process in MiB.
pub fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    parse(&status).context("no VmRSS in /proc: this measures on Linux only")
}

fn parse(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// Awaits `work`. Returns its result and the largest resident set meanwhile in MiB, sampled ten times a second.
pub async fn peak_while<T>(pid: u32, work: impl Future<Output = T>) -> anyhow::Result<(T, f64)> {
    let mut work = std::pin::pin!(work);
    let mut peak = resident_mib(pid)?;
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            done = &mut work => return Ok((done, peak)),
            _ = tick.tick() => peak = peak.max(resident_mib(pid)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resident_set_is_read_from_the_status_of_a_process() {
        let status = "Name:\tinopsio\nVmHWM:\t  204800 kB\nVmRSS:\t  102400 kB\n";
        assert_eq!(parse(status), Some(100.0));
        assert_eq!(parse("Name:\tkthreadd\n"), None);
    }
}
