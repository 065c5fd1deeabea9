//! Invitations in GraphQL.

use chrono::{DateTime, Utc};
use face::graphql::{Context, Node, int, page};
use face::{connection, mirror};
use juniper::{FieldResult, graphql_object};
use user_projections::invitations::{self, InvitationFilter, InvitationRow};
use uuid::Uuid;

use super::user::User;
use crate::SERVICE;

/// The permission to see invitations.
const READ: &str = "user:invitation:read";

mirror! {
    /// State of an invitation.
    pub enum InvitationStatus of user_aggregates::InvitationStatus {
        /// Not accepted yet; valid until it expires.
        Pending,
        /// Accepted: the person became a user.
        Accepted,
        /// Revoked: its link is no longer valid.
        Revoked,
    }
}

/// An invitation to become a user.
#[derive(Clone, Debug)]
pub struct Invitation(InvitationRow);

/// An invitation to become a user.
#[graphql_object(context = Context)]
impl Invitation {
    /// Id of the invitation.
    fn id(&self) -> Uuid {
        self.0.invitation_id
    }

    /// Version of the invitation, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// State of the invitation.
    fn status(&self) -> InvitationStatus {
        self.0.status.0.into()
    }

    /// E-mail address that it was sent to.
    fn email(&self) -> &str {
        &self.0.email
    }

    /// Name of the invited person, if known.
    fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Roles that they get when they accept.
    fn roles(&self) -> Vec<String> {
        self.0.roles.iter().cloned().collect()
    }

    /// Subject of the caller who invited them.
    fn invited_by(&self) -> &str {
        &self.0.invited_by
    }

    /// When it was last sent.
    fn sent_at(&self) -> DateTime<Utc> {
        self.0.sent_at
    }

    /// When the last link that was sent expires.
    fn expires_at(&self) -> DateTime<Utc> {
        self.0.expires_at
    }

    /// The user who accepted it.
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
