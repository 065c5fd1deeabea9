//! Invitations of users, pending and answered.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use folding::change::{Change, decode};
use folding::fold::{self, Current, Erasable, fold};
use folding::list::{Filter, Order, of_tenant};
pub use folding::list::{count, list};
use folding::named::Named;
use folding::paging::{KeyType, Keyset, Seek, SeekKey};
use folding::table::{Key, upsert};
use folding::{projection, table};
use kernel::{Personal, RecordedEvent, TenantId, UserId};
use projector::ApplyError;
use sqlx::types::Json;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use user_aggregates::{GroupId, InvitationEvent, InvitationStatus};
use uuid::Uuid;

projection! {
    /// Projects invitations.
    pub struct Invitations = "invitations" @ 1, tables ["invitation"], events "user.invitation." by apply,
    counts "invitation_id" in ["invitation"], forgets by forget
}

table! {
    /// The current state of an invitation.
    pub struct InvitationRow in "invitation" key ("tenant_id", "invitation_id") {
        pub tenant_id: Uuid = "uuid",
        pub invitation_id: Uuid = "uuid",
        /// The invitation's version.
        pub version: i64 = "bigint",
        pub status: Named<InvitationStatus> = "text",
        pub email: String = "text",
        pub name: Option<String> = "text",
        pub roles: Json<BTreeSet<String>> = "jsonb",
        pub groups: Json<BTreeSet<Uuid>> = "jsonb",
        /// The subject that sent it.
        pub invited_by: String = "text",
        /// When its last link expires.
        pub expires_at: DateTime<Utc> = "timestamptz",
        /// The user that was registered with it.
        pub user_id: Option<Uuid> = "uuid",
        /// When it was last sent.
        pub sent_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}

async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let changes = decode::<InvitationEvent>(events)?;
    // `begin` reads the sender from the metadata but can't return an error, so unreadable metadata is refused here.
    let folded = fold::<InvitationRow>(&changes, tables, |change, _| change.actor().map(drop)).await?;
    Ok(upsert(&folded.after, tables).await?)
}

/// Removes the personal data of the invitation that an event erases.
async fn forget(event: &RecordedEvent, tables: &mut PgConnection) -> Result<(), ApplyError> {
    fold::forget::<InvitationRow>(event, tables).await.map(drop)
}

impl Erasable for InvitationRow {
    fn forget(&mut self) {
        (self.email, self.name) = (String::new(), None);
    }
}

impl Current for InvitationRow {
    type Event = InvitationEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.invitation_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, InvitationEvent>) -> Option<Self> {
        let InvitationEvent::InvitationSent(sent) = &change.event else { return None };
        let (tenant_id, invitation_id) = change.key;
        Some(Self {
            tenant_id,
            invitation_id,
            version: change.version,
            status: Named(InvitationStatus::Pending),
            email: sent.email.reveal().clone(),
            name: sent.name.as_ref().map(Personal::reveal).cloned(),
            roles: Json(sent.roles.iter().cloned().collect()),
            groups: Json(sent.groups.iter().copied().map(GroupId::uuid).collect()),
            invited_by: change.actor().unwrap_or_default(),
            expires_at: sent.expires_at,
            user_id: None,
            sent_at: change.occurred_at,
            changed_at: change.occurred_at,
        })
    }

    fn evolve(&mut self, change: &Change<'_, InvitationEvent>) {
        self.version = change.version;
        self.changed_at = change.occurred_at;
        match &change.event {
            // The first occurs only at the beginning of a stream; the second changes nothing here.
            InvitationEvent::InvitationSent(_) | InvitationEvent::InvitationRefused(_) => {}
            InvitationEvent::InvitationResent(e) => {
                (self.expires_at, self.sent_at) = (e.expires_at, change.occurred_at);
            }
            InvitationEvent::InvitationAccepted(e) => {
                self.status = Named(InvitationStatus::Accepted);
                self.user_id = Some(UserId::uuid(e.user));
            }
            InvitationEvent::InvitationRevoked(_) => self.status = Named(InvitationStatus::Revoked),
            InvitationEvent::InvitationErased(_) => (self.email, self.name) = (String::new(), None),
        }
    }
}

/// A filter of invitations; `None` means any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InvitationFilter {
    pub status: Option<InvitationStatus>,
}

impl Filter for InvitationFilter {
    type Row = InvitationRow;
    type Order = LastSentFirst;

    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        of_tenant(query, tenant);
        match self.status {
            // As a literal, so that the planner sees that the partial index fits.
            Some(InvitationStatus::Pending) => _ = query.push(" AND t.status = 'pending'"),
            Some(status) => _ = query.push(" AND t.status = ").push_bind(Named(status)),
            None => {}
        }
    }
}

/// The order by when invitations were last sent, newest first.
#[derive(Clone, Copy, Debug)]
pub struct LastSentFirst;

impl Order<InvitationRow> for LastSentFirst {
    fn keyset(self) -> Keyset {
        Keyset { column: "sent_at", ty: KeyType::Time, id: "invitation_id", descending: true }
    }

    fn seek(self, row: &InvitationRow) -> Seek {
        Seek { key: SeekKey::Time(row.sent_at), id: row.invitation_id }
    }
}
