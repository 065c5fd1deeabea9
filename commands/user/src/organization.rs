//! Organizations.

use executor::{ClaimKind, Command, Work};
use kernel::{Checks, Refusal};
use user_aggregates::{Organization, OrganizationCommand, OrganizationCreated, OrganizationId};

use crate::lengths;
use crate::references::existing_organization;

/// Claims on the names of organizations, which are unique in a tenant regardless of case.
pub(crate) static NAME: ClaimKind = ClaimKind {
    name: "user.organization.name",
    code: "organization_name_taken",
    detail: "another organization (holder) has this name; choose another name",
};

/// Creates an organization.
#[derive(Clone, Debug)]
pub struct CreateOrganization {
    pub name: String,
    /// The parent organization.
    pub parent: Option<OrganizationId>,
}

/// Renames an organization.
#[derive(Clone, Debug)]
pub struct RenameOrganization {
    pub organization: OrganizationId,
    pub name: String,
}

/// Closes an organization.
#[derive(Clone, Copy, Debug)]
pub struct CloseOrganization {
    pub organization: OrganizationId,
}

impl Command for CreateOrganization {
    const PERMISSION: &'static str = "user:organization:write";
    type Answer = OrganizationId;

    async fn run(&self, work: &mut Work<'_>) -> Result<OrganizationId, Refusal> {
        let mut checks = Checks::default();
        let name = checks.line("/name", &self.name, lengths::NAME);
        checks.finish()?;
        if let Some(parent) = self.parent {
            existing_organization(work, parent, "/parent").await?;
        }
        let organization: OrganizationId = work.new_id();
        work.take(&NAME, &name.to_lowercase(), organization);
        let created = OrganizationCreated { name, parent: self.parent };
        work.create::<Organization>(organization, OrganizationCommand::Create(created))?;
        Ok(organization)
    }
}

impl Command for RenameOrganization {
    const PERMISSION: &'static str = "user:organization:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let name = checks.line("/name", &self.name, lengths::NAME);
        checks.finish()?;
        let before = work.read::<Organization>(self.organization).await?.name.to_lowercase();
        let after = name.to_lowercase();
        work.update::<Organization>(self.organization, OrganizationCommand::Rename { name }).await?;
        if before != after {
            work.release(&NAME, &before, self.organization);
            work.take(&NAME, &after, self.organization);
        }
        Ok(())
    }
}

impl Command for CloseOrganization {
    const PERMISSION: &'static str = "user:organization:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let organization = work.read::<Organization>(self.organization).await?;
        work.update::<Organization>(self.organization, OrganizationCommand::Close).await?;
        if !organization.closed {
            work.release(&NAME, &organization.name.to_lowercase(), self.organization);
        }
        Ok(())
    }
}
