//! Lists of sagas, jobs and dead letters: of one tenant, or of all tenants of this cell.

use std::cmp::Reverse;
use std::pin::pin;

use anyhow::Result;
use futures::stream::{self, StreamExt, TryStreamExt};
use gateway::DomainDefinition;
use kernel::{Caller, Refusal, Service, TenantId};
use serde::Serialize;

use crate::context::{self, Context, administrator};
use crate::output::{self, Format};

/// How many tenants are asked about at a time: as many as a pool for lists has connections.
const TOGETHER: usize = 4;

/// Whose items are listed.
#[derive(Debug, clap::Args)]
pub struct Scope {
    /// The tenant: its name or id; all tenants unless given
    #[arg(long)]
    pub tenant: Option<String>,
    /// Only this service, such as crm; all unless given
    #[arg(long)]
    pub service: Option<String>,
}

/// A tenant whose items are listed.
pub struct Whom {
    id: TenantId,
    /// Its name in a list of all tenants' items.
    name: Option<String>,
}

/// An item of a list.
pub struct Item<T> {
    /// Its service.
    pub service: Service,
    /// The item.
    pub one: T,
    /// The name of its tenant, in a list of all tenants' items.
    tenant: Option<String>,
}

impl Scope {
    /// The selected services, as [`Whose::services`](context::Whose::services).
    pub fn services(&self, has: impl Fn(&DomainDefinition) -> bool, what: &str) -> Result<Vec<DomainDefinition>> {
        context::selected(self.service.as_deref(), has, what)
    }

    /// The tenant, or all.
    pub async fn tenants(&self, context: &Context) -> Result<Vec<Whom>> {
        if let Some(named) = &self.tenant {
            return Ok(vec![Whom { id: context.tenant(named).await?, name: None }]);
        }
        let all = context.tenants().await?.into_iter();
        Ok(all.map(|tenant| Whom { id: tenant.tenant_id, name: Some(tenant.slug) }).collect())
    }

    /// As [`tenants`](Self::tenants), with deleted ones, whose names are their ids: others may have their names by now.
    pub async fn tenants_and_deleted(&self, context: &Context) -> Result<Vec<Whom>> {
        if let Some(named) = &self.tenant {
            return Ok(vec![Whom { id: context.tenant_or_deleted(named).await?, name: None }]);
        }
        let mut all = self.tenants(context).await?;
        let deleted = context.deleted_tenants().await?.into_iter();
        all.extend(deleted.map(|id| Whom { id, name: Some(id.to_string()) }));
        Ok(all)
    }
}

/// The items that `list` finds for each of these tenants in a service: at most `limit` of all, those with the largest keys first.
pub async fn of_service<T, K: Ord>(
    service: Service,
    tenants: &[Whom],
    limit: u32,
    list: impl AsyncFn(&Caller) -> Result<Vec<T>, Refusal>,
    key: impl Fn(&T) -> K,
) -> Result<Vec<Item<T>>> {
    let list = &list;
    let asked = stream::iter(tenants).map(|whom| async move {
        let listed = list(&administrator(whom.id)).await?;
        Ok::<_, Refusal>((whom, listed))
    });
    let mut answers = pin!(asked.buffered(TOGETHER));
    let mut found = Vec::new();
    while let Some((whom, listed)) = answers.try_next().await? {
        found.extend(listed.into_iter().map(|one| Item { service, one, tenant: whom.name.clone() }));
        // After each tenant, so that a list of very many takes no more memory than one.
        first(&mut found, limit, &key);
    }
    Ok(found)
}

/// Sorts items by their keys, the largest first, and leaves out those after the first `limit`.
pub fn first<T, K: Ord>(found: &mut Vec<Item<T>>, limit: u32, key: impl Fn(&T) -> K) {
    found.sort_by_key(|item| Reverse(key(&item.one)));
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
}

/// Prints a list: as JSON, or as a table with these columns, whose cells for an item `row` returns. The service, and in a list of all
/// tenants' items the tenant, stand before them.
pub fn print<T: Serialize, const N: usize>(
    context: &Context,
    scope: &Scope,
    found: &[Item<T>],
    columns: [&'static str; N],
    row: impl Fn(&T) -> [String; N],
) -> Result<()> {
    if context.format == Format::Json {
        let listed: Vec<_> = found.iter().map(|item| (item.service, &item.one)).collect();
        let mut documents = output::of_services(&listed)?;
        for (document, item) in documents.iter_mut().zip(found) {
            if let (Some(members), Some(tenant)) = (document.as_object_mut(), &item.tenant) {
                members.insert("tenant".to_owned(), tenant.as_str().into());
            }
        }
        return output::print_json(&documents);
    }
    let tenant = scope.tenant.is_none().then_some("tenant");
    let mut table = output::table(tenant.into_iter().chain(["service"]).chain(columns));
    for item in found {
        let whose = item.tenant.iter().cloned().chain([item.service.to_string()]);
        table.add_row(whose.chain(row(&item.one)));
    }
    output::print(table)
}
