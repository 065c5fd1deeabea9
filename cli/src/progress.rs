//! Progress of long work, on stderr, where that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `total` of `what`. Hidden where nobody looks: in pipes and logs.
pub fn bar(total: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let template = format!("{{wide_bar}} {{human_pos}} of {{human_len}} {what}, {{per_sec}}, {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}
