//! Admits users for whom an identity provider vouches: the port `face::Admission`, implemented with the user service's commands and
//! its directory.

use std::sync::Arc;

use async_trait::async_trait;
use executor::Executor;
use face::{Admission, AssertedPerson, Person};
use kernel::{Caller, Grant, Machines, Refusal, Role, TenantId};
use projector::ReadModels;
use user_commands::{AdmitUser, Catalogue, Known, SubjectLookup};

use crate::UserDirectory;

/// Implements [`Admission`].
pub struct UserAdmission {
    executor: Executor,
    read_models: ReadModels,
    /// Looks up who sent an invitation.
    senders: SubjectLookup,
}

impl UserAdmission {
    /// Writes to the user service's log, and reads its directory. `grants` are the permission tables of all services.
    pub fn new(executor: Executor, read_models: ReadModels, grants: &[Grant], machines: Arc<dyn Machines>) -> Self {
        let senders = SubjectLookup { catalogue: Catalogue::from(grants.to_vec()), machines };
        Self { executor, read_models, senders }
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
        let admitted = directory.by_id_at(tenant, done.answer, done.position).await;
        admitted.map_err(|_| directory_behind())
    }
}
