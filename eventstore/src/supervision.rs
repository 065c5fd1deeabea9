//! Background tasks that are started again when they panic.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use kernel::Backoff;
use metrics::Counter;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// The pauses before a task that panicked is started again. They begin anew once the task has run for longer than the longest one.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30) };

/// The tasks of this process that panicked and were not started again yet.
static PANICKED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The names of this process's tasks that panicked and were not started again yet, for `/ready`.
pub fn panicked() -> Vec<String> {
    names().clone()
}

/// The counter of a background task's panics, for those who start such a task again by other rules than [`supervised`]. They get it before
/// they start the task, so that the series begins at 0, and the first panic is an increase.
pub fn panics_of(task: &str) -> Counter {
    metrics::describe_counter!("inopsio_task_panics_total", "Panics of this process's background tasks");
    let panics = metrics::counter!("inopsio_task_panics_total", "task" => task.to_owned());
    panics.increment(0);
    panics
}

/// Goes on with the panic of a task that worked for its caller, so that what it left undone is not taken for done.
pub fn resume_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        resume_unwind(panic);
    }
}

/// Runs a background task until it ends. If it panics, that is logged as an error and counted, and the task is started again after a pause,
/// unless `shutdown` comes first. A panic is a bug, which must neither stop for good what the process does in the background, nor go unnoticed.
///
/// `start` begins the task, which ends at the token that it gets: a clone of `shutdown`. A task that is started again finds what it shares
/// with others as the panic left it, and what `start` has by value as it was at the first start.
pub async fn supervised<F>(name: String, shutdown: CancellationToken, mut start: impl FnMut(CancellationToken) -> F)
where
    F: Future<Output = ()>,
{
    let panics = panics_of(&name);
    let mut pause = BACKOFF.first;
    loop {
        let began = Instant::now();
        if AssertUnwindSafe(start(shutdown.clone())).catch_unwind().await.is_ok() {
            return;
        }
        panics.increment(1);
        if began.elapsed() > BACKOFF.longest {
            pause = BACKOFF.first;
        }
        // The program's panic hook has said where.
        tracing::error!(
            task = name,
            pause_seconds = pause.as_secs(),
            "a background task panicked; it is started again"
        );
        let waiting = Waiting::begin(&name);
        if shutdown.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
        drop(waiting);
        pause = BACKOFF.after(pause);
    }
}

/// A task is among [`panicked`] until this is dropped, also if the wait is.
struct Waiting<'a>(&'a str);

impl<'a> Waiting<'a> {
    fn begin(name: &'a str) -> Self {
        names().push(name.to_owned());
        Self(name)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut names = names();
        if let Some(nth) = names.iter().position(|name| name == self.0) {
            names.swap_remove(nth);
        }
    }
}

fn names() -> MutexGuard<'static, Vec<String>> {
    PANICKED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use testbed::eventually;

    use super::*;

    async fn panics() {
        panic!("as the test wants it")
    }

    #[tokio::test]
    async fn a_task_that_panics_is_started_again_until_it_ends() {
        let mut begun = 0;
        let task = supervised("some task".to_owned(), CancellationToken::new(), |_| {
            begun += 1;
            let nth = begun;
            async move { assert_ne!(nth, 1, "as the test wants it") }
        });
        task.await;
        assert_eq!(begun, 2);
    }

    #[tokio::test]
    async fn a_task_that_panics_again_and_again_is_named_meanwhile_and_stops_at_the_shutdown() {
        let (begun, shutdown) = (Arc::new(AtomicU32::new(0)), CancellationToken::new());
        let (counted, name) = (begun.clone(), "hopeless task".to_owned());
        let task = tokio::spawn(supervised(name.clone(), shutdown.clone(), move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            panics()
        }));
        eventually("it is named", async || panicked().contains(&name).then_some(())).await;
        eventually("it was started again", async || (begun.load(Ordering::SeqCst) > 1).then_some(())).await;
        eventually("it is named again", async || panicked().contains(&name).then_some(())).await;
        shutdown.cancel();
        task.await.unwrap();
        assert!(!panicked().contains(&name), "nobody waits for it any more");
    }

    #[tokio::test]
    async fn who_gives_up_a_task_that_waits_leaves_no_name() {
        let name = "given up task".to_owned();
        let task = tokio::spawn(supervised(name.clone(), CancellationToken::new(), |_| panics()));
        eventually("it is named", async || panicked().contains(&name).then_some(())).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(!panicked().contains(&name));
    }
}
