//! People and tenants in REST, under `/v1/user/`: one file per aggregate. Every command is a POST to the resource or collection that it
//! changes.

pub(crate) mod domain;
mod form;
mod group;
mod import;
mod invitation;
mod link;
mod me;
mod organization;
mod own_data;
mod picture;
mod preferences;
mod profile;
mod registration_policy;
mod role;
mod status;
mod user;

use face::Runtime;
use kernel::{TenantId, picture_address};
use poem_openapi::Tags;
use user_aggregates::User;
use user_commands::{Catalogue, CodeKey, LinkKey, SubjectsInLog, TextReach};
use uuid::Uuid;

use self::user::UserResource;

face::rest! {
    /// All operations on what they depend on.
    fn operations(service: Service) -> Rest of [
        user::Users,
        import::Imports,
        status::Statuses,
        me::Me,
        picture::Pictures,
        own_data::OwnData,
        preferences::Preferences,
        invitation::Invitations,
        link::Links,
        registration_policy::RegistrationPolicies,
        role::Roles,
        group::Groups,
        organization::Organizations,
        domain::Domains,
    ]
}

/// All operations over a running service.
pub fn rest(runtime: Runtime) -> Rest {
    operations(Service {
        catalogue: Catalogue::from(runtime.grants.to_vec()),
        links: LinkKey::derive(runtime.secret.reveal()),
        codes: CodeKey::derive(runtime.secret.reveal()),
        texts: TextReach { prefixes: runtime.texted.clone() },
        runtime,
    })
}

/// The dependencies of the operations.
#[derive(Clone)]
struct Service {
    runtime: Runtime,
    catalogue: Catalogue,
    links: LinkKey,
    codes: CodeKey,
    texts: TextReach,
}

impl Service {
    /// Looks up what somebody else than the caller may do now.
    fn subjects(&self) -> SubjectsInLog {
        SubjectsInLog { catalogue: self.catalogue.clone(), machines: self.runtime.machines.clone() }
    }

    /// The representation of a user for callers of the same tenant.
    fn shown(&self, tenant: TenantId, id: Uuid, user: &User) -> UserResource {
        let public_url = &self.runtime.public_url;
        let uploaded = user.uploaded().map(|picture| picture_address(public_url, tenant, picture));
        UserResource::new(id, user, uploaded)
    }
}

/// Groups of operations in the API reference.
#[derive(Clone, Copy, Debug, Tags)]
enum Tag {
    /// Users of a tenant.
    Users,
    /// The caller's own user.
    Me,
    /// Preferences of users and tenants.
    Preferences,
    /// Invitations and self-registration.
    Invitations,
    /// Roles and the permissions that they grant.
    Roles,
    /// Groups of users that get roles together.
    Groups,
    /// Organizational units of a tenant.
    Organizations,
    /// Names of the domain name system that are a tenant's own.
    Domains,
}
