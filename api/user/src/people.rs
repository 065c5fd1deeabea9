//! What other services can read about people: the port `face::People`, implemented with the directory.

use std::time::Duration;

use async_trait::async_trait;
use face::{People, PeopleError, Person};
use kernel::{PictureFile, Position, TenantId, UserId, is_picture_id};
use projector::{ReadModels, Transaction};
use user_aggregates::UserStatus;
use user_projections::groups;
use user_projections::people::{self, PersonRow};

/// How long a page waits until the directory contains a user whom it has just added.
const READ_MODEL_TIMEOUT: Duration = Duration::from_secs(10);

/// The directory of users, from the read models. It may be a moment behind the log.
#[derive(Clone)]
pub struct UserDirectory {
    read_models: ReadModels,
}

impl UserDirectory {
    /// The directory of these read models.
    pub const fn new(read_models: ReadModels) -> Self {
        Self { read_models }
    }

    /// The person of this id, from read models that contain the tenant's events up to `position`. Waits for them for ten seconds at most.
    pub async fn by_id_at(
        &self,
        tenant: TenantId,
        id: UserId,
        position: Position,
    ) -> Result<Option<Person>, PeopleError> {
        let begun = self.read_models.begin_at(tenant, position, READ_MODEL_TIMEOUT).await;
        let mut tables = begun.map_err(|error| PeopleError(error.to_string()))?;
        person_of(&mut tables, tenant, id).await
    }

    async fn begin(&self, tenant: TenantId) -> Result<Transaction, PeopleError> {
        self.read_models.begin(tenant).await.map_err(|error| PeopleError(error.to_string()))
    }
}

#[async_trait]
impl People for UserDirectory {
    async fn by_login(&self, tenant: TenantId, login: &str) -> Result<Option<Person>, PeopleError> {
        let mut tables = self.begin(tenant).await?;
        let found = people::by_login(&mut tables, tenant, login).await.map_err(|error| unreadable(&error))?;
        person(&mut tables, tenant, found).await
    }

    async fn by_id(&self, tenant: TenantId, id: UserId) -> Result<Option<Person>, PeopleError> {
        let mut tables = self.begin(tenant).await?;
        person_of(&mut tables, tenant, id).await
    }

    async fn picture(&self, tenant: TenantId, picture: &str) -> Result<Option<PictureFile>, PeopleError> {
        // Anybody can request a picture, by any text: only one in the form of our ids can exist.
        if !is_picture_id(picture) {
            return Ok(None);
        }
        let mut tables = self.begin(tenant).await?;
        let found = people::picture(&mut tables, tenant, picture).await.map_err(|error| unreadable(&error))?;
        Ok(found.map(|row| PictureFile { format: row.format.0, sha256: row.sha256, bytes: row.file }))
    }
}

fn unreadable(error: &sqlx::Error) -> PeopleError {
    PeopleError(error.to_string())
}

async fn person_of(tables: &mut Transaction, tenant: TenantId, id: UserId) -> Result<Option<Person>, PeopleError> {
    let found = people::find(tables, tenant, &[id.uuid()]).await.map_err(|error| unreadable(&error))?.pop();
    person(tables, tenant, found).await
}

async fn person(
    tables: &mut Transaction,
    tenant: TenantId,
    row: Option<PersonRow>,
) -> Result<Option<Person>, PeopleError> {
    // People who are no longer users are not found.
    let Some(row) = row.filter(|row| row.status.0.is_present()) else { return Ok(None) };
    let in_groups: Vec<_> = row.groups.iter().copied().collect();
    let found = groups::find(tables, tenant, &in_groups).await.map_err(|error| unreadable(&error))?;
    let mut roles = row.roles.0;
    roles.extend(found.into_iter().filter(|group| !group.dissolved).flat_map(|group| group.roles.0));
    Ok(Some(Person {
        id: UserId::new(row.user_id),
        login: row.email.clone().unwrap_or_default(),
        user_name: row.user_name,
        name: row.name,
        given_name: row.given_name,
        family_name: row.family_name,
        picture: row.picture,
        uploaded_picture: row.uploaded_picture,
        email: row.email,
        email_verified: row.email_verified,
        phone: row.phone,
        phone_verified: row.phone_verified,
        address: row.address.map(|address| address.0),
        formatted_address: row.formatted_address,
        locale: row.locale,
        zoneinfo: row.time_zone,
        updated_at: Some(row.changed_at),
        roles: roles.into_iter().collect(),
        may_sign_in: row.status.0 == UserStatus::Active,
    }))
}
