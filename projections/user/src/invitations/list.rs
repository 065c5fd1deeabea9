//! Lists of invitations.

use folding::list::{Filter, Order, of_tenant};
use folding::named::Named;
use folding::paging::{KeyType, Keyset, Seek, SeekKey};
use kernel::TenantId;
use sqlx::{Postgres, QueryBuilder};
use user_aggregates::InvitationStatus;

use super::row::InvitationRow;

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
