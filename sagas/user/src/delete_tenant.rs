//! Deletes a tenant at the end of its grace period, unless it is restored before: destroys its data, service by service.
//!
//! Until the step `delete` it can be restored. After that there is no way back: the steps have no undo, are retried until they succeed, and
//! nobody can cancel them. The service of tenants comes last, because this saga is in its log: once the tenant is destroyed there, nothing
//! can be written for it any more, including the saga's own end. Only the record in the directory remains.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use coordinator::{Definition, Fault, Limits, Next, Start, StartContext, Step, StepContext};
use kernel::RecordedEvent;
use serde::{Deserialize, Serialize};
use user_aggregates::{Tenant, TenantDeletionRequested, TenantEvent, TenantStatus};
use user_commands::DeleteTenant;

use crate::{Ports, TenantResources, for_a_day};

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Parameters {
    due_at: DateTime<Utc>,
}

pub(crate) fn definition(ports: &Ports) -> Definition {
    let resources = ports.resources.clone();
    let action = |act: fn(Arc<dyn TenantResources>, StepContext) -> StepFuture| {
        let resources = resources.clone();
        move |context: StepContext, _: Parameters| act(resources.clone(), context)
    };
    let forever = Limits { whole: Duration::from_hours(24 * 365 * 20), ..Limits::default() };
    // A large tenant of many years has many rows.
    let long = Limits { attempt: Duration::from_hours(1), whole: Duration::from_hours(48) };
    let steps = vec![
        Step::new("wait", wait).limits(forever),
        Step::new("delete", delete).pivot(),
        Step::new("destroy_services", action(|resources, context| Box::pin(destroy_services(resources, context))))
            .limits(long),
        Step::new("record", action(|resources, context| Box::pin(record(resources, context)))).limits(long),
        Step::new("destroy_last", action(|resources, context| Box::pin(destroy_last(resources, context)))).limits(long),
    ];
    let steps = steps.into_iter().map(|step| step.retry(for_a_day())).collect();
    let permissions = &["user:tenant:operate"];
    Definition::new("delete_tenant", 1, permissions, &["user.tenant.deletion_requested"], start, steps)
        .wakes_on(|event| (event.event_type == "user.tenant.restored").then(|| event.aggregate_id.clone()))
}

type StepFuture = std::pin::Pin<Box<dyn Future<Output = Result<Next, Fault>> + Send>>;

async fn start(_: StartContext, event: RecordedEvent) -> Result<Option<Start<Parameters>>, Fault> {
    let told = event.decode::<TenantEvent>();
    let told = told.map_err(|error| Fault::refused("history_unreadable", error.to_string()))?;
    let due_at = told.into_iter().find_map(|event| match event {
        TenantEvent::TenantDeletionRequested(TenantDeletionRequested { due_at, .. }) => Some(due_at),
        _ => None,
    });
    Ok(due_at.map(|due_at| Start { key: event.aggregate_id, parameters: Parameters { due_at } }))
}

async fn wait(context: StepContext, parameters: Parameters) -> Result<Next, Fault> {
    let Some((tenant, _)) = context.load::<Tenant>(context.tenant()).await? else { return Ok(Next::End("unknown")) };
    match tenant.deletion {
        Some(deletion) if deletion.due_at == parameters.due_at && context.now() < deletion.due_at => {
            Ok(Next::WaitUntil(deletion.due_at))
        }
        Some(deletion) if deletion.due_at == parameters.due_at => Ok(Next::done()),
        // It was never open, and what was made of it is undone.
        None if tenant.status == TenantStatus::Abandoned => Ok(Next::End("abandoned")),
        // It was restored, and perhaps scheduled for deletion again at another time, which is another instance's task.
        _ => Ok(Next::End("restored")),
    }
}

/// The point of no return. The log decides whether a concurrent restore comes before it.
async fn delete(context: StepContext, parameters: Parameters) -> Result<Next, Fault> {
    let Some((tenant, _)) = context.load::<Tenant>(context.tenant()).await? else { return Ok(Next::End("unknown")) };
    if tenant.deletion.is_none_or(|deletion| deletion.due_at != parameters.due_at) {
        return Ok(Next::End("restored"));
    }
    context.execute(&DeleteTenant).await?;
    Ok(Next::done())
}

async fn destroy_services(resources: Arc<dyn TenantResources>, context: StepContext) -> Result<Next, Fault> {
    is_deleted(&context).await?;
    let services = resources.services();
    for service in services.iter().take(services.len().saturating_sub(1)) {
        resources.destroy(context.tenant(), *service).await?;
    }
    Ok(Next::done())
}

async fn record(resources: Arc<dyn TenantResources>, context: StepContext) -> Result<Next, Fault> {
    is_deleted(&context).await?;
    resources.record_deletion(context.tenant()).await?;
    Ok(Next::done())
}

async fn destroy_last(resources: Arc<dyn TenantResources>, context: StepContext) -> Result<Next, Fault> {
    is_deleted(&context).await?;
    if let Some(last) = resources.services().last() {
        resources.destroy(context.tenant(), *last).await?;
    }
    Ok(Next::done())
}

/// A safeguard: nothing is destroyed unless the log says that the tenant is deleted.
async fn is_deleted(context: &StepContext) -> Result<(), Fault> {
    match context.load::<Tenant>(context.tenant()).await? {
        Some((tenant, _)) if tenant.status == TenantStatus::Deleted => Ok(()),
        _ => Err(Fault::refused("tenant_not_deleted", "the log does not say that the tenant is deleted")),
    }
}
