//! The reach of commands: callers can't change subjects that may do more than they, judged at the moment of the write. The numbers are
//! those of docs/src/threat-model.md.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use auth_aggregates::RequiredOf::{self, Admins, Everyone, Off};
use auth_aggregates::{
    Algorithm, ApiKeyId, Client, ClientId, GrantId, GrantKind, GrantTerms, Place, SamlConnectionId, SamlRole,
};
use auth_commands::{
    ChangeClient, ChangeMachine, ChangeSamlConnection, ClientFields, CreateSamlConnection, DeactivateClient,
    DeactivateMachine, DeactivateSamlConnection, EndSessions, GRANTS, IssueApiKey, OpenGrant, Reach, ReactivateClient,
    ReactivateMachine, ReactivateSamlConnection, RegisterClient, RegisterMachine, ResetSecondFactor, RetireSigningKey,
    RevokeApiKey, RevokeConsent, RevokeSession, SamlConnectionFields, SetClientSecret, SetMachineKeys,
    SetMachineSecret, SetSignInPolicy, StartSession, WithdrawGrant,
};
use chrono::TimeDelta;
use executor::{Command, Permissions, Standing};
use kernel::{Caller, Grant, IdSource, MachineId, Refusal, Role, SystemIds, TenantId, UserId};
use uuid::Uuid;

use crate::identity_provider::Idp;
use crate::world::{BACK, OUT, World};

/// The permissions of the role `keeper`.
const KEEPER: [&str; 8] = [
    "auth:machine:write",
    "auth:client:write",
    "auth:saml_connection:write",
    "auth:session:write",
    "auth:account:write",
    "auth:grant:write",
    "auth:policy:write",
    "auth:key:write",
];

/// A role whose permissions can't be determined, because it includes too many others.
const SHIELD: &str = "shield";

/// Three roles, one user who is an administrator, and perhaps one with the role `shield`.
struct Roles {
    administrator: UserId,
    shielded: Option<UserId>,
}

#[async_trait]
impl Permissions for Roles {
    async fn of_roles(&self, _: TenantId, roles: &[String]) -> Result<BTreeSet<&'static str>, Refusal> {
        if roles.iter().any(|role| role == SHIELD) {
            return Err(Refusal::unprocessable("too_many_roles", "it includes too many others"));
        }
        let gives = |role: &String, grant: &Grant| {
            (role == "admin" && grant.roles.contains(&Role::Admin))
                || (role == "keeper" && KEEPER.contains(&grant.permission))
        };
        let given = GRANTS.iter().filter(|grant| roles.iter().any(|role| gives(role, grant)));
        Ok(given.map(|grant| grant.permission).collect())
    }

    async fn is_role(&self, _: TenantId, name: &str) -> Result<bool, Refusal> {
        Ok(["admin", "keeper", SHIELD].contains(&name))
    }

    async fn of_user(&self, tenant: TenantId, user: UserId) -> Result<BTreeSet<&'static str>, Refusal> {
        let roles: &[&str] = match user {
            user if user == self.administrator => &["admin"],
            user if Some(user) == self.shielded => &[SHIELD],
            _ => &[],
        };
        self.of_roles(tenant, &texts(roles)).await
    }

    async fn standing(&self, tenant: TenantId, user: UserId) -> Result<Standing<&'static str>, Refusal> {
        if user != self.administrator {
            return Ok(Standing::Unknown);
        }
        self.of_user(tenant, user).await.map(Standing::Active)
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A caller with the permissions of `keeper`, in a tenant with an administrator.
struct Keeper {
    world: World,
    caller: Caller,
    administrator: UserId,
    /// A user with the role `shield`.
    shielded: Option<UserId>,
}

impl Keeper {
    async fn new() -> Self {
        let world = World::start().await;
        let administrator = world.person("root@example.com").await;
        let caller = Caller::holding(world.tenant.id, "keeper", BTreeSet::from(KEEPER));
        Self { world, caller, administrator, shielded: None }
    }

