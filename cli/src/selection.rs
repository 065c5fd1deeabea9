//! Checks the filters of history commands. Unknown types or ids are refused, because a typing error would otherwise look like a history
//! without events.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use eventstore::{EventStore, ReplayFilter};
use kernel::{Service, TenantId};

use crate::context;

/// Refuses aggregate and event types that these services do not have.
pub fn check_types(services: &[Service], aggregate: Option<&str>, event: Option<&str>) -> Result<()> {
    let domains = services.iter().map(|service| context::domain(*service)).collect::<Result<Vec<_>>>()?;
    let aggregates = domains.iter().flat_map(|domain| &domain.aggregates).map(|aggregate| aggregate.name).collect();
    check_type("aggregate", aggregate, aggregates)?;
    let events = domains.iter().flat_map(|domain| (domain.catalog)()).map(|event| event.name).collect();
    check_type("event", event, events)
}

fn check_type(of: &str, name: Option<&str>, known: BTreeSet<&str>) -> Result<()> {
    if let Some(name) = name
        && !known.contains(name)
    {
        bail!("there is no {of} type {name:?}; allowed: {}", known.into_iter().collect::<Vec<_>>().join(", "));
    }
    Ok(())
}

/// Refuses an id that no aggregate of the tenant has in any of these logs, or no aggregate of the type `aggregate` if that is given.
pub async fn check_id(
    (name, tenant): (&str, TenantId),
    stores: &[&EventStore],
    aggregate: Option<&str>,
    id: &str,
) -> Result<()> {
    for store in stores {
        if has_id(tenant, store, aggregate, id).await? {
            return Ok(());
        }
    }
    bail!("the tenant {name} has no {} with the id {id}", aggregate.unwrap_or("aggregate"))
}

/// Whether an aggregate of the tenant, of the type `aggregate` if that is given, has this id in a log.
pub async fn has_id(
    tenant: TenantId,
    store: &EventStore,
    aggregate: Option<&str>,
    id: &str,
) -> Result<bool, eventstore::Error> {
    let (aggregate_type, aggregate_id) = (aggregate.map(str::to_owned), Some(id.to_owned()));
    let of_it = ReplayFilter { aggregate_type, aggregate_id, ..ReplayFilter::default() };
    Ok(store.count(tenant, &of_it).await? > 0)
}

/// Refuses an empty time span. `of` is `recorded` or `occurred`, as in the options' names.
pub fn check_span(of: &str, from: Option<DateTime<Utc>>, until: Option<DateTime<Utc>>) -> Result<()> {
    if let (Some(from), Some(until)) = (from, until)
        && until <= from
    {
        bail!("--{of}-until is not after --{of}-from");
    }
    Ok(())
}
