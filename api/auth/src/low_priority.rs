//! A pool of low-priority threads for CPU-intensive work (password hashes, RSA keys). On the runtime's threads it would get the same share
//! of the CPU as requests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use kernel::Refusal;
use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// The niceness of the threads: a tenth of the CPU share of a normal thread (the weights of Linux's scheduler, sched(7)), and everything
/// that no other thread wants.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Why work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotDone {
    /// The queue is full.
    Busy,
    /// It panicked, or could not be started; the log says why.
    Failed,
}

impl NotDone {
    /// The refusal of a request: `sign_in_busy` when the queue is full, otherwise `failed`.
    pub fn refusal(self, failed: impl FnOnce() -> Refusal) -> Refusal {
        match self {
            Self::Busy => Refusal::unavailable(
                "sign_in_busy",
                "too many users are signing in at the same time; try again in a moment",
            ),
            Self::Failed => failed(),
        }
    }
}

/// The capacity of the queue.
const WAITING: usize = 200;

/// One pool per process, because the CPUs are the process's.
static POOL: LazyLock<LowPriorityPool> = LazyLock::new(|| LowPriorityPool::new(WAITING));

/// Queues this work and waits for its result. Work whose caller has gone away is skipped.
///
/// # Errors
/// `Busy` when the queue is full, `Failed` when the work panicked.
pub async fn at_low_priority<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, NotDone> {
    POOL.run(work).await
}

/// The threads, half as many as there are CPUs. They end when this is dropped.
struct LowPriorityPool {
    queue: SyncSender<Work>,
}

impl LowPriorityPool {
    /// Starts the threads. `waiting`: the capacity of the queue.
    fn new(waiting: usize) -> Self {
        let (queue, work) = sync_channel::<Work>(waiting);
        let work = Arc::new(Mutex::new(work));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        for _ in 0..(cores / 2).max(1) {
            let work = Arc::clone(&work);
            if let Err(error) = std::thread::Builder::new().name("low-priority".to_owned()).spawn(move || run(&work)) {
                tracing::error!(%error, "a thread for passwords and keys can't be started");
            }
        }
        Self { queue }
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, NotDone> {
        let (done, waiting) = oneshot::channel();
        let work = move || {
            if !done.is_closed() {
                let _ = done.send(work());
            }
        };
        self.queue.try_send(Box::new(work)).map_err(|error| match error {
            TrySendError::Full(_) => NotDone::Busy,
            TrySendError::Disconnected(_) => NotDone::Failed,
        })?;
        waiting.await.map_err(|_| NotDone::Failed)
    }
}

fn run(work: &Mutex<Receiver<Work>>) {
    lower_priority();
    loop {
        let next = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        // A panic is logged by its hook, and does not affect the next work in the queue.
        let _ = catch_unwind(AssertUnwindSafe(work));
    }
}

/// Lowers the thread's priority. Only on Linux, where threads have a priority of their own; elsewhere it would be the whole process's.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::warn!(%error, "passwords and keys are worked on with the same priority as all else");
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn work_is_done_on_a_thread_that_gives_way_and_outlives_a_panic() {
        let pool = LowPriorityPool::new(2);
        assert_eq!(pool.run(|| -> u8 { panic!("a mistake of ours") }).await, Err(NotDone::Failed));
        assert_eq!(pool.run(|| 42).await, Ok(42), "for each thread: the one that panicked goes on");
        #[cfg(target_os = "linux")]
        {
            let here = rustix::process::getpriority_process(None).unwrap();
            let there = pool.run(|| rustix::process::getpriority_process(None).unwrap()).await.unwrap();
            assert_eq!(there, (here + NICE).min(19));
        }
    }

    #[tokio::test]
    async fn what_is_beyond_the_queue_is_refused_and_what_nobody_waits_for_is_not_begun() {
        let pool = Arc::new(LowPriorityPool::new(1));
        let (begin, begun) = std::sync::mpsc::channel::<()>();
        // Keep all threads busy until we release them.
        let begun = Arc::new(Mutex::new(begun));
        let threads = (std::thread::available_parallelism().unwrap().get() / 2).max(1);
        let mut busy = Vec::new();
        for _ in 0..threads {
            let (pool, begun) = (Arc::clone(&pool), Arc::clone(&begun));
            let (started, starts) = oneshot::channel();
            busy.push(tokio::spawn(async move {
                pool.run(move || (started.send(()), begun.lock().unwrap().recv().unwrap()).1).await
            }));
            starts.await.unwrap();
        }
        // The first poll puts it into the only place of the queue.
        let (forsaken_begins, was_begun) = std::sync::mpsc::channel();
        let mut forsaken = Box::pin(pool.run(move || forsaken_begins.send(())));
        assert_eq!((&mut forsaken).now_or_never(), None);
        assert_eq!(pool.run(|| 1).await, Err(NotDone::Busy));
        drop(forsaken);
        for _ in 0..threads {
            begin.send(()).unwrap();
        }
        for busy in busy {
            assert_eq!(busy.await.unwrap(), Ok(()));
        }
        // A result is sent before its thread takes the next work from the queue, so the place becomes free a moment later.
        let done = testbed::eventually("there is a place again", async || match pool.run(|| 1).await {
            Err(NotDone::Busy) => None,
            done => Some(done),
        });
        assert_eq!(done.await, Ok(1));
        // The abandoned work is dropped without being started.
        assert_eq!(was_begun.recv(), Err(std::sync::mpsc::RecvError));
    }
}
