//! Waiting for a condition, with a bound.

use std::time::{Duration, Instant};

/// Asks again and again, every 10 ms, until there is an answer.
///
/// # Panics
/// With `what` was waited for, when there is none after 30 s.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "waited 30 s in vain for this: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
