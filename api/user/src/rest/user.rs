//! Users: register, change, give and take roles.

use face::operation::{Done, Found, Made, change, create, find, id};
use face::{Authenticated, Command, Example, example};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use user_aggregates::{GroupId, OrganizationId, User, UserStatus};
use user_commands::{ChangeLogin, ChangeProfile, GrantRole, LoginFields, ProfileFields, RegisterUser, RevokeRole};
use uuid::Uuid;

use super::profile::{NewProfile, ShownProfile};
use super::{Service, Tag, form};

/// The operations on users.
pub struct Users {
    service: Service,
}

impl Users {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }
}

/// A new user.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "Ada Lovelace", "email": "ada@example.com", "roles": ["member"]}))]
struct NewUser {
    /// E-mail address; no two users of a tenant share one.
    #[schemars(with = "form::Email")]
    email: String,
    /// A name to sign in with.
    #[serde(default)]
    #[schemars(with = "Option<form::UserName>")]
    user_name: Option<String>,
    /// Full name, as it is shown.
    #[schemars(with = "form::Name")]
    name: String,
    /// The language that they want, BCP 47, such as pt-BR.
    #[serde(default)]
    #[schemars(with = "Option<form::Locale>")]
    locale: Option<String>,
    /// Where their day is, such as Europe/Berlin.
    #[serde(default)]
    #[schemars(with = "Option<form::TimeZone>")]
    time_zone: Option<String>,
    /// The roles that they begin with: built-in ones, or the tenant's own. Not more than the caller may.
    #[serde(default)]
    #[schemars(with = "Vec<form::RoleName>", length(max = 50))]
    roles: Vec<String>,
    /// The groups that they begin in.
    #[serde(default)]
    #[schemars(length(max = 50))]
    groups: Vec<GroupId>,
}

/// What a user signs in with: all of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"email": "ada@example.com", "user_name": "ada"}))]
struct NewLogin {
    /// E-mail address; no two users of a tenant share one. A new one is not verified.
    #[schemars(with = "form::Email")]
    email: String,
    /// A name to sign in with.
    #[serde(default)]
    #[schemars(with = "Option<form::UserName>")]
    user_name: Option<String>,
}

/// A role.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"role": "manager"}))]
pub(super) struct RoleName {
    /// Its name: built-in, or the tenant's own.
    #[schemars(with = "form::RoleName")]
    pub(super) role: String,
}

/// A user.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub(super) struct UserResource {
    /// Their id, the subject of their tokens.
    id: Uuid,
    /// Whether they may sign in, and why not.
    status: UserStatus,
    /// E-mail address.
    email: String,
    /// Whether they have shown that it is theirs.
    email_verified: bool,
    /// Whether they have shown that the telephone number of their profile is theirs.
    phone_verified: bool,
    /// The name that they sign in with.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: Option<String>,
    /// Who they are.
    profile: ShownProfile,
    /// Their own roles; those of their groups come on top.
    roles: Vec<String>,
    /// Their groups.
    groups: Vec<GroupId>,
    /// Their organizations.
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
    /// `uploaded`: where the picture is that they uploaded.
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
    /// Add a user without an invitation
    ///
    /// They may sign in at once, with a password that they set by a mailed link: `Forgot your password?` on the sign-in page, or
    /// `POST /v1/auth/users/{user}/send-password-link`. With it they show that the address is theirs.
    #[oai(path = "/v1/user/users", method = "post", operation_id = "registerUser")]
    async fn register(&self, command: Command<NewUser>) -> Made {
        let NewUser { email, user_name, name, locale, time_zone, roles, groups } = command.body;
        let catalogue = self.service.catalogue.clone();
        let profile = ProfileFields { name, locale, time_zone, ..ProfileFields::default() };
        let register = RegisterUser { login: LoginFields { email, user_name }, profile, roles, groups, catalogue };
        create(&self.service.runtime, &command.request, "users", register, |id| id.uuid()).await
    }

    /// A user as they are now
    ///
    /// Needs the permission `user:user:read`.
    #[oai(path = "/v1/user/users/:user", method = "get", operation_id = "getUser")]
    async fn get(&self, Authenticated(caller): Authenticated, user: Path<Uuid>) -> Found<UserResource> {
        let show = |state: &User| self.service.shown(caller.tenant(), user.0, state);
        find(&self.service.runtime, &caller, "user:user:read", user.0, show).await
    }

    /// Replace a user's profile
    ///
    /// What is left out is gone. Needs the permission `user:user:write`.
    #[oai(path = "/v1/user/users/:user/change-profile", method = "post", operation_id = "changeUserProfile")]
    async fn change_profile(&self, command: Command<NewProfile>, user: Path<Uuid>) -> Done {
        let catalogue = self.service.catalogue.clone();
        let changed = ChangeProfile { user: id(&user), profile: command.body.into(), catalogue };
        change(&self.service.runtime, &command.request, user.0, changed).await
    }

    /// Replace what a user signs in with
    ///
    /// Needs the permission `user:user:write`. For another e-mail address of one's own, a token that says when one signed in has to say that it was
    /// within ten minutes (`sign_in_too_old`).
    #[oai(path = "/v1/user/users/:user/change-login", method = "post", operation_id = "changeUserLogin")]
    async fn change_login(&self, command: Command<NewLogin>, user: Path<Uuid>) -> Done {
        let NewLogin { email, user_name } = command.body;
        let catalogue = self.service.catalogue.clone();
        let changed = ChangeLogin { user: id(&user), login: LoginFields { email, user_name }, catalogue };
        change(&self.service.runtime, &command.request, user.0, changed).await
    }

    /// Give a user a role
    ///
    /// Nobody gives a role that allows more than they may themselves.
    #[oai(path = "/v1/user/users/:user/grant-role", method = "post", operation_id = "grantUserRole")]
    async fn grant_role(&self, command: Command<RoleName>, user: Path<Uuid>) -> Done {
        let catalogue = self.service.catalogue.clone();
        let granted = GrantRole { user: id(&user), role: command.body.role, catalogue };
        change(&self.service.runtime, &command.request, user.0, granted).await
    }

    /// Take a role from a user
    ///
    /// The tenant's last owner (role `admin`, may sign in) stays one.
    #[oai(path = "/v1/user/users/:user/revoke-role", method = "post", operation_id = "revokeUserRole")]
    async fn revoke_role(&self, command: Command<RoleName>, user: Path<Uuid>) -> Done {
        let catalogue = self.service.catalogue.clone();
        let revoked = RevokeRole { user: id(&user), role: command.body.role, catalogue };
        change(&self.service.runtime, &command.request, user.0, revoked).await
    }
}
