//! Applies user events to the rows of users, their words, pictures and history.

use std::collections::BTreeSet;

use folding::as_of::End;
use folding::change::{Change, decode};
use folding::fold::{Current, Erasable, fold};
use folding::history::History;
use folding::named::Named;
use folding::table::{self, Key};
use folding::words::{self, ListPosition, Searchable, WordChanges};
use kernel::{Personal, RecordedEvent};
use projector::ApplyError;
use sqlx::PgConnection;
use sqlx::types::Json;
use user_aggregates::{GroupId, Labels, Login, OrganizationId, Profile, UserEvent, UserRegistered, UserStatus};

use super::picture::PictureChanges;
use super::row::{PersonHistoryRow, PersonRow};

/// Applies a batch of user events.
pub(super) async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let changes = decode::<UserEvent>(events)?;
    let mut history = History::with_capacity(changes.len());
    let mut pictures = PictureChanges::default();
    let folded = fold::<PersonRow>(&changes, tables, |change, row| {
        history.add(change, version(change, row, change.actor()?));
        pictures.note(change);
        Ok(())
    })
    .await?;
    WordChanges::of(&folded).write::<PersonRow>(tables).await?;
    table::upsert(&folded.after, tables).await?;
    pictures.write(tables).await?;
    Ok(history.write(tables).await?)
}

/// Removes the personal data of the user that an event erases.
pub(super) async fn forget(event: &RecordedEvent, tables: &mut PgConnection) -> Result<(), ApplyError> {
    words::forget::<PersonRow>(event, tables).await?;
    Ok(PictureChanges::of_erased(event).write(tables).await?)
}

fn version(change: &Change<'_, UserEvent>, row: &PersonRow, actor: String) -> PersonHistoryRow {
    PersonHistoryRow {
        tenant_id: row.tenant_id,
        user_id: row.user_id,
        version: change.version,
        change: change.name(),
        actor,
        status: row.status,
        roles: row.roles.clone(),
        groups: row.groups.clone(),
        valid_from: change.occurred_at,
        valid_to: End(None),
        known_from: change.recorded_at,
        known_to: End(None),
    }
}

impl Current for PersonRow {
    type Event = UserEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.user_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, UserEvent>) -> Option<Self> {
        let UserEvent::UserRegistered(registered) = &change.event else { return None };
        let (tenant_id, user_id) = change.key;
        let mut row = Self {
            tenant_id,
            user_id,
            version: change.version,
            status: Named(UserStatus::Active),
            locked: false,
            email: None,
            user_name: None,
            external_id: None,
            formatted_name: None,
            name_told: false,
            email_purpose: None,
            email_primary: None,
            phone_purpose: None,
            phone_primary: None,
            formatted_address: None,
            address_purpose: None,
            address_primary: None,
            email_verified: false,
            name: String::new(),
            given_name: None,
            family_name: None,
            title: None,
            phone: None,
            phone_verified: false,
            address: None,
            picture: None,
            uploaded_picture: None,
            locale: None,
            time_zone: None,
            roles: Json::default(),
            groups: Json::default(),
            organizations: Json::default(),
            registered_at: change.occurred_at,
            changed_at: change.occurred_at,
        };
        row.register(registered);
        Some(row)
    }

    fn evolve(&mut self, change: &Change<'_, UserEvent>) {
        self.version = change.version;
        self.changed_at = change.occurred_at;
        match &change.event {
            UserEvent::UserRegistered(e) => self.register(e),
            UserEvent::UserProfileChanged(e) => self.describe(&e.profile),
            UserEvent::UserPictureSet(e) => {
                (self.picture, self.uploaded_picture) = (None, e.uploaded.known().map(|uploaded| uploaded.id.clone()));
            }
            UserEvent::UserPictureRemoved(_) => (self.picture, self.uploaded_picture) = (None, None),
            UserEvent::UserLoginChanged(e) => {
                let before = self.email.clone();
                self.sign_in_with(&e.login);
                self.email_verified &= before.is_some() && before == self.email;
            }
            UserEvent::UserExternalIdChanged(e) => {
                self.external_id = e.external_id.as_ref().and_then(Personal::known).cloned();
            }
            UserEvent::UserLabelsChanged(e) => self.label(&e.labels),
            UserEvent::UserEmailVerified(_) => self.email_verified = true,
            UserEvent::UserPhoneVerified(_) => self.phone_verified = true,
            UserEvent::UserRoleGranted(e) => _ = self.roles.insert(e.role.clone()),
            UserEvent::UserRoleRevoked(e) => _ = self.roles.remove(&e.role),
            UserEvent::UserGroupJoined(e) => _ = self.groups.insert(e.group.uuid()),
            UserEvent::UserGroupLeft(e) => _ = self.groups.remove(&e.group.uuid()),
            UserEvent::UserOrganizationJoined(e) => _ = self.organizations.insert(e.organization.uuid()),
            UserEvent::UserOrganizationLeft(e) => _ = self.organizations.remove(&e.organization.uuid()),
            UserEvent::UserLocked(_) => (self.status, self.locked) = (Named(UserStatus::Locked), true),
            UserEvent::UserUnlocked(_) => (self.status, self.locked) = (Named(UserStatus::Active), false),
            UserEvent::UserReactivated(_) if self.locked => self.status = Named(UserStatus::Locked),
            UserEvent::UserReactivated(_) => self.status = Named(UserStatus::Active),
            UserEvent::UserDeactivated(_) => self.status = Named(UserStatus::Deactivated),
            UserEvent::UserRemoved(_) => {
                self.status = Named(UserStatus::Removed);
                self.uploaded_picture = None;
            }
            UserEvent::UserErased(_) => {
                self.status = Named(UserStatus::Erased);
                self.describe(&Profile::default());
                self.label(&Labels::default());
                self.uploaded_picture = None;
                (self.email, self.user_name, self.external_id, self.email_verified) = (None, None, None, false);
                (self.roles, self.groups, self.organizations) = Default::default();
            }
            UserEvent::UserEmailVerificationRequested(_)
            | UserEvent::UserEmailVerificationFailed(_)
            | UserEvent::UserPhoneVerificationRequested(_)
            | UserEvent::UserPhoneVerificationFailed(_)
            | UserEvent::UserRegistrationNoted(_) => {}
        }
    }
}

