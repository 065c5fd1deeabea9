//! Provisions a requested tenant, step by step, and undoes everything if a step fails. This is the only way to create a tenant.

use std::sync::Arc;
use std::time::Duration;

use coordinator::{Definition, Fault, Limits, Next, Retry, Start, StartContext, Step, StepContext};
use kernel::{Backoff, RecordedEvent};
use serde::{Deserialize, Serialize};
use user_aggregates::{Invitation, Tenant, TenantStatus};
use user_commands::{AbandonTenant, ActivateTenant, InviteOwner, RevokeOwnerInvitation, owner_invitation};

use crate::{Ports, ResourceError, TenantResources};

/// The short name and the name of a tenant are no personal data.
#[derive(Clone, Serialize, Deserialize)]
struct Parameters {
    slug: String,
    name: String,
}

pub(crate) fn definition(ports: &Ports) -> Definition {
    defined(ports, 2)
}

/// Version 1, without the step that makes keys (they were made when first used). For instances that started on it.
pub(crate) fn without_keys(ports: &Ports) -> Definition {
    defined(ports, 1)
}

fn defined(ports: &Ports, version: u32) -> Definition {
    let resources = ports.resources.clone();
    // Outages end by themselves, but a tenant that can't be provisioned within an hour is given up.
    let backoff = Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(30) };
    let retry = Retry { attempts: 200, backoff, park: false };
    let limits = Limits { whole: Duration::from_hours(1), ..Limits::default() };
    let action = |act: fn(Arc<dyn TenantResources>, StepContext, Parameters) -> StepFuture| {
        let resources = resources.clone();
        move |context: StepContext, parameters: Parameters| act(resources.clone(), context, parameters)
    };
    let mut steps = vec![
        Step::new("accept", accept).undo(abandon),
        Step::new(
            "reserve_slug",
            action(|resources, context, parameters| Box::pin(reserve(resources, context, parameters))),
        )
        .undo(action(|resources, context, parameters| Box::pin(release(resources, context, parameters)))),
        Step::new("check_databases", action(|resources, _, _| Box::pin(databases(resources)))),
        Step::new("check_streams", action(|resources, _, _| Box::pin(streams(resources)))),
        Step::new("invite_owner", invite).undo(revoke),
        Step::new(
            "activate",
            action(|resources, context, parameters| Box::pin(activate(resources, context, parameters))),
        ),
    ];
    if version > 1 {
        // After the streams.
        let make = action(|resources, context, _| Box::pin(make_keys(resources, context)));
        let keys =
            Step::new("make_keys", make).undo(action(|resources, context, _| Box::pin(close_keys(resources, context))));
        steps.insert(4, keys);
    }
    let steps = steps.into_iter().map(|step| step.retry(retry).limits(limits)).collect();
    let permissions = &["user:tenant:operate", "user:invitation:write"];
    Definition::new("provision_tenant", version, permissions, &["user.tenant.requested"], start, steps)
}

type StepFuture = std::pin::Pin<Box<dyn Future<Output = Result<Next, Fault>> + Send>>;

async fn start(context: StartContext, event: RecordedEvent) -> Result<Option<Start<Parameters>>, Fault> {
    let Some((tenant, _)) = context.load::<Tenant>(&event.aggregate_id).await? else { return Ok(None) };
    let parameters = Parameters { slug: tenant.slug.clone(), name: tenant.name.clone() };
    Ok(Some(Start { key: event.aggregate_id, parameters }))
}

/// The request is in the log already. This step only has an undo, which abandons the tenant.
async fn accept(_: StepContext, _: Parameters) -> Result<Next, Fault> {
    Ok(Next::done())
}

async fn abandon(context: StepContext, _: Parameters) -> Result<Next, Fault> {
    context.execute(&AbandonTenant).await?;
    Ok(Next::done())
}

async fn reserve(
    resources: Arc<dyn TenantResources>,
    context: StepContext,
    parameters: Parameters,
) -> Result<Next, Fault> {
    resources.reserve(context.tenant(), &parameters.slug, &parameters.name, context.now()).await?;
    Ok(Next::done())
}

async fn release(resources: Arc<dyn TenantResources>, context: StepContext, _: Parameters) -> Result<Next, Fault> {
    resources.release(context.tenant()).await?;
    Ok(Next::done())
}

async fn databases(resources: Arc<dyn TenantResources>) -> Result<Next, Fault> {
    resources.check_databases().await?;
    Ok(Next::done())
}

async fn streams(resources: Arc<dyn TenantResources>) -> Result<Next, Fault> {
    resources.check_streams().await?;
    Ok(Next::done())
}

async fn make_keys(resources: Arc<dyn TenantResources>, context: StepContext) -> Result<Next, Fault> {
    resources.make_keys(context.tenant()).await?;
    Ok(Next::done())
}

async fn close_keys(resources: Arc<dyn TenantResources>, context: StepContext) -> Result<Next, Fault> {
    resources.close_keys(context.tenant()).await?;
    Ok(Next::done())
}

async fn invite(context: StepContext, _: Parameters) -> Result<Next, Fault> {
    context.execute(&InviteOwner).await?;
    Ok(Next::done())
}

async fn revoke(context: StepContext, _: Parameters) -> Result<Next, Fault> {
    let invitation = owner_invitation(context.tenant());
    if context.load::<Invitation>(invitation).await?.is_some() {
        context.execute(&RevokeOwnerInvitation).await?;
    }
    Ok(Next::done())
}

async fn activate(
    resources: Arc<dyn TenantResources>,
    context: StepContext,
    parameters: Parameters,
) -> Result<Next, Fault> {
    // It may be the only step that is left when the tenant has been deleted: nothing of it may come back.
    let tenant = context.load::<Tenant>(context.tenant()).await?;
    if tenant.is_some_and(|(tenant, _)| tenant.status == TenantStatus::Deleted) {
        return Ok(Next::End("deleted"));
    }
    // Once more, because backups contain no reservations: after a restore there is none, and nothing would be opened.
    resources.reserve(context.tenant(), &parameters.slug, &parameters.name, context.now()).await?;
    // First the log: so a resolved name always leads to an active tenant, and an abandoned tenant's name never resolves.
    context.execute(&ActivateTenant).await?;
    resources.open(context.tenant()).await?;
    Ok(Next::done())
}

impl From<ResourceError> for Fault {
    fn from(error: ResourceError) -> Self {
        match error {
            ResourceError::Taken(slug) => Self::refused("slug_taken", format!("the short name {slug} is taken")),
            ResourceError::Transient(reason) => Self::transient("place_not_ready", reason),
        }
    }
}
