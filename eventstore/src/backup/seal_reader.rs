//! The seals of a log, in the order in which its events come to them.

use std::collections::{HashMap, VecDeque};

use kernel::{Service, TenantId};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use super::snapshot::tenant;
use crate::Error;
use crate::seals::{Seal, rows};

/// Seals that are asked for at once: of each tenant so many are in memory.
const PAGE: i64 = 20;

/// Who has seals, and of how many events the last is. Of who is arriving from another cell, or has left for one, there may be seals of
/// events that are not here yet.
const SEALED: &str = "SELECT s.tenant_id, count(*), max(s.size),
            EXISTS (SELECT FROM log.closed c WHERE c.tenant_id = s.tenant_id AND c.state IN ('arriving', 'left'))
     FROM log.seals s GROUP BY s.tenant_id";

/// Reads the seals of a log beside its events, in the same moment. Seals name no position: where one stands is where the tenant's
/// events are as many as it is of.
pub struct SealReader {
    service: Service,
    connection: PgConnection,
    count: u64,
    tenants: HashMap<TenantId, TenantSeals>,
}

/// A tenant's seals that its events have not come to.
struct TenantSeals {
    /// How many events came.
    events: u64,
    /// Of how many the last seal is.
    last: u64,
    /// Whether its events are to come from another cell yet.
    is_moving: bool,
    /// Of how many events the last seal is that was asked for.
    asked: u64,
    seals: VecDeque<Seal>,
}

impl SealReader {
    /// Begins before the first event, in a transaction of the connection's that sees the same as who reads the events.
    pub(super) async fn begin(service: Service, mut connection: PgConnection) -> Result<Self, Error> {
        let rows = sqlx::query(SEALED).fetch_all(&mut connection).await?;
        let (mut count, mut tenants) = (0, HashMap::with_capacity(rows.len()));
        for row in &rows {
            count += row.try_get::<i64, _>(1)?.cast_unsigned();
            let last = row.try_get::<i64, _>(2)?.cast_unsigned();
            let sealed = TenantSeals { events: 0, last, is_moving: row.try_get(3)?, asked: 0, seals: VecDeque::new() };
            tenants.insert(tenant(row)?, sealed);
        }
        Ok(Self { service, connection, count, tenants })
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// After the next event of a tenant's: the seal of all that came, if there is one.
    pub(super) async fn after(&mut self, tenant: TenantId) -> Result<Option<Seal>, Error> {
        let Some(sealed) = self.tenants.get_mut(&tenant) else { return Ok(None) };
        sealed.events += 1;
        if sealed.seals.is_empty() && sealed.asked < sealed.last {
            let whose = (tenant.uuid(), self.service.name());
            sealed.seals = rows::page(&mut self.connection, whose, sealed.asked, PAGE).await?.into();
            sealed.asked = sealed.seals.back().map_or(sealed.last, |seal| seal.size);
        }
        Ok(sealed.seals.pop_front_if(|seal| seal.size == sealed.events))
    }

    /// After the last event.
    ///
    /// # Errors
    /// [`Error::CutOff`] when more was sealed.
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
