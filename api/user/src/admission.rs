//! Admits users for whom an identity provider vouches: the port `face::Admission`, implemented with the user service's commands and
//! its directory.

use std::sync::Arc;

use async_trait::async_trait;
use eventstore::{EventStore, log_unreadable};
use executor::Executor;
use face::{Admission, AssertedPerson, Person};
use kernel::{Aggregate, Caller, Grant, Machines, Position, RecordedEvent, Refusal, Role, TenantId, UserId};
use projector::ReadModels;
use user_aggregates::User;
use user_commands::{AdmitUser, Catalogue, Known, SubjectsInLog};

use crate::UserDirectory;

/// The port by which sessions end that a user's changes end, before the user's next session begins. A saga ends them, too, but perhaps only
/// after that.
#[async_trait]
pub trait DueEndings: Send + Sync {
    /// Ends all sessions of a user if one of their changes demands that and it was not done yet. When it returns, none of these changes will
    /// end a session any more. `history`: the user's events, as far as the directory shows them.
    ///
    /// # Errors
    /// When the log of the auth service can't be written at the moment.
    async fn end(&self, tenant: TenantId, user: UserId, history: &[RecordedEvent]) -> Result<(), Refusal>;
}

/// Implements [`Admission`].
pub struct UserAdmission {
    store: EventStore,
    executor: Executor,
    read_models: ReadModels,
    /// Looks up who sent an invitation.
    senders: SubjectsInLog,
    endings: Arc<dyn DueEndings>,
}

impl UserAdmission {
    /// Writes to the user service's log, and reads it and its directory. `grants` are the permission tables of all services.
    pub fn new(
        store: EventStore,
        executor: Executor,
        read_models: ReadModels,
        grants: &[Grant],
        machines: Arc<dyn Machines>,
        endings: Arc<dyn DueEndings>,
    ) -> Self {
        let senders = SubjectsInLog { catalogue: Catalogue::from(grants.to_vec()), machines };
        Self { store, executor, read_models, senders, endings }
    }

    /// Ends what the user's changes up to a position end. The directory has to show them: whoever signs in from here on gets what they left.
    async fn end_due(&self, tenant: TenantId, user: UserId, known: Position) -> Result<(), Refusal> {
        let history = self.store.load(tenant, User::TYPE, &user.to_string(), 0).await;
        let mut history = history.map_err(|error| log_unreadable(&error))?;
        history.retain(|event| event.position <= known);
        self.endings.end(tenant, user, &history).await
    }
}

/// The caller that admits a user: the SAML connection of the identity provider, with only the permission for that.
fn connection_caller(tenant: TenantId, asserted: &AssertedPerson) -> Caller {
    let grant = Grant { permission: "user:user:admit", roles: &[Role::Viewer], meaning: "" };
    Caller::new(tenant, format!("saml:{}", asserted.connection), &[Role::Viewer], &[grant])
}

fn directory_behind() -> Refusal {
    Refusal::unavailable("directory_behind", "the directory does not know your user yet; start again in a moment")
}

#[async_trait]
impl Admission for UserAdmission {
    async fn admit(
        &self,
        tenant: TenantId,
        asserted: &AssertedPerson,
        known: Option<&Person>,
    ) -> Result<Option<Person>, Refusal> {
        let user = match known {
            Some(person) if !person.may_sign_in => return Ok(Some(person.clone())),
            Some(person) => Some(Known { id: person.id, email_verified: person.email_verified }),
            None if !asserted.admits => return Ok(None),
            None => None,
        };
        let admit = AdmitUser {
            user,
            email: asserted.email.clone(),
            name: asserted.name.clone(),
            roles: asserted.roles.clone(),
            managed: asserted.managed.clone(),
            senders: self.senders.clone(),
        };
        let done = match self.executor.run(&connection_caller(tenant, asserted), &admit).await {
            Ok(done) => done,
            // The person became a user, or their address was changed, a moment ago, and the directory is still behind.
            Err(refusal) if ["login_taken", "login_changed"].contains(&refusal.code()) => {
                return Err(directory_behind());
            }
            Err(refusal) => return Err(refusal),
        };
        let directory = UserDirectory::new(self.read_models.clone());
        let admitted = directory.by_id_at(tenant, done.answer, done.position).await.map_err(|_| directory_behind())?;
        if admitted.as_ref().is_some_and(|person| person.may_sign_in) {
            self.end_due(tenant, done.answer, done.position).await?;
        }
        Ok(admitted)
    }
}
