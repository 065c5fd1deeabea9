//! Checks the filters of history commands. Unknown types or ids are refused, because a typing error would otherwise look like a history
//! without events.

use std::collections::BTreeSet;
use std::convert::Infallible;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use eventstore::{EventStore, ReplayFilter};
use kernel::{Position, Service, TenantId, UserId};

use crate::context::{self, Context};
use crate::output;

/// A value parser for ids of aggregates. Those that are UUIDs may have capital letters, as in the API; the log has none.
pub fn id() -> impl Fn(&str) -> Result<String, Infallible> + Clone + Send + Sync + 'static {
    |text| Ok(kernel::read_uuid(text).map_or_else(|_| text.to_owned(), |id| id.to_string()))
}

/// Refuses aggregate and event types that these services do not have, and an event type of other aggregates.
pub fn check_types(services: &[Service], aggregate: Option<&str>, event: Option<&str>) -> Result<()> {
    let domains = services.iter().map(|service| context::domain(*service)).collect::<Result<Vec<_>>>()?;
    let aggregates: BTreeSet<_> =
        domains.iter().flat_map(|domain| &domain.aggregates).map(|aggregate| aggregate.name).collect();
    check_type(services, "aggregate", aggregate, &aggregates)?;
    let types: Vec<_> = domains.iter().flat_map(|domain| (domain.event_types)()).collect();
    let events: BTreeSet<_> = types.iter().map(|event| event.name).collect();
    check_type(services, "event", event, &events)?;
    let event = event.and_then(|name| types.iter().find(|known| known.name == name));
    match (aggregate, event) {
        (Some(aggregate), Some(event)) if event.aggregate_type != aggregate => {
            bail!("{} is an event of {}, which no {aggregate} has", event.name, event.aggregate_type)
        }
        _ => Ok(()),
    }
}

fn check_type(services: &[Service], of: &str, name: Option<&str>, known: &BTreeSet<&str>) -> Result<()> {
    let Some(name) = name.filter(|name| !known.contains(*name)) else { return Ok(()) };
    let service = name.split_once('.').and_then(|(service, _)| context::service(service).ok());
    if let Some(other) = service.filter(|service| !services.contains(service)) {
        let services = services.iter().map(|service| service.name()).collect::<Vec<_>>().join(", ");
        bail!("the {of} type {name:?} is not one of {services}: its name begins with the service {other}");
    }
    let (near, what) = nearest(name, known);
    bail!("there is no {of} type {name:?}; allowed{what}: {}", near.join(", "))
}

/// Of the known names those that begin like this one, with its service and aggregate, or else with its service; all if none does. And which
/// these are, in words, if they are not all.
fn nearest<'k>(name: &str, known: &BTreeSet<&'k str>) -> (Vec<&'k str>, String) {
    let mut prefix = name;
    while let Some((before, _)) = prefix.rsplit_once('.') {
        prefix = before;
        let below =
            known.iter().copied().filter(|known| known.strip_prefix(prefix).is_some_and(|it| it.starts_with('.')));
        let near: Vec<_> = below.collect();
        if !near.is_empty() {
            let what = if near.len() < known.len() { format!(" of {prefix}") } else { String::new() };
            return (near, what);
        }
    }
    (known.iter().copied().collect(), String::new())
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

/// Refuses an id that is no user of the tenant. If the log of the service `user` can't be read, a warning says so instead.
pub async fn check_user(context: &Context, (name, tenant): (&str, TenantId), user: UserId) -> Result<()> {
    let id = user.to_string();
    let users = context.store(context::service("user")?).await?;
    let known = has_id(tenant, &users, Some("user.user"), &id).await;
    users.close().await;
    match known {
        Ok(true) => Ok(()),
        Ok(false) => bail!("the tenant {name} has no user with the id {id}"),
        Err(error) => {
            output::tell(format!("whether the tenant {name} has a user with the id {id} can't be asked: {error}"));
            Ok(())
        }
    }
}

/// Refuses positions where several logs are read, each of which has its own. `are` says which, such as "--after is a position".
pub fn check_one_log(services: &[Service], are: &str) -> Result<()> {
    if services.len() > 1 {
        let names = services.iter().map(|service| service.name()).collect::<Vec<_>>().join(", ");
        bail!("{are} of one service's log; say which with --service: {names}");
    }
    Ok(())
}

/// The end of a log. Refuses a position beyond it, as of another log: the answer would be empty, or that for the end.
pub async fn end_of(store: &EventStore, positions: impl IntoIterator<Item = Position>) -> Result<Position> {
    let head = store.head().await?;
    match positions.into_iter().find(|position| *position > head) {
        Some(ahead) => bail!("the log of {} ends at {head}, before {ahead}", store.service()),
        None => Ok(head),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_in_whichever_case_it_is_written() {
        let read = id();
        assert_eq!(read("0197A8A0-0000-7000-8000-00000000BEEF").unwrap(), "0197a8a0-0000-7000-8000-00000000beef");
        assert_eq!(read("Other").unwrap(), "Other", "not every id is a UUID");
    }

    #[test]
    fn an_event_of_other_aggregates_is_refused() {
        let crm = [context::service("crm").unwrap()];
        assert!(check_types(&crm, Some("crm.lead"), Some("crm.lead.captured")).is_ok());
        let refused = check_types(&crm, Some("crm.account"), Some("crm.lead.captured")).unwrap_err().to_string();
        assert_eq!(refused, "crm.lead.captured is an event of crm.lead, which no crm.account has");
    }

    #[test]
    fn a_slip_is_answered_with_the_names_that_begin_like_it() {
        let known =
            BTreeSet::from(["auth.session.ended", "crm.lead.assigned", "crm.lead.captured", "crm.pipeline.created"]);
        let near = |name: &str| nearest(name, &known);
        assert_eq!(
            near("crm.lead.captred"),
            (vec!["crm.lead.assigned", "crm.lead.captured"], " of crm.lead".to_owned())
        );
        assert_eq!(near("crm.leads.captured").0, ["crm.lead.assigned", "crm.lead.captured", "crm.pipeline.created"]);
        assert_eq!(near("lead.captured"), (known.iter().copied().collect::<Vec<_>>(), String::new()));
        assert_eq!(near("crm").0.len(), 4);
    }

    #[test]
    fn a_type_of_another_service_is_told_from_one_that_there_is_not() {
        let crm = [context::service("crm").unwrap()];
        let refused = |event: &str| check_types(&crm, None, Some(event)).unwrap_err().to_string();
        assert!(check_types(&crm, Some("crm.lead"), Some("crm.lead.captured")).is_ok());
        assert_eq!(
            refused("user.user.erased"),
            r#"the event type "user.user.erased" is not one of crm: its name begins with the service user"#
        );
        let slip = refused("crm.lead.captred");
        assert!(slip.contains("allowed of crm.lead: ") && !slip.contains("crm.account."), "{slip}");
    }
}
