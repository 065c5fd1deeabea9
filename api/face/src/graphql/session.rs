//! A GraphQL request's access to the read models: one transaction per service, begun on first use.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use folding::RolePeriod;
use futures::Stream;
use jobs::JobNames;
use juniper::{FieldError, FieldResult};
use kernel::{Caller, Grant, Position, RecordedEvent, Refusal, Service};
use projector::{BeginError, Transaction, read_models_behind, read_models_unreadable};
use sqlx::PgConnection;
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use super::refuse;
use crate::{MinPositions, ReadSide};

/// The caller of a request, and the services that it can read.
pub struct Session {
    caller: Caller,
    services: HashMap<Service, Opened>,
    min_positions: MinPositions,
    /// The longest wait for a requested position.
    patience: Duration,
    /// How many times it was renewed.
    turn: AtomicU64,
}

struct Opened {
    read_side: ReadSide,
    transaction: Mutex<Option<Transaction>>,
}

/// Exclusive use of the request's transaction on a service's read models; other resolvers of the request wait meanwhile.
pub struct Reader<'s>(MutexGuard<'s, Option<Transaction>>);

impl Session {
    /// A session of `caller` over these services; `patience` is the longest wait for a requested position.
    pub fn new(
        caller: Caller,
        read_sides: impl IntoIterator<Item = ReadSide>,
        min_positions: MinPositions,
        patience: Duration,
    ) -> Self {
        let services = read_sides
            .into_iter()
            .map(|read_side| (read_side.service, Opened { read_side, transaction: Mutex::default() }))
            .collect();
        Self { caller, services, min_positions, patience, turn: AtomicU64::new(0) }
    }

    /// The caller of the request.
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The services that can be read here, by name.
    pub fn services(&self) -> Vec<Service> {
        let mut services: Vec<Service> = self.services.keys().copied().collect();
        services.sort_unstable();
        services
    }

    /// The permission tables of all services.
    pub fn grants(&self) -> &[Grant] {
        self.services.values().next().map_or(&[], |opened| &*opened.read_side.grants)
    }

    /// The public base URL, without a trailing slash.
    pub fn public_url(&self) -> &str {
        self.services.values().next().map_or("", |opened| &*opened.read_side.public_url)
    }

    /// The names of a service's kinds and queues of jobs.
    pub fn job_names(&self, service: Service) -> JobNames {
        self.services.get(&service).map(|opened| JobNames::clone(&opened.read_side.job_names)).unwrap_or_default()
    }

    /// Refuses with a GraphQL error unless the caller has `permission`.
    pub fn require(&self, permission: &'static str) -> FieldResult<()> {
        self.caller.require(permission).map_err(refuse)
    }

    /// The services in which the caller has the permission `<service>:<what>`, such as `job:read` for `crm:job:read`: the service `name`,
    /// or all services, sorted by name. For queries about things that every service has, such as jobs.
    ///
    /// # Errors
    /// `not_found`: this process does not serve a service of that name. `permission_missing`: the caller has the permission neither in
    /// the named service nor, without a name, in any.
    pub fn permitted(&self, name: Option<&str>, what: &str) -> FieldResult<Vec<Service>> {
        let here = self.services();
        let asked: Vec<Service> =
            here.iter().copied().filter(|service| name.is_none_or(|name| service.name() == name)).collect();
        if let (Some(name), []) = (name, &*asked) {
            let names: Vec<_> = here.iter().map(|service| service.name()).collect();
            let detail = format!("there is no service {name:?} here; allowed: {}", names.join(", "));
            return Err(refuse(Refusal::not_found("not_found", detail).with("resource", "service")));
        }
        let permission = |service: &Service| format!("{service}:{what}");
        let permitted: Vec<Service> =
            asked.iter().copied().filter(|service| self.caller.may(&permission(service))).collect();
        if !permitted.is_empty() {
            return Ok(permitted);
        }
        let needed: Vec<String> = asked.iter().map(permission).collect();
        let detail =
            format!("this needs the permission {}, which none of the caller's roles gives", needed.join(" or "));
        Err(refuse(Refusal::forbidden("permission_missing", detail).with("permission", needed.join(" "))))
    }