impl Erasable for PersonRow {
    fn forget(&mut self) {
        self.name = String::new();
        (self.email, self.user_name, self.external_id) = (None, None, None);
        (self.given_name, self.family_name, self.phone) = (None, None, None);
        (self.picture, self.uploaded_picture) = (None, None);
        (self.formatted_name, self.email_purpose, self.phone_purpose) = (None, None, None);
        (self.address, self.formatted_address, self.address_purpose) = (None, None, None);
    }
}

impl PersonRow {
    fn register(&mut self, registered: &UserRegistered) {
        self.sign_in_with(&registered.login);
        self.email_verified = registered.email_verified;
        self.describe(&registered.profile);
        self.roles = Json(registered.roles.iter().cloned().collect());
        self.groups = Json(registered.groups.iter().copied().map(GroupId::uuid).collect());
    }

    fn sign_in_with(&mut self, login: &Login) {
        // Folded again: events from before addresses were stored in Unicode's composed form are found like the others.
        self.email = login.email.known().map(|email| kernel::folded(email));
        self.user_name = login.user_name.as_ref().and_then(Personal::known).cloned();
    }

    fn label(&mut self, labels: &Labels) {
        let known = |text: Option<&Personal<String>>| text.and_then(Personal::known).cloned();
        self.name_told |= labels.formatted_name.is_some();
        self.formatted_name = known(labels.formatted_name.as_ref());
        (self.email_purpose, self.email_primary) = (known(labels.email.purpose.as_ref()), labels.email.primary);
        (self.phone_purpose, self.phone_primary) = (known(labels.phone.purpose.as_ref()), labels.phone.primary);
        self.formatted_address = known(labels.formatted_address.as_ref());
        (self.address_purpose, self.address_primary) = (known(labels.address.purpose.as_ref()), labels.address.primary);
    }

    fn describe(&mut self, profile: &Profile) {
        self.name.clone_from(profile.name.reveal());
        self.given_name = profile.given_name.as_ref().and_then(Personal::known).cloned();
        self.family_name = profile.family_name.as_ref().and_then(Personal::known).cloned();
        self.title.clone_from(&profile.title);
        let phone = profile.phone.as_ref().and_then(Personal::known);
        self.phone_verified &= self.phone.as_ref() == phone;
        self.phone = phone.cloned();
        let address = profile.address.as_ref().and_then(Personal::known);
        if self.address.as_deref() != address {
            self.formatted_address = None;
        }
        self.address = address.cloned().map(Json);
        self.picture = profile.picture.as_ref().and_then(Personal::known).cloned();
        if profile.picture.is_some() {
            self.uploaded_picture = None;
        }
        self.locale.clone_from(&profile.locale);
        self.time_zone.clone_from(&profile.time_zone);
    }
}

/// The index word of users with a role.
pub(super) fn role_word(role: &str) -> String {
    format!(":role:{role}")
}

/// The index word of the members of a group.
pub(super) fn group_word(group: GroupId) -> String {
    format!(":group:{group}")
}

/// The index word of the members of an organization.
pub(super) fn organization_word(organization: OrganizationId) -> String {
    format!(":organization:{organization}")
}

/// The index word of users with a status other than active; `None` for active users, since nearly all are.
pub(super) fn status_word(status: UserStatus) -> Option<String> {
    (status != UserStatus::Active).then(|| format!(":status:{}", status.as_str()))
}

/// Users are found by name, e-mail address, user name and telephone number, and by role, group, organization and status.
impl Searchable for PersonRow {
    const WORDS: (&'static str, &'static str) = ("person_word", "user_id");
    const HAS_LIST_POSITION: bool = true;

    fn texts(&self) -> impl Iterator<Item = &str> {
        let Self { name, email, user_name, phone, .. } = self;
        [Some(name), email.as_ref(), user_name.as_ref(), phone.as_ref()].into_iter().flatten().map(String::as_str)
    }

    fn further_words(&self) -> BTreeSet<String> {
        let mut found: BTreeSet<String> = status_word(self.status.0).into_iter().collect();
        // Removed and erased users are not listed as members.
        if self.status.0.is_present() {
            found.extend(self.roles.iter().map(|role| role_word(role)));
            found.extend(self.groups.iter().map(|group| group_word(GroupId::new(*group))));
            found.extend(self.organizations.iter().map(|one| organization_word(OrganizationId::new(*one))));
        }
        found
    }

    fn list_position(&self) -> ListPosition {
        let (name, registered_at) = (self.name.clone(), self.registered_at);
        ListPosition { present: self.status.0.is_present(), name, registered_at }
    }
}
