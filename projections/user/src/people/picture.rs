//! The pictures that users uploaded: their files, as long as they are there.

use std::collections::HashMap;

use folding::change::Change;
use folding::named::Named;
use folding::table::{self, Key, select};
use kernel::{RecordedEvent, TenantId};
use sqlx::PgConnection;
use user_aggregates::{UploadedPicture, UserEvent};
use uuid::Uuid;

use super::row::PersonPictureRow;

/// So many are written at once: a rebuild's batch may have thousands, and a statement holds its parameters whole.
const TOGETHER: usize = 100;

/// What a batch makes of pictures: the one that somebody has after it, or none.
#[derive(Default)]
pub(super) struct PictureChanges(HashMap<Key, Option<PersonPictureRow>>);

impl PictureChanges {
    /// Notes a change, after those of before it.
    pub(super) fn note(&mut self, change: &Change<'_, UserEvent>) {
        let after = match &change.event {
            UserEvent::UserPictureSet(e) => e.uploaded.known().and_then(|uploaded| row(change.key, uploaded)),
            UserEvent::UserPictureRemoved(_) | UserEvent::UserRemoved(_) | UserEvent::UserErased(_) => None,
            // It is elsewhere now.
            UserEvent::UserProfileChanged(e) if e.profile.picture.is_some() => None,
            _ => return,
        };
        self.0.insert(change.key, after);
    }

    /// That whoever an event erases has none.
    pub(super) fn of_erased(event: &RecordedEvent) -> Self {
        // Another id has no picture here.
        let key = event.aggregate_id.parse().map(|id| (event.tenant.uuid(), id));
        Self(key.into_iter().map(|key| (key, None)).collect())
    }

    /// Writes what is there after the batch.
    pub(super) async fn write(self, tables: &mut PgConnection) -> Result<(), sqlx::Error> {
        let (mut gone, mut kept) = (Vec::new(), Vec::new());
        for (key, after) in self.0 {
            match after {
                Some(row) => kept.push(row),
                None => gone.push(key),
            }
        }
        if !gone.is_empty() {
            let (tenants, users): (Vec<Uuid>, Vec<Uuid>) = gone.into_iter().unzip();
            let delete = "DELETE FROM person_picture t USING UNNEST($1::uuid[], $2::uuid[]) AS k (tenant_id, user_id)
                          WHERE t.tenant_id = k.tenant_id AND t.user_id = k.user_id";
            sqlx::query(delete).bind(tenants).bind(users).execute(&mut *tables).await?;
        }
        for kept in kept.chunks(TOGETHER) {
            table::upsert(kept, tables).await?;
        }
        Ok(())
    }
}

/// None: its file can't be read, so there is nothing to show.
fn row((tenant_id, user_id): Key, uploaded: &UploadedPicture) -> Option<PersonPictureRow> {
    let file = uploaded.picture.file()?;
    Some(PersonPictureRow {
        tenant_id,
        user_id,
        picture_id: uploaded.id.clone(),
        format: Named(file.format),
        sha256: file.sha256,
        file: file.bytes,
    })
}

/// The picture of this id, if somebody of the tenant has it.
pub async fn picture(
    tables: &mut PgConnection,
    tenant: TenantId,
    picture: &str,
) -> Result<Option<PersonPictureRow>, sqlx::Error> {
    let sql = format!("{} WHERE t.tenant_id = $1 AND t.picture_id = $2", select::<PersonPictureRow>());
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(picture).fetch_optional(tables).await
}
