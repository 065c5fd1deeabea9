//! [`SealReader`]: reads the seals of a log in the order of its events.

use std::collections::{HashMap, VecDeque};

use kernel::{Service, TenantId};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use super::snapshot::tenant;
use crate::Error;
use crate::seals::{Seal, rows};

/// Seals that are read at a time for each tenant, which bounds their memory.
const PAGE: i64 = 20;

/// The tenants that have seals, and the size of the last seal of each. A tenant that is arriving from another cell, or has left for one,
/// may have seals of events that are not in this log.
const SEALED: &str = "SELECT s.tenant_id, count(*), max(s.size),
            EXISTS (SELECT FROM log.closed c WHERE c.tenant_id = s.tenant_id AND c.state IN ('arriving', 'left'))
     FROM log.seals s GROUP BY s.tenant_id";

/// Reads the seals of a log next to its events, in the same database snapshot. A seal has no position: it belongs after the event with
/// which the tenant has as many events as the seal's size.
pub struct SealReader {
    service: Service,
    connection: PgConnection,
    count: u64,
    tenants: HashMap<TenantId, TenantSeals>,
}

/// The seals of one tenant, and how far the reader has got in them.
struct TenantSeals {
    /// The number of the tenant's events read so far.
    events: u64,
    /// The size of the tenant's last seal.
    last: u64,
    /// Whether the tenant is being moved, so that events may be missing here.
    is_moving: bool,
    /// The size of the last seal that was loaded.
    loaded: u64,
    seals: VecDeque<Seal>,
}

impl SealReader {
    /// Begins before the first event. The connection has a transaction with the same snapshot as the reader of the events.
    pub(super) async fn begin(service: Service, mut connection: PgConnection) -> Result<Self, Error> {
        let rows = sqlx::query(SEALED).fetch_all(&mut connection).await?;
        let (mut count, mut tenants) = (0, HashMap::with_capacity(rows.len()));
        for row in &rows {
            count += row.try_get::<i64, _>(1)?.cast_unsigned();
            let last = row.try_get::<i64, _>(2)?.cast_unsigned();
            let sealed = TenantSeals { events: 0, last, is_moving: row.try_get(3)?, loaded: 0, seals: VecDeque::new() };
            tenants.insert(tenant(row)?, sealed);
        }
        Ok(Self { service, connection, count, tenants })
    }

    /// The number of seals.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Advances by one event of a tenant. Returns the seal whose last event this is, if there is one.
    pub(super) async fn after(&mut self, tenant: TenantId) -> Result<Option<Seal>, Error> {
        let Some(sealed) = self.tenants.get_mut(&tenant) else { return Ok(None) };
        sealed.events += 1;
        if sealed.seals.is_empty() && sealed.loaded < sealed.last {
            let whose = (tenant.uuid(), self.service.name());
            sealed.seals = rows::page(&mut self.connection, whose, sealed.loaded, PAGE).await?.into();
            sealed.loaded = sealed.seals.back().map_or(sealed.last, |seal| seal.size);
        }
        Ok(sealed.seals.pop_front_if(|seal| seal.size == sealed.events))
    }

    /// Ends after the last event.
    ///
    /// # Errors
    /// [`Error::CutOff`] if a seal covers more events than there are.
    pub(super) async fn finish(self) -> Result<(), Error> {
        for (tenant, TenantSeals { events, last, is_moving, .. }) in &self.tenants {
            if events < last && !is_moving {
                let (service, tenant, events, sealed) = (self.service, *tenant, *events, *last);
                return Err(Error::CutOff { service, tenant, events, sealed });
            }
        }
        self.connection.close().await?;
        Ok(())
    }
}
