//! Looks up who a subject is, in services that do not have the log of users: users in the log of the user service, machines in that of the
//! auth service.

use std::fmt;
use std::sync::Arc;

use kernel::{Machines, NoMachines, Refusal, TenantId, UserId};
use uuid::Uuid;

use crate::{NoPermissions, Permissions, Standing};

/// With what a service looks up users and machines of a tenant. Cheap to clone.
#[derive(Clone)]
pub struct SubjectsElsewhere {
    /// Looks up users, and what roles allow.
    pub permissions: Arc<dyn Permissions>,
    /// Looks up machines.
    pub machines: Arc<dyn Machines>,
}

impl fmt::Debug for SubjectsElsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectsElsewhere")
    }
}

impl SubjectsElsewhere {
    /// For processes that can look up nobody, such as tests: whoever has an id can't be determined.
    pub fn unavailable() -> Self {
        Self { permissions: Arc::new(NoPermissions), machines: Arc::new(NoMachines) }
    }

    /// What a subject may do now. A subject that is not an id is unknown.
    ///
    /// # Errors
    /// If it can't be determined now.
    pub async fn standing(&self, tenant: TenantId, subject: &str) -> Result<Standing<&'static str>, Refusal> {
        let Ok(subject) = subject.parse::<Uuid>() else { return Ok(Standing::Unknown) };
        let user = self.permissions.standing(tenant, UserId::new(subject)).await?;
        if user != Standing::Unknown {
            return Ok(user);
        }
        match self.machines.standing(tenant, subject).await? {
            Some(machine) if machine.active => {
                self.permissions.of_roles(tenant, &machine.roles).await.map(Standing::Active)
            }
            Some(_) => Ok(Standing::Inactive),
            None => Ok(Standing::Unknown),
        }
    }

    /// Whether a subject can sign in now, so that it sees what it is given. One that is not an id is believed to: it comes from a token of
    /// the installation's key, which says of anybody whose it is. Which roles it has does not matter.
    ///
    /// # Errors
    /// If it can't be determined now.
    pub async fn can_sign_in(&self, tenant: TenantId, subject: &str) -> Result<bool, Refusal> {
        let Ok(id) = subject.parse::<Uuid>() else { return Ok(true) };
        // An id in another notation is nobody's: what it is given is found by the text that tokens have.
        if id.to_string() != subject {
            return Ok(false);
        }
        if let Some(may) = self.permissions.may_sign_in(tenant, UserId::new(id)).await? {
            return Ok(may);
        }
        Ok(self.machines.standing(tenant, id).await?.is_some_and(|machine| machine.active))
    }
}
