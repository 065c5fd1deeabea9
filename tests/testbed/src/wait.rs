//! Waiting for a condition, with a bound.

use std::time::{Duration, Instant};

/// How long is waited: where other tests run beside this one, what gives way to all else (a password's hash, an RSA key) takes many times as
/// long as it does alone.
const PATIENCE: Duration = Duration::from_mins(1);

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
        assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for this: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