    fn reach(&self) -> Reach {
        let permissions = Arc::new(Roles { administrator: self.administrator, shielded: self.shielded });
        Reach::Own { permissions, domains: face::no_names() }
    }

    async fn done<C: Command>(&self, command: &C) -> C::Answer {
        self.world.provider.authority.run(&self.caller, command).await.unwrap().answer
    }

    /// Runs a command that must be refused as exceeding the caller's permissions, without writing anything.
    async fn exceeds<C: Command<Answer: Debug>>(&self, command: &C) {
        let name = std::any::type_name::<C>();
        let before = self.world.head().await;
        let refusal = self.world.provider.authority.run(&self.caller, command).await.unwrap_err();
        assert_eq!(refusal.code(), "exceeds_own_permissions", "{name}: {refusal}");
        assert_eq!(self.world.head().await, before, "{name}: something was written");
    }

    /// Runs a command that is allowed at first, but not any more after the administrator's concurrent command. Only the latter is written.
    async fn exceeds_meanwhile<C: Command<Answer: Debug>>(&self, command: C, meanwhile: impl Command) {
        let refusal = self.world.refused_while(&self.caller, command, meanwhile).await;
        assert_eq!(refusal.code(), "exceeds_own_permissions", "{}: {refusal}", std::any::type_name::<C>());
    }

    async fn machine(&self, name: &str, roles: &[&str]) -> MachineId {
        let (name, roles) = (name.to_owned(), texts(roles));
        self.world.run_as_admin(&RegisterMachine { name, roles, reach: Reach::Everything }).await
    }

    /// A command that issues a key for a machine.
    fn key(&self, machine: MachineId, scopes: &[&str]) -> IssueApiKey {
        let (name, secret_hash) = ("nightly".to_owned(), "ab".repeat(32));
        let (key, scopes) = (ApiKeyId::new(SystemIds.next()), texts(scopes));
        IssueApiKey { key, machine, name, secret_hash, scopes, expires_at: None, reach: self.reach() }
    }

    async fn has_key(&self, machine: MachineId) -> ApiKeyId {
        self.world.run_as_admin(&IssueApiKey { reach: Reach::Everything, ..self.key(machine, &[]) }).await
    }

    async fn grant(&self, subject: Uuid) -> GrantId {
        let now = self.world.now();
        let (kind, until) = (GrantKind::ClientCredentials, now + TimeDelta::days(1));
        let terms = GrantTerms::new(kind, (subject, subject), texts(&["api"]), now, until);
        self.world.run_as_protocol(&OpenGrant { terms }).await.unwrap()
    }
}

#[tokio::test]
async fn attack_153_what_machines_may_do_is_given_and_taken_by_who_may_do_as_much() {
    let keeper = Keeper::new().await;
    let (root, reach) = (keeper.machine("root", &["admin"]).await, || keeper.reach());
    let key = keeper.has_key(root).await;
    let grant = keeper.grant(root.uuid()).await;
    let change =
        |roles: &[&str]| ChangeMachine { machine: root, name: "root".to_owned(), roles: texts(roles), reach: reach() };
    let register = |roles: &[&str]| RegisterMachine { name: "evil".to_owned(), roles: texts(roles), reach: reach() };
    keeper.exceeds(&register(&["admin"])).await;
    keeper.exceeds(&register(&["admin", "keeper"])).await;
    keeper.exceeds(&change(&[])).await;
    keeper.exceeds(&SetMachineSecret { machine: root, secret_hash: "ab".repeat(32), reach: reach() }).await;
    keeper.exceeds(&SetMachineKeys { machine: root, keys: vec![], reach: reach() }).await;
    keeper.exceeds(&DeactivateMachine { machine: root, reach: reach() }).await;
    keeper.exceeds(&ReactivateMachine { machine: root, reach: reach() }).await;
    keeper.exceeds(&keeper.key(root, &[])).await;
    keeper.exceeds(&keeper.key(root, &["auth:*"])).await;
    keeper.exceeds(&RevokeApiKey { key, reach: reach() }).await;
    keeper.exceeds(&WithdrawGrant { grant, reach: reach() }).await;
    // A role that does not exist.
    let before = keeper.world.head().await;
    let unknown = keeper.world.try_as_admin(&register(&["keeper", "keepr"])).await.unwrap_err();
    assert_eq!((unknown.code(), unknown.errors()[0].pointer.as_str()), ("reference_unknown", "/roles/1"));
    assert_eq!(keeper.world.head().await, before, "something was written");
    // Up to their own permissions, they may.
    let key = keeper.done(&keeper.key(root, &["auth:machine:write"])).await;
    keeper.done(&RevokeApiKey { key, reach: reach() }).await;
    let machine = keeper.done(&register(&["keeper"])).await;
    keeper.done(&DeactivateMachine { machine, reach: reach() }).await;
}

