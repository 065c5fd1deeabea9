//! Waiting for a condition, with a bound.

use std::time::{Duration, Instant};

/// The longest that anything is waited for: many times what it takes where nothing else runs, for a machine on which much does.
const BOUND: Duration = Duration::from_mins(1);

/// Asks again and again, every 10 ms, until there is an answer.
///
/// # Panics
/// With `what` was waited for, when there is none after a minute.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begin.elapsed() < BOUND, "waited {BOUND:?} in vain for this: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
