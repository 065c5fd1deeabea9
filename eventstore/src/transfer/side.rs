//! [`Side`]: one side of a move, that is, a tenant's history in one database, as far as it was read.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use kernel::{Leaf, LeafHash, Position, Service, TenantId, Tree};
use sqlx::Row;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::{Result, TransferError};
use crate::Error;
use crate::admin::connect;
use crate::backup::{StoredAnswer, StoredEvent};
use crate::bounded::Bounded;
use crate::read::columns;

const EVENTS: &str = concat!(
    "SELECT ",
    columns!(),
    ", leaf_hash FROM log.events WHERE tenant_id = $1 AND position > $2 AND position <= $3 ORDER BY position LIMIT $4"
);

/// One database of a move, and the state of reading it.
pub(super) struct Side {
    pub(super) connection: PgConnection,
    tree: Tree,
    /// The position of each event: 8 bytes for each.
    pub(super) positions: Vec<Position>,
    /// The version of each stream so far, by the hash of its type and id.
    pub(super) streams: HashMap<u64, u64>,
}

impl Side {
    pub(super) async fn connect(service: Service, options: &PgConnectOptions) -> Result<Self> {
        // Forces scans of the index on the tenant's positions (see `replay::read_in_order`), and never scans the whole table, which has the
        // rows of all tenants.
        let options = options.clone().options([
            ("enable_bitmapscan", "off"),
            ("enable_seqscan", "off"),
            ("enable_sort", "off"),
            ("jit", "off"),
        ]);
        let mut connection = connect(&options).await?;
        // Of the tables that moves need, the migrations create `log.claim_key` last.
        let row = sqlx::query(
            "SELECT current_user::text, rolsuper OR rolbypassrls, to_regclass('log.claim_key') IS NOT NULL
             FROM pg_roles WHERE rolname = current_user",
        )
        .fetch_one(&mut connection)
        .await?;
        if !row.try_get::<bool, _>(1)? {
            return Err(TransferError::Role(row.try_get(0)?));
        }
        if !row.try_get::<bool, _>(2)? {
            return Err(TransferError::NotMigrated(service));
        }
        Ok(Self { connection, tree: Tree::new(), positions: Vec::new(), streams: HashMap::new() })
    }

    /// Reads the next events up to a position, at most `limit`, fewer if they are large: as many as the other side returns of the same ones.
    /// Checks that each is what its writer wrote, and the next one of its stream.
    pub(super) async fn read(&mut self, tenant: TenantId, to: Position, limit: u32) -> Result<Vec<StoredEvent>> {
        let mut page = Bounded::<StoredEvent>::new(limit);
        while let Some(wanted) = page.wanted() {
            let rows = sqlx::query(EVENTS)
                .bind(tenant.uuid())
                .bind(page.last().unwrap_or_else(|| self.last()).as_i64())
                .bind(to.as_i64())
                .bind(i64::from(wanted))
                .fetch(&mut self.connection);
            page.take(wanted, rows).await?;
        }
        let rows = page.into_entries();
        for row in &rows {
            self.take(row)?;
        }
        Ok(rows)
    }

    fn take(&mut self, StoredEvent { event, leaf_hash }: &StoredEvent) -> Result<()> {
        let corrupt = |what: &str| Error::Corrupt(format!("the event at position {} {what}", event.position));
        if Leaf::from(event).hash() != *leaf_hash {
            return Err(corrupt("is not the one that was written: its bytes do not give its leaf hash").into());
        }
        let mut hasher = DefaultHasher::new();
        (&event.aggregate_type, &event.aggregate_id).hash(&mut hasher);
        let version = self.streams.entry(hasher.finish()).or_default();
        *version += 1;
        if *version != event.sequence {
            return Err(corrupt("is not the next one of its stream").into());
        }
        self.tree.push(*leaf_hash);
        self.positions.push(event.position);
        Ok(())
    }

    pub(super) fn last(&self) -> Position {
        self.positions.last().copied().unwrap_or_default()
    }

    pub(super) fn count(&self) -> u64 {
        self.tree.size()
    }

    pub(super) fn root(&self) -> LeafHash {
        self.tree.root()
    }
}

/// The position on the other side of the event that has the position `old` on this side, or of the last event before it.
pub(super) fn translate(here: &[Position], there: &[Position], old: Position) -> Position {
    let index = here.partition_point(|place| *place <= old).checked_sub(1);
    index.and_then(|index| there.get(index)).copied().unwrap_or_default()
}

/// A command with the positions of the other side.
pub(super) fn command(here: &[Position], there: &[Position], row: StoredAnswer) -> StoredAnswer {
    StoredAnswer { first: translate(here, there, row.first), last: translate(here, there, row.last), ..row }
}
