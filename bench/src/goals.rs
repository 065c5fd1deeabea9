//! The goals of the benchmark, and whether they are reached.

use comfy_table::Table;

use crate::report::{Results, show, table};

/// A figure's goal.
enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

use Goal::{AtLeast, AtMost};

/// The goals: name of the figure, description, and bound.
const GOALS: &[(&str, &str, Goal)] = &[
    ("ratio.commands_1", "commands/s at 1 client, times the peer", AtLeast(1.0)),
    ("ratio.commands_64", "commands/s at 64 clients, times the peer", AtLeast(5.0)),
    ("ratio.commands_64", "the same, further", AtLeast(8.0)),
    ("ratio.prototype_64", "commands/s at 64 clients, times the prototype", AtLeast(0.5)),
    ("ratio.prototype_64", "the same, further", AtLeast(0.7)),
    ("ours.p99_ms_256", "time to the answer at 256 clients, p99 ms", AtMost(40.0)),
    ("lag_ms.p50", "command to visible at 1,000/s, p50 ms", AtMost(5.0)),
    ("lag_ms.p99", "command to visible at 1,000/s, p99 ms", AtMost(30.0)),
    ("catch_up_per_s", "one read model catching up, events/s", AtLeast(50_000.0)),
    ("ratio.catch_up", "the same, times the raw upserts", AtLeast(0.7)),
    ("fairness.ratio", "command to visible beside a million rows imported, p99 times quiet", AtMost(2.0)),
    ("partitions.ratio", "catching up as two partitions, times one", AtLeast(1.4)),
    ("growth.ratio", "an append to any lead behind 100 times as many events, times the cost", AtMost(1.2)),
    ("growth.new_ratio", "the same to a new lead", AtMost(1.2)),
    ("rebuild_s", "rebuild of a million events, s", AtMost(30.0)),
    ("replay_per_s", "replay as NDJSON, events/s", AtLeast(150_000.0)),
    ("rss_mib.idle", "memory idle, MiB", AtMost(120.0)),
    ("rss_mib.load", "memory under 256 clients, MiB", AtMost(300.0)),
    ("logins.ratio", "200 commands/s beside 20 sign-ins/s, p99 times quiet", AtMost(2.0)),
    ("recovery.serving_s", "killed to serving, s", AtMost(3.0)),
    ("recovery.postgres_s", "Postgres accepts to the first command, s", AtMost(2.0)),
    ("recovery.nats.refused", "commands that are refused while the nats-server is away", AtMost(0.0)),
    ("recovery.nats.kept_up", "share of the events that read models see meanwhile", AtLeast(0.5)),
    ("ready_s", "start to ready, s", AtMost(2.0)),
];

impl Goal {
    fn reached(&self, figure: f64) -> bool {
        match self {
            AtLeast(least) => figure >= *least,
            AtMost(most) => figure <= *most,
        }
    }

    fn show(&self) -> String {
        match self {
            AtLeast(least) => format!("≥ {}", show(*least)),
            AtMost(most) => format!("≤ {}", show(*most)),
        }
    }
}

/// A table that compares the goals with the results.
pub fn compare(results: &Results) -> Table {
    let rows = GOALS.iter().map(|(name, what, goal)| {
        let figure = results.get(name);
        vec![
            (*what).to_owned(),
            goal.show(),
            figure.map_or_else(|| "not measured".to_owned(), show),
            figure.map_or("", |figure| if goal.reached(figure) { "reached" } else { "missed" }).to_owned(),
        ]
    });
    table(&["goal", "wanted", "measured", ""], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_reached_on_its_bound_and_not_beyond() {
        assert!(AtLeast(5.0).reached(5.0) && !AtLeast(5.0).reached(4.99));
        assert!(AtMost(60.0).reached(60.0) && !AtMost(60.0).reached(60.01));
    }

    #[test]
    fn what_was_not_measured_is_neither() {
        let shown = compare(&Results::default()).to_string();
        assert!(shown.contains("not measured") && !shown.contains("reached") && !shown.contains("missed"));
    }
}