    /// The request's transaction on a service's read models, with the caller's tenant set. Before it is begun, waits for the position that
    /// the request demands.
    ///
    /// # Errors
    /// When the service is not served here, the read models do not answer, or they do not reach the position in time.
    pub async fn reader(&self, service: Service) -> FieldResult<Reader<'_>> {
        self.reader_at(service, self.min_positions.of(service).unwrap_or(Position::START)).await
    }

    /// As [`reader`](Self::reader), at `position` or later instead of the position that the request demands. Only the first call for a
    /// service counts, because it fixes the transaction's snapshot.
    pub async fn reader_at(&self, service: Service, position: Position) -> FieldResult<Reader<'_>> {
        let opened = self.opened(service)?;
        let mut transaction = opened.transaction.lock().await;
        if transaction.is_none() {
            let read_models = &opened.read_side.read_models;
            let begun = read_models.begin_at(self.caller.tenant(), position, self.patience).await;
            *transaction = Some(begun.map_err(|error| not_begun(service, error))?);
        }
        Ok(Reader(transaction))
    }

    /// The role history of these subjects, as far as they belong to services other than the user service: machines.
    pub async fn role_periods(&self, subjects: &[Uuid]) -> FieldResult<Vec<RolePeriod>> {
        let mut found = Vec::new();
        for (service, opened) in &self.services {
            if let Some(role_periods) = opened.read_side.role_periods {
                let mut tables = self.reader(*service).await?;
                let told = (role_periods.of)(&mut tables, self.caller.tenant(), subjects).await;
                found.extend(told.map_err(super::unreadable)?);
            }
        }
        Ok(found)
    }

    /// The ids of subjects that belong to services other than the user service: at most `limit`, after `after`, in ascending order.
    pub async fn subjects(&self, after: Uuid, limit: i64) -> FieldResult<Vec<Uuid>> {
        let mut found = Vec::new();
        for (service, opened) in &self.services {
            if let Some(role_periods) = opened.read_side.role_periods {
                let mut tables = self.reader(*service).await?;
                let told = (role_periods.subjects)(&mut tables, self.caller.tenant(), after, limit).await;
                found.extend(told.map_err(super::unreadable)?);
            }
        }
        found.sort_unstable();
        found.truncate(usize::try_from(limit).unwrap_or_default());
        Ok(found)
    }

    /// Ends the open transactions and discards the dataloaders, so that later reads see the current state. Subscriptions have a
    /// long-lived session and must call this after each event, so that no connection is held between events. No resolver may be
    /// reading meanwhile.
    pub async fn renew(&self) {
        self.turn.fetch_add(1, Ordering::AcqRel);
        for opened in self.services.values() {
            if let Some(transaction) = opened.transaction.lock().await.take()
                && let Err(error) = transaction.rollback().await
            {
                tracing::debug!(%error, "a read transaction could not be ended; its connection is dropped");
            }
        }
    }

    /// The live events of a service for the caller's tenant, in order.
    pub async fn subscribe(
        &self,
        service: Service,
    ) -> FieldResult<impl Stream<Item = Result<std::sync::Arc<RecordedEvent>, crate::live::MissedEvents>> + Send + use<>>
    {
        let live = &self.opened(service)?.read_side.live;
        live.subscribe(self.caller.tenant()).await.map_err(|error| {
            tracing::warn!(%service, %error, "a subscription could not begin");
            refuse(Refusal::unavailable("bus_unavailable", "live events are not available now; try again"))
        })
    }

    /// How many times the session was renewed: data that was read in an earlier turn may be out of date.
    pub(super) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Acquire)
    }

    fn opened(&self, service: Service) -> FieldResult<&Opened> {
        self.services.get(&service).ok_or_else(|| {
            refuse(Refusal::unavailable(
                "service_not_here",
                format!("the service {service} is not served by this process"),
            ))
        })
    }
}

/// The GraphQL error for a transaction on a service's read models that could not be begun.
fn not_begun(service: Service, error: BeginError) -> FieldError {
    refuse(match error {
        BeginError::Behind(behind) => {
            let detail = format!(
                "the read models are at position {}, before the requested position {}",
                behind.reached, behind.wanted
            );
            read_models_behind(behind, detail)
        }
        BeginError::Unreadable(error) => read_models_unreadable(service, &error),
    })
}

impl Deref for Reader<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match &*self.0 {
            Some(transaction) => transaction,
            None => unreachable!("a reader holds a transaction that was begun"),
        }
    }
}

impl DerefMut for Reader<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match &mut *self.0 {
            Some(transaction) => transaction,
            None => unreachable!("a reader holds a transaction that was begun"),
        }
    }
}
