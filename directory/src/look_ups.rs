//! Looks up tenants by their names: one query at a time, for all who wait.
//!
//! Anyone may send requests with any name. However many names they send, the look-ups of a [`Directory`](crate::Directory) occupy one of its
//! two connections, and whoever names a tenant waits for two queries at most, as long as no more than [`MOST`] wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eventstore::within;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::tenants::{Tenant, tenant};

/// The number of tenants that one query looks up.
const MOST: usize = 1_000;

/// A tenant, and the cell in which it lives; `None` if no cell was ever recorded for it.
pub(crate) type Located = (Tenant, Option<String>);

/// What is told to who waits: the tenant, or that there is none.
type Answer = Result<Option<Located>, Arc<sqlx::Error>>;

/// Looks up tenants. Cheap to clone; clones share the queue.
#[derive(Clone)]
pub(crate) struct LookUps {
    pool: PgPool,
    /// How long a query may take.
    limit: Duration,
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
    pub(crate) fn new(pool: PgPool, limit: Duration) -> Self {
        Self { pool, limit, queue: Arc::default() }
    }

    /// Looks up a tenant by its id or short name. The query begins after this call.
    pub(crate) async fn find(&self, name: String) -> Answer {
        let (tell, told) = oneshot::channel();
        {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.waiting.push((name, tell));
            if queue.asking.as_ref().is_none_or(JoinHandle::is_finished) {
                // A task of its own, because whoever waits may stop to wait at any time.
                queue.asking = Some(tokio::spawn(self.clone().ask()));
            }
        }
        // There is no answer only if the task panicked.
        told.await.unwrap_or_else(|_| Err(Arc::new(sqlx::Error::WorkerCrashed)))
    }

    /// Asks for all who wait, until nobody waits.
    async fn ask(self) {
        loop {
            let (names, waiting): (Vec<_>, Vec<_>) = {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                // Those whose requests have timed out meanwhile, which may be many while the directory does not answer.
                queue.waiting.retain(|(_, tell)| !tell.is_closed());
                let next = queue.waiting.len().min(MOST);
                if next == 0 {
                    queue.asking = None;
                    return;
                }
                queue.waiting.drain(..next).unzip()
            };
            match within(self.limit, self.find_all(&names)).await {
                Ok(found) => tell(waiting, found.into_iter().map(Ok)),
                Err(error) => tell(waiting, std::iter::repeat(Err(Arc::new(error)))),
            }
        }
    }

    /// The tenants with these ids or short names: an answer for each, in their order.
    async fn find_all(&self, names: &[String]) -> Result<Vec<Option<Located>>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT t.tenant_id, t.slug, t.name, t.created_at, t.cell
             FROM UNNEST($1::text[], $2::uuid[]) WITH ORDINALITY AS a (slug, id, nth)
             LEFT JOIN LATERAL (
                 SELECT tenant_id, slug, name, created_at, cell FROM tenants
                 WHERE (slug = a.slug OR tenant_id = a.id) AND status <> 'reserved'
                 ORDER BY (tenant_id = a.id) IS TRUE DESC LIMIT 1
             ) t ON true
             ORDER BY a.nth",
        )
        .bind(names)
        .bind(names.iter().map(|name| name.parse().ok()).collect::<Vec<Option<Uuid>>>())
        .fetch_all(&self.pool)
        .await?;
        let found = |row: &PgRow| {
            let id: Option<Uuid> = row.try_get("tenant_id")?;
            id.map(|_| Ok((tenant(row)?, row.try_get("cell")?))).transpose()
        };
        rows.iter().map(found).collect()
    }
}

fn tell(waiting: Vec<oneshot::Sender<Answer>>, answers: impl Iterator<Item = Answer>) {
    for (waiting, answer) in waiting.into_iter().zip(answers) {
        // Whoever does not wait any more needs no answer.
        let _ = waiting.send(answer);
    }
}
