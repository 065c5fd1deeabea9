//! Progress bars of long work, on standard error.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that counts to `total`; `what` is the unit. Hidden unless standard error is a terminal.
pub fn bar(total: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let template = format!("{{wide_bar}} {{human_pos}} of {{human_len}} {what}, {{per_sec}}, {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}
