//! Letting in whom an identity provider vouches for: the port `face::Admission` over the commands of people and the directory.

use std::time::Duration;

use async_trait::async_trait;
use executor::Executor;
use face::{Admission, People as _, Person, Vouched};
use kernel::{Caller, Grant, Refusal, Role, TenantId};
use projector::ReadModels;
use user_commands::{AdmitUser, Known};

use crate::UserDirectory;

/// How long a page waits until the directory knows a user who is new.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets people in.
pub struct UserAdmission {
    executor: Executor,
    read_models: ReadModels,
}

impl UserAdmission {
    /// Over the log of people, and the directory.
    pub const fn new(executor: Executor, read_models: ReadModels) -> Self {
        Self { executor, read_models }
    }
}

/// Whoever vouches, with the one permission that this gives.
fn voucher(tenant: TenantId, vouched: &Vouched) -> Caller {
    let grant = Grant { permission: "user:user:admit", roles: &[Role::Viewer], meaning: "" };
    Caller::new(tenant, format!("saml:{}", vouched.connection), &[Role::Viewer], &[grant])
}

fn late() -> Refusal {
    Refusal::unavailable("directory_behind", "the directory does not know your user yet; start again in a moment")
}

#[async_trait]
impl Admission for UserAdmission {
    async fn admit(
        &self,
        tenant: TenantId,
        vouched: &Vouched,
        known: Option<&Person>,
    ) -> Result<Option<Person>, Refusal> {
        let user = match known {
            Some(person) if !person.may_sign_in => return Ok(Some(person.clone())),
            Some(person) => Some(Known { id: person.id, email_verified: person.email_verified }),
            None if !vouched.admits => return Ok(None),
            None => None,
        };
        let admit = AdmitUser {
            user,
            email: vouched.email.clone(),
            name: vouched.name.clone(),
            roles: vouched.roles.clone(),
            managed: vouched.managed.clone(),
        };
        let done = match self.executor.run(&voucher(tenant, vouched), &admit).await {
            Ok(done) => done,
            // They became a user a moment ago, or their address was changed, which the directory is about to hear of.
            Err(refusal) if ["login_taken", "login_changed"].contains(&refusal.code()) => return Err(late()),
            Err(refusal) => return Err(refusal),
        };
        self.read_models.wait_for(tenant, done.position, PATIENCE).await.map_err(|_| late())?;
        UserDirectory::new(self.read_models.clone()).by_id(tenant, done.answer).await.map_err(|_| late())
    }
}