#[tokio::test]
async fn attack_153_what_people_have_is_ended_by_who_may_do_as_much() {
    let keeper = Keeper::new().await;
    let (user, reach) = (keeper.administrator, || keeper.reach());
    let app = keeper.world.client(false).await;
    let start = StartSession {
        user,
        methods: texts(&["pwd"]),
        saml: None,
        since: None,
        lifetime: TimeDelta::days(1),
        place: Place::default(),
        before: None,
    };
    let session = keeper.world.run_as_protocol(&start).await.unwrap();
    let grant = keeper.grant(user.uuid()).await;
    keeper.exceeds(&RevokeSession { session, reach: reach() }).await;
    keeper.exceeds(&EndSessions { user, reason: "spite".to_owned(), reach: reach() }).await;
    keeper.exceeds(&ResetSecondFactor { user, reach: reach() }).await;
    keeper.exceeds(&RevokeConsent { user, client: app.id, reach: reach() }).await;
    keeper.exceeds(&WithdrawGrant { grant, reach: reach() }).await;
    let user = keeper.world.person("ada@example.com").await;
    keeper.done(&EndSessions { user, reason: "lost a laptop".to_owned(), reach: reach() }).await;
}

#[tokio::test]
async fn attack_153_what_became_a_machine_that_may_do_more_meanwhile_is_out_of_reach() {
    let keeper = Keeper::new().await;
    let (machine, reach) = (keeper.machine("sensor", &["keeper"]).await, || keeper.reach());
    let key = keeper.has_key(machine).await;
    let grant = keeper.grant(machine.uuid()).await;
    let becomes = |role: &str| ChangeMachine {
        machine,
        name: "sensor".to_owned(),
        roles: texts(&[role]),
        reach: Reach::Everything,
    };
    let secret_hash = "ab".repeat(32);
    let changed = ChangeMachine { name: "Sensor".to_owned(), reach: reach(), ..becomes("keeper") };
    keeper.exceeds_meanwhile(changed, becomes("admin")).await;
    keeper.world.run_as_admin(&becomes("keeper")).await;
    keeper.exceeds_meanwhile(SetMachineSecret { machine, secret_hash, reach: reach() }, becomes("admin")).await;
    keeper.world.run_as_admin(&becomes("keeper")).await;
    keeper.exceeds_meanwhile(DeactivateMachine { machine, reach: reach() }, becomes("admin")).await;
    keeper.world.run_as_admin(&becomes("keeper")).await;
    // API keys, which are another aggregate, depend on the machine as well.
    keeper.exceeds_meanwhile(keeper.key(machine, &[]), becomes("admin")).await;
    keeper.world.run_as_admin(&becomes("keeper")).await;
    keeper.exceeds_meanwhile(RevokeApiKey { key, reach: reach() }, becomes("admin")).await;
    keeper.world.run_as_admin(&becomes("keeper")).await;
    keeper.exceeds_meanwhile(WithdrawGrant { grant, reach: reach() }, becomes("admin")).await;
    keeper.world.run_as_admin(&becomes("keeper")).await;
    keeper.done(&WithdrawGrant { grant, reach: reach() }).await;
}

