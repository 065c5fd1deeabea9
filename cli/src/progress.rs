//! Progress bars of long work, on standard error.

use std::fmt;

use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

/// A bar that counts to `total`; `what` is the unit. Hidden unless standard error is a terminal.
pub fn bar(total: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let template = format!("{{wide_bar}} {{human_pos}} of {{human_len}} {what}, {{rate}}/s, {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        // Indicatif's own `per_sec` has four decimals.
        bar.set_style(style.with_key("rate", |state: &ProgressState, f: &mut dyn fmt::Write| {
            // A bar that can't be drawn ends no work.
            _ = write!(f, "{}", HumanCount(state.per_sec() as u64));
        }));
    }
    bar
}
