//! Users: register, change, grant and revoke roles.

use face::operation::{ChangeResult, CreateResult, ReadResult, change, create, find, id};
use face::{Authenticated, Command, Example, example};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use user_aggregates::{GroupId, OrganizationId, User, UserStatus};
use user_commands::{
    ChangeLogin, ChangeProfile, GrantRole, LoginFields, ProfileFields, RegisterUser, RevokeRole, lengths,
};
use uuid::Uuid;

use super::profile::{NewProfile, ShownProfile};
use super::{Service, Tag, form};

/// Operations on users.
pub struct Users {
    service: Service,
}

impl Users {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }
}

/// A user to be created.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "Ada Lovelace", "email": "ada@example.com", "roles": ["member"]}))]
struct NewUser {
    /// E-mail address, unique in the tenant.
    #[schemars(with = "form::Email")]
    email: String,
    /// User name for signing in.
    #[serde(default)]
    #[schemars(with = "Option<form::UserName>")]
    user_name: Option<String>,
    /// Full name, as it is displayed.
    #[schemars(with = "form::Name")]
    name: String,
    /// Preferred language (BCP 47), such as pt-BR.
    #[serde(default)]
    #[schemars(with = "Option<form::Locale>")]
    locale: Option<String>,
    /// Time zone, such as Europe/Berlin.
    #[serde(default)]
    #[schemars(with = "Option<form::TimeZone>")]
    time_zone: Option<String>,
    /// Roles to grant: built-in ones or the tenant's own. They may not allow more than the caller's permissions do.
    #[serde(default)]
    #[schemars(with = "Vec<form::RoleName>", length(max = lengths::ROLES))]
    roles: Vec<String>,
    /// Groups to join.
    #[serde(default)]
    #[schemars(length(max = lengths::GROUPS))]
    groups: Vec<GroupId>,
}

/// The complete login of a user.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"email": "ada@example.com", "user_name": "ada"}))]
struct NewLogin {
    /// E-mail address, unique in the tenant. A new address is unverified.
    #[schemars(with = "form::Email")]
    email: String,
    /// User name for signing in.
    #[serde(default)]
    #[schemars(with = "Option<form::UserName>")]
    user_name: Option<String>,
}

/// A role, by name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"role": "manager"}))]
pub(super) struct RoleName {
    /// Name of the role: a built-in one or the tenant's own.
    #[schemars(with = "form::RoleName")]
    pub(super) role: String,
}

/// A user of the tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub(super) struct UserResource {
    /// Id of the user, which is the subject of their tokens.
    id: Uuid,
    /// State of the user: whether they may sign in, and if not, why.
    status: UserStatus,
    /// E-mail address.
    email: String,
    /// Whether the e-mail address is verified.
    email_verified: bool,
    /// Whether the telephone number of the profile is verified.
    phone_verified: bool,
    /// User name for signing in.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: Option<String>,
    /// Profile of the user.
    profile: ShownProfile,
    /// The user's own roles, without those of their groups.
    roles: Vec<String>,
    /// Groups of the user.
    groups: Vec<GroupId>,
    /// Organizations of the user.
    organizations: Vec<OrganizationId>,
}

impl Example for UserResource {
    fn example() -> Self {
        Self {
            id: example::id(1),
            status: UserStatus::Active,
            email: "ada@example.com".to_owned(),
            email_verified: true,
            phone_verified: false,
            user_name: Some("ada".to_owned()),
            profile: ShownProfile::example(),
            roles: vec!["member".to_owned()],
            groups: vec![example::id(2).into()],
            organizations: vec![example::id(4).into()],
        }
    }
}

impl UserResource {
    /// `uploaded` is the URL of the picture that the user uploaded.
    pub(super) fn new(id: Uuid, user: &User, uploaded: Option<String>) -> Self {
        Self {
            id,
            status: user.status,
            email: user.login.email.reveal().clone(),
            email_verified: user.email_verified,
            phone_verified: user.phone.verified,
            user_name: user.login.user_name.as_ref().map(|name| name.reveal().clone()),
            profile: ShownProfile::new(&user.profile, uploaded),
            roles: user.roles.iter().cloned().collect(),
            groups: user.groups.iter().copied().collect(),
            organizations: user.organizations.iter().copied().collect(),
        }
    }
}

