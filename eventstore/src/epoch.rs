//! [`Epoch`]: counts how often a log may have lost its end. [`outdated`]: which appends rest on what it may have lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};

use crate::Patience;
use crate::batch::Batch;
use crate::database::pool_options;

/// The epoch of a log in this process. It ends when the log may have lost its end: a server took over that lacked it, or the log was
/// restored. Whoever keeps in memory what was read from the log also keeps the epoch from before the read, and does not use it in a later
/// one. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epoch(Arc<State>);

#[derive(Debug, Default)]
struct State {
    current: AtomicU64,
    /// When the server started that answered last, in microseconds of Unix time; 0: none has answered yet. It tells servers apart.
    server: AtomicI64,
}

impl Epoch {
    pub(crate) fn current(&self) -> u64 {
        self.0.current.load(Ordering::SeqCst)
    }

    pub(crate) fn end(&self) {
        self.0.current.fetch_add(1, Ordering::SeqCst);
    }

    /// A new connection leads to a server that started then. If it is not the one that answered before, the epoch ends.
    pub(crate) fn answered_by(&self, started: DateTime<Utc>) {
        let started = started.timestamp_micros();
        let before = self.0.server.swap(started, Ordering::SeqCst);
        if before != 0 && before != started {
            self.end();
        }
    }

    /// A [pool](crate::database::pool) whose new connections end the epoch if they lead to another server, before anything is read
    /// over them.
    pub(crate) fn pool(&self, options: PgConnectOptions, max: u32, patience: Patience) -> PgPool {
        let epoch = self.clone();
        pool_options(max, patience)
            .after_connect(move |connection, _| {
                let epoch = epoch.clone();
                Box::pin(async move {
                    let started = sqlx::query_scalar("SELECT pg_postmaster_start_time()").fetch_one(connection).await?;
                    epoch.answered_by(started);
                    Ok(())
                })
            })
            .connect_lazy_with(options)
    }
}

/// The appends, by their place in the batch, that rest on what the log may have lost: on states that were read in an epoch before this one,
/// or on keys that were found in one and are not there any more. One that was written, although its answer was lost with a connection, is
/// not among them.
pub(crate) async fn outdated(
    connection: &mut PgConnection,
    batch: &Batch,
    epoch: u64,
) -> Result<BTreeSet<usize>, sqlx::Error> {
    let (mut places, mut tenants, mut commands) = (Vec::<i64>::new(), Vec::new(), Vec::new());
    let (mut kinds, mut claims, mut holders) = (Vec::new(), Vec::new(), Vec::new());
    for (place, pending) in (0..).zip(&batch.appends) {
        // A state has no key that could be looked for: it may always be another one now.
        let state = pending.read_in.into_iter().filter(|read_in| *read_in < epoch).map(|_| None);
        let keys = pending.needed.iter().filter(|stored| stored.epoch < epoch).map(Some);
        for stored in state.chain(keys) {
            places.push(place);
            tenants.push(pending.append.tenant.uuid());
            commands.push(pending.append.command.id.as_str());
            kinds.push(stored.map(|stored| stored.kind));
            claims.push(stored.map(|stored| stored.claim.as_slice()));
            holders.push(stored.map(|stored| &*stored.holder));
        }
    }
    if places.is_empty() {
        return Ok(BTreeSet::new());
    }
    let query = "SELECT t.place
         FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::text[])
             AS t (place, tenant, command, kind, key, holder)
         WHERE NOT EXISTS (SELECT FROM log.command(t.tenant, t.command))
           AND NOT EXISTS (SELECT FROM log.holders(t.tenant, t.kind, ARRAY[t.key]) AS h WHERE h.holder = t.holder)";
    let query = sqlx::query_scalar(query).bind(places).bind(tenants).bind(commands);
    let found: Vec<i64> = query.bind(kinds).bind(claims).bind(holders).fetch_all(connection).await?;
    Ok(found.into_iter().filter_map(|place| usize::try_from(place).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_ends_when_another_server_answers_and_not_when_the_same_one_does_again() {
        let epoch = Epoch::default();
        let [first, second] = [1, 2].map(|seconds| DateTime::from_timestamp(seconds, 0).unwrap());
        let epochs = [first, first, second, second, first].map(|started| {
            epoch.answered_by(started);
            epoch.current()
        });
        assert_eq!(epochs, [0, 0, 1, 1, 2]);
    }
}