#[tokio::test]
async fn attack_175_who_or_what_has_more_roles_than_are_resolved_is_in_the_reach_of_administrators() {
    let mut keeper = Keeper::new().await;
    let user = keeper.world.person("eve@example.com").await;
    keeper.shielded = Some(user);
    let machine = keeper.machine("sensor", &[SHIELD]).await;
    let key = keeper.has_key(machine).await;
    let (world, reach) = (&keeper.world, || keeper.reach());
    let end = || EndSessions { user, reason: "stolen".to_owned(), reach: reach() };
    let before = world.head().await;
    let refused = [
        world.provider.authority.run(&keeper.caller, &end()).await.map(drop),
        world.provider.authority.run(&keeper.caller, &DeactivateMachine { machine, reach: reach() }).await.map(drop),
    ];
    for refusal in refused {
        assert_eq!(refusal.unwrap_err().code(), "too_many_roles");
    }
    assert_eq!(world.head().await, before, "something was written");
    world.run_as_admin(&end()).await;
    world.run_as_admin(&ResetSecondFactor { user, reach: reach() }).await;
    world.run_as_admin(&RevokeApiKey { key, reach: reach() }).await;
    world.run_as_admin(&DeactivateMachine { machine, reach: reach() }).await;
}

#[tokio::test]
async fn attack_155_who_controls_a_connection_could_sign_in_as_anybody_so_it_is_for_administrators() {
    let keeper = Keeper::new().await;
    let idp = Idp::new(&keeper.world);
    let reach = || keeper.reach();
    // It gives no role, but it could assert the address of the administrator.
    let fields = || SamlConnectionFields { roles: Vec::new(), ..idp.fields() };
    keeper.exceeds(&CreateSamlConnection { fields: fields(), reach: reach() }).await;
    let create = CreateSamlConnection { fields: fields(), reach: Reach::Everything };
    let connection: SamlConnectionId = keeper.world.run_as_admin(&create).await;
    keeper.exceeds(&ChangeSamlConnection { connection, fields: fields(), reach: reach() }).await;
    keeper.exceeds(&DeactivateSamlConnection { connection, reach: reach() }).await;
    keeper.world.run_as_admin(&DeactivateSamlConnection { connection, reach: Reach::Everything }).await;
    keeper.exceeds(&ReactivateSamlConnection { connection, reach: reach() }).await;
    // An administrator's reach is checked as well, and suffices.
    keeper.world.run_as_admin(&ReactivateSamlConnection { connection, reach: reach() }).await;
    let gives = |role: &str| SamlConnectionFields {
        roles: vec![SamlRole { value: "staff".to_owned(), role: role.to_owned() }],
        ..idp.fields()
    };
    let unknown = ChangeSamlConnection { connection, fields: gives("nobody"), reach: reach() };
    let refusal = keeper.world.try_as_admin(&unknown).await.unwrap_err();
    assert_eq!(refusal.errors()[0].pointer, "/roles/0/role", "{refusal}");
    keeper.world.run_as_admin(&ChangeSamlConnection { connection, fields: gives("keeper"), reach: reach() }).await;
}

/// The fields of an application with these redirect URIs.
fn app(name: &str, trusted: bool, uris: &[&str]) -> ClientFields {
    let (name, redirect_uris) = (name.to_owned(), texts(uris));
    ClientFields { name, confidential: true, redirect_uris, trusted, ..ClientFields::default() }
}