#[OpenApi(tag = "Tag::Users")]
impl Users {
    /// Create a user without an invitation
    ///
    /// The user can sign in at once, after they set a password with a link sent by e-mail: through `Forgot your password?` on the sign-in
    /// page, or `POST /v1/auth/users/{user}/send-password-link`. Using the link also verifies their e-mail address.
    #[oai(path = "/v1/user/users", method = "post", operation_id = "registerUser")]
    async fn register(&self, command: Command<NewUser>) -> CreateResult {
        let NewUser { email, user_name, name, locale, time_zone, roles, groups } = command.body;
        let catalogue = self.service.catalogue.clone();
        let profile = ProfileFields { name, locale, time_zone, ..ProfileFields::default() };
        let register = RegisterUser { login: LoginFields { email, user_name }, profile, roles, groups, catalogue };
        create(&self.service.runtime, &command.request, "users", register, |id| id.uuid()).await
    }

    /// Get a user
    ///
    /// Needs the permission `user:user:read`.
    #[oai(path = "/v1/user/users/:user", method = "get", operation_id = "getUser")]
    async fn get(&self, Authenticated(caller): Authenticated, user: Path<Uuid>) -> ReadResult<UserResource> {
        let show = |state: &User| self.service.shown(caller.tenant(), user.0, state);
        find(&self.service.runtime, &caller, "user:user:read", user.0, show).await
    }

    /// Replace a user's profile
    ///
    /// Fields that are left out are removed. Needs the permission `user:user:write`.
    #[oai(path = "/v1/user/users/:user/change-profile", method = "post", operation_id = "changeUserProfile")]
    async fn change_profile(&self, command: Command<NewProfile>, user: Path<Uuid>) -> ChangeResult {
        let catalogue = self.service.catalogue.clone();
        let changed = ChangeProfile { user: id(&user), profile: command.body.into(), catalogue };
        change(&self.service.runtime, &command.request, user.0, changed).await
    }

    /// Replace a user's e-mail address and user name
    ///
    /// Needs the permission `user:user:write`. To change the caller's own e-mail address, a token that tells when the caller signed in must
    /// be from a sign-in within the last ten minutes (`sign_in_too_old`).
    #[oai(path = "/v1/user/users/:user/change-login", method = "post", operation_id = "changeUserLogin")]
    async fn change_login(&self, command: Command<NewLogin>, user: Path<Uuid>) -> ChangeResult {
        let NewLogin { email, user_name } = command.body;
        let catalogue = self.service.catalogue.clone();
        let changed = ChangeLogin { user: id(&user), login: LoginFields { email, user_name }, catalogue };
        change(&self.service.runtime, &command.request, user.0, changed).await
    }

    /// Grant a role to a user
    ///
    /// Callers can't grant a role that allows more than they are allowed themselves.
    #[oai(path = "/v1/user/users/:user/grant-role", method = "post", operation_id = "grantUserRole")]
    async fn grant_role(&self, command: Command<RoleName>, user: Path<Uuid>) -> ChangeResult {
        let catalogue = self.service.catalogue.clone();
        let granted = GrantRole { user: id(&user), role: command.body.role, catalogue };
        change(&self.service.runtime, &command.request, user.0, granted).await
    }

    /// Revoke a role from a user
    ///
    /// The role `admin` can't be revoked from the tenant's last owner (a user with the role `admin` who may sign in).
    #[oai(path = "/v1/user/users/:user/revoke-role", method = "post", operation_id = "revokeUserRole")]
    async fn revoke_role(&self, command: Command<RoleName>, user: Path<Uuid>) -> ChangeResult {
        let catalogue = self.service.catalogue.clone();
        let revoked = RevokeRole { user: id(&user), role: command.body.role, catalogue };
        change(&self.service.runtime, &command.request, user.0, revoked).await
    }
}
