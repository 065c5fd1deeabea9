//! Invitations in GraphQL.

use chrono::{DateTime, Utc};
use face::connection;
use face::graphql::{Context, Node, int, page};
use juniper::{FieldResult, GraphQLEnum, graphql_object};
use user_aggregates as domain;
use user_projections::invitations::{self, InvitationFilter, InvitationRow};
use uuid::Uuid;

use super::user::User;
use crate::SERVICE;

/// What one needs to see invitations.
const READ: &str = "user:invitation:read";

/// Where an invitation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, GraphQLEnum)]
pub enum InvitationStatus {
    /// Not answered yet; good until it expires.
    Pending,
    /// They are a user.
    Accepted,
    /// It was taken back.
    Revoked,
}

impl From<domain::InvitationStatus> for InvitationStatus {
    fn from(status: domain::InvitationStatus) -> Self {
        match status {
            domain::InvitationStatus::Pending => Self::Pending,
            domain::InvitationStatus::Accepted => Self::Accepted,
            domain::InvitationStatus::Revoked => Self::Revoked,
        }
    }
}

impl From<InvitationStatus> for domain::InvitationStatus {
    fn from(status: InvitationStatus) -> Self {
        match status {
            InvitationStatus::Pending => Self::Pending,
            InvitationStatus::Accepted => Self::Accepted,
            InvitationStatus::Revoked => Self::Revoked,
        }
    }
}

/// Somebody was asked to become a user.
#[derive(Clone, Debug)]
pub struct Invitation(InvitationRow);

/// Somebody was asked to become a user.
#[graphql_object(context = Context)]
impl Invitation {
    /// The invitation's id.
    fn id(&self) -> Uuid {
        self.0.invitation_id
    }

    /// The invitation's version, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// Where it stands.
    fn status(&self) -> InvitationStatus {
        self.0.status.0.into()
    }

    /// Where the mail went.
    fn email(&self) -> &str {
        &self.0.email
    }

    /// Who it is, as far as known.
    fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// The roles that they begin with.
    fn roles(&self) -> Vec<String> {
        self.0.roles.iter().cloned().collect()
    }

    /// In whose name it was sent, by the subject of their token.
    fn invited_by(&self) -> &str {
        &self.0.invited_by
    }

    /// When it was sent last.
    fn sent_at(&self) -> DateTime<Utc> {
        self.0.sent_at
    }

    /// Until when its last link is good.
    fn expires_at(&self) -> DateTime<Utc> {
        self.0.expires_at
    }

    /// Who they became.
    async fn user(&self, context: &Context) -> FieldResult<Option<User>> {
        User::of(context, self.0.user_id).await
    }
}

connection! {
    /// A page of invitations.
    pub struct InvitationConnection of Invitation by InvitationEdge in SERVICE,
        counted by invitations::count where InvitationFilter
}

pub(crate) async fn list(
    context: &Context,
    status: Option<InvitationStatus>,
    first: Option<i32>,
    after: Option<String>,
) -> FieldResult<InvitationConnection> {
    context.require(READ)?;
    let filter = InvitationFilter { status: status.map(Into::into) };
    let rows =
        page(context, SERVICE, &filter, (invitations::LastSentFirst, "INVITATIONS_NEWEST"), first, after).await?;
    Ok(InvitationConnection::new(rows.map(Invitation), filter))
}