#[tokio::test]
async fn attack_154_an_application_that_people_are_not_asked_about_is_out_of_reach() {
    let keeper = Keeper::new().await;
    let reach = || keeper.reach();
    let own = keeper.world.client(true).await.id;
    let change = |client: ClientId, fields: ClientFields| ChangeClient { client, fields, reach: reach() };
    let register = |trusted: bool| RegisterClient { fields: app("App", trusted, &[BACK]), reach: reach() };
    keeper.exceeds(&register(true)).await;
    keeper.exceeds(&change(own, app("App", false, &[BACK]))).await;
    keeper.exceeds(&SetClientSecret { client: own, secret_hash: "ab".repeat(32), reach: reach() }).await;
    keeper.exceeds(&DeactivateClient { client: own, reach: reach() }).await;
    keeper.exceeds(&ReactivateClient { client: own, reach: reach() }).await;
    let asked = keeper.done(&register(false)).await;
    keeper.exceeds(&change(asked, app("App", true, &[BACK]))).await;
    keeper.exceeds(&change(asked, app("App", false, &[BACK, OUT]))).await;
    keeper.done(&change(asked, app("Other", false, &[BACK]))).await;
}

#[tokio::test]
async fn attack_154_what_was_taken_from_an_application_meanwhile_is_not_put_back() {
    let keeper = Keeper::new().await;
    let reach = || keeper.reach();
    let register = RegisterClient { fields: app("App", false, &[BACK, OUT]), reach: reach() };
    let client = keeper.done(&register).await;
    let becomes = |fields: ClientFields| ChangeClient { client, fields, reach: Reach::Everything };
    let renamed = ChangeClient { client, fields: app("Other", false, &[BACK, OUT]), reach: reach() };
    keeper.exceeds_meanwhile(renamed, becomes(app("App", false, &[BACK]))).await;
    let (world, admin) = (&keeper.world, keeper.world.admin());
    let found = world.provider.authority.executor().load::<Client>(&admin, &client.to_string()).await.unwrap();
    assert_eq!(found.unwrap().0.details.redirect_uris, [BACK]);
    let secret_hash = "ab".repeat(32);
    let own = || becomes(app("App", true, &[BACK]));
    keeper.exceeds_meanwhile(SetClientSecret { client, secret_hash, reach: reach() }, own()).await;
    world.run_as_admin(&becomes(app("App", false, &[BACK]))).await;
    keeper.exceeds_meanwhile(DeactivateClient { client, reach: reach() }, own()).await;
    world.run_as_admin(&becomes(app("App", false, &[BACK]))).await;
    keeper.done(&DeactivateClient { client, reach: reach() }).await;
}

#[tokio::test]
async fn attack_166_who_looks_after_the_sign_in_policy_makes_it_no_weaker_for_administrators() {
    let keeper = Keeper::new().await;
    let set = |second_factor: Option<RequiredOf>, session_idle_minutes: Option<u32>, reach: Reach| SetSignInPolicy {
        second_factor,
        session_idle_minutes,
        reach,
    };
    let reach = || keeper.reach();
    keeper.exceeds(&set(None, Some(3 * 24 * 60 + 1), reach())).await;
    keeper.done(&set(Some(Everyone), Some(60), reach())).await;
    for weaker in [set(Some(Admins), None, reach()), set(Some(Off), None, reach()), set(None, Some(61), reach())] {
        keeper.exceeds(&weaker).await;
    }
    // Half of it is weaker.
    keeper.exceeds(&set(Some(Off), Some(30), reach())).await;
    keeper.done(&set(Some(Everyone), Some(60), reach())).await;
    keeper.exceeds_meanwhile(set(None, Some(59), reach()), set(None, Some(30), Reach::Everything)).await;
    // An administrator's reach is checked as well, and suffices.
    keeper.world.run_as_admin(&set(Some(Off), Some(14 * 24 * 60), reach())).await;
}

#[tokio::test]
async fn attack_169_who_looks_after_keys_has_no_token_of_an_administrator_refused() {
    let keeper = Keeper::new().await;
    let (world, reach) = (&keeper.world, || keeper.reach());
    let authority = &world.provider.authority;
    let request = authority.executor().internal_request(&keeper.caller, None);
    // Rotating a key refuses nothing.
    let kid = authority.rotate(&request, Algorithm::EdDSA).await.unwrap().answer;
    keeper.exceeds(&RetireSigningKey { kid: kid.clone(), reach: reach() }).await;
    world.run_as_admin(&RetireSigningKey { kid, reach: reach() }).await;
}
