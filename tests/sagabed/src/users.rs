//! A stand-in for the user service, of which sagas and commands only ask who can sign in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use executor::{Permissions, Standing, SubjectsElsewhere};
use kernel::{IdSource, NoMachines, Refusal, SystemIds, TenantId, UserId};

/// The users of all tenants. They have no roles. Clones share them.
#[derive(Clone, Default)]
pub struct Users(Arc<Known>);

#[derive(Default)]
struct Known {
    /// Whether each can sign in.
    users: Mutex<BTreeMap<UserId, bool>>,
    /// How often somebody was looked up.
    lookups: AtomicUsize,
}

impl Users {
    /// A new user, who can sign in.
    pub fn add(&self) -> UserId {
        let user = UserId::new(SystemIds.next());
        self.0.users.lock().unwrap().insert(user, true);
        user
    }

    /// From now on the user can't sign in.
    pub fn lock_out(&self, user: UserId) {
        self.0.users.lock().unwrap().insert(user, false);
    }

    /// How often somebody was looked up since the last call.
    pub fn lookups(&self) -> usize {
        self.0.lookups.swap(0, Ordering::Relaxed)
    }

    /// Looks up these users, and no machines.
    pub fn subjects(&self) -> SubjectsElsewhere {
        SubjectsElsewhere { permissions: self.0.clone(), machines: Arc::new(NoMachines) }
    }
}

#[async_trait]
impl Permissions for Known {
    async fn of_roles(&self, _: TenantId, _: &[String]) -> Result<BTreeSet<&'static str>, Refusal> {
        Ok(BTreeSet::new())
    }

    async fn is_role(&self, _: TenantId, _: &str) -> Result<bool, Refusal> {
        Ok(false)
    }

    async fn of_user(&self, _: TenantId, _: UserId) -> Result<BTreeSet<&'static str>, Refusal> {
        Ok(BTreeSet::new())
    }

    async fn standing(&self, _: TenantId, user: UserId) -> Result<Standing<&'static str>, Refusal> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        Ok(match self.users.lock().unwrap().get(&user) {
            Some(true) => Standing::Active(BTreeSet::new()),
            Some(false) => Standing::Inactive,
            None => Standing::Unknown,
        })
    }
}
