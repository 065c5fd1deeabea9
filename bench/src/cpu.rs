//! Processor time of processes, from /proc.

use anyhow::Context;

/// Processor time that a process has used, in seconds: user and kernel mode, on all cores.
pub fn seconds(pid: u32) -> anyhow::Result<f64> {
    Ok(Stat::of(pid).context("the process is gone")?.own as f64 / ticks())
}

/// The same including its children: running ones, and ended ones that it has waited for.
pub fn seconds_of_family(pid: u32) -> anyhow::Result<f64> {
    let parent = Stat::of(pid).context("the process is gone")?;
    let mut used = parent.own + parent.ended_children;
    for entry in std::fs::read_dir("/proc").context("no /proc: this measures on Linux only")? {
        let Some(child) = entry?.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Stat::of) else {
            continue;
        };
        if child.parent == pid {
            used += child.own;
        }
    }
    Ok(used as f64 / ticks())
}

fn ticks() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// The fields of `/proc/<pid>/stat` that are needed; times in clock ticks.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    own: u64,
    ended_children: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field is the program's name in parentheses. The name may contain spaces and parentheses, so search from the end.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            parent: u32::try_from(field(4)?).ok()?,
            own: field(14)? + field(15)?,
            ended_children: field(16)? + field(17)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_a_name_with_anything_in_it() {
        let line = "17 (a) b (c) S 4 17 17 0 -1 4194560 1 2 3 4 100 20 7 3 20 0 1 0 5 6 7";
        assert_eq!(Stat::parse(line), Some(Stat { parent: 4, own: 120, ended_children: 10 }));
        assert_eq!(Stat::parse("17 (broken"), None);
    }

    #[test]
    fn work_shows_in_a_process_own_time() {
        let me = std::process::id();
        let before = seconds(me).unwrap();
        let mut sum = 0_u64;
        while seconds(me).unwrap() < before + 0.05 {
            sum = (0..100_000).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
        assert!(seconds_of_family(me).unwrap() >= before + 0.05);
    }
}
