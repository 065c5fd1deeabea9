//! The event store of one service.

use std::sync::Arc;

use futures::Stream;
use kernel::{Clock, Position, RecordedEvent, Service, TenantId};
use tokio::sync::watch;

use crate::append::{self, Append, Appended};
use crate::{Database, Error, ReplayFilter, Settings};

/// A command that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCommand {
    /// SHA-256 of the request.
    pub request_hash: [u8; 32],
    /// The answer, JSON.
    pub answer: String,
    /// Position of its last event.
    pub last: Position,
}

/// The log of one service. Clones share everything.
#[derive(Clone)]
pub struct EventStore {
    shared: Arc<Shared>,
}

struct Shared {
    service: Service,
    appended: watch::Sender<Position>,
}

impl EventStore {
    /// Opens the log; starts its committer. The database must be migrated, and need not be reachable yet.
    pub async fn open(database: &Database, settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let _ = (settings, clock);
        let (appended, _) = watch::channel(Position::START);
        Ok(Self { shared: Arc::new(Shared { service: database.service, appended }) })
    }

    /// Whose log it is.
    pub fn service(&self) -> Service {
        self.shared.service
    }

    /// Appends, through the group committer.
    pub async fn append(&self, append: Append) -> Result<Appended, append::Error> {
        let _ = append;
        Err(append::Error::Unavailable("not there yet".to_owned()))
    }

    /// A command that was done under this id.
    pub async fn command(&self, tenant: TenantId, id: &str) -> Result<Option<StoredCommand>, Error> {
        let _ = (tenant, id);
        Ok(None)
    }

    /// The events of one stream after a version, in order; one round trip. Empty when there is no such stream.
    pub async fn load(
        &self,
        tenant: TenantId,
        aggregate_type: &str,
        aggregate_id: &str,
        after: u64,
    ) -> Result<Vec<RecordedEvent>, Error> {
        let _ = (tenant, aggregate_type, aggregate_id, after);
        Ok(Vec::new())
    }

    /// The events of all tenants after a position, in order, at most `limit`.
    pub async fn read_after(&self, after: Position, limit: u32) -> Result<Vec<RecordedEvent>, Error> {
        let _ = (after, limit);
        Ok(Vec::new())
    }

    /// How many events a replay with this filter gives. Set `filter.to` (to [`head`](Self::head)) so that both see the same.
    pub async fn count(&self, tenant: TenantId, filter: &ReplayFilter) -> Result<u64, Error> {
        let _ = (tenant, filter);
        Ok(0)
    }

    /// A tenant's events that pass the filter, by position.
    pub fn replay(
        &self,
        tenant: TenantId,
        filter: ReplayFilter,
    ) -> impl Stream<Item = Result<RecordedEvent, Error>> + Send + use<> {
        let _ = (tenant, filter);
        futures::stream::empty()
    }

    /// The position of the last event; 0 when there is none.
    pub async fn head(&self) -> Result<Position, Error> {
        Ok(Position::START)
    }

    /// The last position that this process appended: wakes the relay.
    pub fn appended(&self) -> watch::Receiver<Position> {
        self.shared.appended.subscribe()
    }

    /// Takes no more appends, finishes those that wait, and ends.
    pub async fn close(&self) {}
}
