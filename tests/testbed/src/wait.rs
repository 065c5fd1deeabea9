//! Waiting for a condition with a time limit.

use std::time::{Duration, Instant};

/// Maximum wait. Beside other tests, work with low priority (password hashes, RSA keys) takes many times as long as alone.
const PATIENCE: Duration = Duration::from_mins(1);

/// Calls `ask` every 10 ms until it returns a value.
///
/// # Panics
/// With the text `what` if there is no value after a minute.
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
