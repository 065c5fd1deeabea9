//! Who a subject is, and whether it can sign in.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use executor::{Permissions, Standing, SubjectsElsewhere};
use kernel::{LookedUp, MachineStanding, Machines, Refusal, TenantId, UserId};
use uuid::Uuid;

/// A tenant with one user, who can sign in, and a machine whose roles include too many others to be followed.
#[derive(Clone, Copy)]
struct Tenant {
    user: Uuid,
    machine: Uuid,
    machine_is_active: bool,
}

impl Tenant {
    fn new(machine_is_active: bool) -> Self {
        Self { user: Uuid::from_u128(0xa1), machine: Uuid::from_u128(0xa2), machine_is_active }
    }

    fn subjects(self) -> SubjectsElsewhere {
        SubjectsElsewhere { permissions: Arc::new(self), machines: Arc::new(self) }
    }
}

#[async_trait]
impl Permissions for Tenant {
    async fn of_roles(&self, _: TenantId, _: &[String]) -> Result<BTreeSet<&'static str>, Refusal> {
        Err(Refusal::unprocessable("too_many_roles", "they include too many others"))
    }

    async fn is_role(&self, _: TenantId, _: &str) -> Result<bool, Refusal> {
        Ok(true)
    }

    async fn of_user(&self, _: TenantId, _: UserId) -> Result<BTreeSet<&'static str>, Refusal> {
        Ok(BTreeSet::new())
    }

    async fn standing(&self, _: TenantId, user: UserId) -> Result<Standing<&'static str>, Refusal> {
        let known = user.uuid() == self.user;
        Ok(if known { Standing::Active(BTreeSet::new()) } else { Standing::Unknown })
    }
}

impl Machines for Tenant {
    fn standing(&self, _: TenantId, machine: Uuid) -> LookedUp<'_> {
        let standing = MachineStanding { active: self.machine_is_active, roles: vec!["very many".to_owned()] };
        Box::pin(std::future::ready(Ok((machine == self.machine).then_some(standing))))
    }
}

#[tokio::test]
async fn a_machine_can_sign_in_however_many_roles_its_own_include() {
    for active in [true, false] {
        let tenant = Tenant::new(active);
        let subject = tenant.machine.to_string();
        assert_eq!(tenant.subjects().can_sign_in(testbed::tenant(), &subject).await.unwrap(), active);
    }
}

#[tokio::test]
async fn an_id_in_a_notation_that_no_token_has_is_nobodys() {
    let tenant = Tenant::new(true);
    let subjects = tenant.subjects();
    for id in [tenant.user, tenant.machine] {
        assert!(subjects.can_sign_in(testbed::tenant(), &id.to_string()).await.unwrap());
        for other in [id.to_string().to_uppercase(), id.simple().to_string(), id.urn().to_string()] {
            assert!(!subjects.can_sign_in(testbed::tenant(), &other).await.unwrap(), "{other}");
        }
    }
    assert!(!subjects.can_sign_in(testbed::tenant(), &Uuid::nil().to_string()).await.unwrap());
    assert!(subjects.can_sign_in(testbed::tenant(), "grace").await.unwrap());
}
