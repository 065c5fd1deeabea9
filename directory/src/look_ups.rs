//! Looks up tenants for the front process of several cells: one query at a time, for all who wait.
//!
//! Anyone may send requests with any name. However many names they send, the look-ups occupy one of the two connections of the directory,
//! and whoever names a tenant waits for two queries at most, as long as no more than [`MOST`] wait.

use std::sync::{Arc, Mutex, PoisonError};

use eventstore::within;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::placements::Placements;
use crate::tenants::ANSWER;

/// The number of tenants that one query looks up.
const MOST: usize = 1_000;

/// The id and the cell of a tenant, as [`Placements::find`] gives them.
type Answer = Result<Option<(Uuid, Option<String>)>, Arc<sqlx::Error>>;

/// Looks up tenants.
pub(crate) struct LookUps {
    placements: Placements,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    /// The names that wait, in order, each with who is told its answer.
    waiting: Vec<(String, oneshot::Sender<Answer>)>,
    /// The task that asks for them; none if nobody waits.
    asking: Option<JoinHandle<()>>,
}

impl LookUps {
    pub(crate) fn new(placements: Placements) -> Self {
        Self { placements, queue: Arc::default() }
    }

    /// Looks up a tenant by its id or short name. The query begins after this call.
    pub(crate) async fn find(&self, tenant: String) -> Answer {
        let (tell, told) = oneshot::channel();
        {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.waiting.push((tenant, tell));
            if queue.asking.as_ref().is_none_or(JoinHandle::is_finished) {
                // A task of its own, because whoever waits may stop to wait at any time.
                queue.asking = Some(tokio::spawn(ask(self.placements.clone(), self.queue.clone())));
            }
        }
        // There is no answer only if the task panicked.
        told.await.unwrap_or_else(|_| Err(Arc::new(sqlx::Error::WorkerCrashed)))
    }
}

/// Asks for all who wait, until nobody waits.
async fn ask(placements: Placements, queue: Arc<Mutex<Queue>>) {
    loop {
        let (names, waiting): (Vec<_>, Vec<_>) = {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            // Those whose requests have timed out meanwhile, which may be many while the directory does not answer.
            queue.waiting.retain(|(_, tell)| !tell.is_closed());
            let next = queue.waiting.len().min(MOST);
            if next == 0 {
                queue.asking = None;
                return;
            }
            queue.waiting.drain(..next).unzip()
        };
        match within(ANSWER, placements.find_all(&names)).await {
            Ok(found) => tell(waiting, found.into_iter().map(Ok)),
            Err(error) => tell(waiting, std::iter::repeat(Err(Arc::new(error)))),
        }
    }
}

fn tell(waiting: Vec<oneshot::Sender<Answer>>, answers: impl Iterator<Item = Answer>) {
    for (waiting, answer) in waiting.into_iter().zip(answers) {
        // Whoever does not wait any more needs no answer.
        let _ = waiting.send(answer);
    }
}
