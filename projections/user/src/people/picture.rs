//! The pictures that users uploaded, with their files.

use std::collections::HashMap;

use folding::change::Change;
use folding::named::Named;
use folding::table::{self, Key, select};
use kernel::{RecordedEvent, TenantId};
use sqlx::PgConnection;
use user_aggregates::{UploadedPicture, UserEvent};
use uuid::Uuid;

use super::row::PersonPictureRow;

/// How many pictures one statement writes. A batch of a rebuild may have thousands, and a statement keeps all its parameters in memory.
const ROWS_PER_STATEMENT: usize = 100;

/// The pictures after a batch, of the users whose picture it changes; `None` for a removed picture.
#[derive(Default)]
pub(super) struct PictureChanges(HashMap<Key, Option<PersonPictureRow>>);

impl PictureChanges {
    /// Records a change; later ones of the same user replace it.
    pub(super) fn note(&mut self, change: &Change<'_, UserEvent>) {
        let after = match &change.event {
            UserEvent::UserPictureSet(e) => e.uploaded.known().and_then(|uploaded| row(change.key, uploaded)),
            UserEvent::UserPictureRemoved(_) | UserEvent::UserRemoved(_) | UserEvent::UserErased(_) => None,
            // The user now has a picture on another server.
            UserEvent::UserProfileChanged(e) if e.profile.picture.is_some() => None,
            _ => return,
        };
        self.0.insert(change.key, after);
    }

    /// Removes the picture of the user that an event erases.
    pub(super) fn of_erased(event: &RecordedEvent) -> Self {
        // An id that is not a UUID has no picture here.
        let key = event.aggregate_id.parse().map(|id| (event.tenant.uuid(), id));
        Self(key.into_iter().map(|key| (key, None)).collect())
    }

    /// Deletes removed pictures and writes the others.
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
        for kept in kept.chunks(ROWS_PER_STATEMENT) {
            table::upsert(kept, tables).await?;
        }
        Ok(())
    }
}

/// The row of a picture; `None` if its file can't be read.
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

/// The picture with this id, if a user of the tenant has it.
pub async fn picture(
    tables: &mut PgConnection,
    tenant: TenantId,
    picture: &str,
) -> Result<Option<PersonPictureRow>, sqlx::Error> {
    let sql = format!("{} WHERE t.tenant_id = $1 AND t.picture_id = $2", select::<PersonPictureRow>());
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(picture).fetch_optional(tables).await
}
