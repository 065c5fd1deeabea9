//! Applies events of invitations to rows.

use folding::change::{Change, decode};
use folding::fold::{Current, Erasable, fold};
use folding::named::Named;
use folding::table::{Key, upsert};
use kernel::{Personal, RecordedEvent, UserId};
use projector::ApplyError;
use sqlx::PgConnection;
use sqlx::types::Json;
use user_aggregates::{GroupId, InvitationEvent, InvitationStatus};

use super::row::InvitationRow;

/// Applies a batch of events of invitations.
pub(super) async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let changes = decode::<InvitationEvent>(events)?;
    // `begin` reads the sender from the metadata but can't return an error, so unreadable metadata is refused here.
    let folded = fold::<InvitationRow>(&changes, tables, |change, _| change.actor().map(drop)).await?;
    Ok(upsert(&folded.after, tables).await?)
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
