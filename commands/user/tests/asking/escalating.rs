//! Privilege escalation: nobody grants, takes or controls more permissions than they have themselves.

use std::sync::atomic::{AtomicBool, Ordering};

use executor::{Command, Executor, Request, Work};
use kernel::{Kind, Refusal, Role};
use user_aggregates::RoleId;
use user_commands::{
    ChangeGroupMembers, ChangeLogin, ChangeProfile, ChangeRole, CreateGroup, DefineRole, DissolveGroup, GrantGroupRole,
    GrantRole, InviteUser, LockUser, LoginFields, ProfileFields, RegisterUser, RemoveUser, RenameGroup,
    ResendInvitation, RetireRole, ReviseGroup, RevokeGroupRole, RevokeInvitation, RevokeRole, Said,
};

use super::support::*;

async fn exceeds<C: Command<Answer: std::fmt::Debug>>(world: &World, request: &executor::Request, command: &C) {
    let refusal = world.refused_as(request, command).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Forbidden, "exceeds_own_permissions"), "{refusal}");
}

#[tokio::test]
async fn a_manager_makes_no_administrator_in_any_way() {
    let world = World::new().await;
    let manager = world.as_roles(&[Role::Manager]);
    let (member, admins) = (world.user("member", &["member"]).await, world.group("Admins", &["admin"]).await);
    let staff = world.group("Staff", &[]).await;
    let admin = || "admin".to_owned();
    exceeds(&world, &manager, &GrantRole { user: member, role: admin(), catalogue: catalogue() }).await;
    exceeds(&world, &manager, &GrantGroupRole { group: staff, role: admin(), catalogue: catalogue() }).await;
    exceeds(&world, &manager, &user("eve", &["admin"])).await;
    let group = CreateGroup { name: "Eves".to_owned(), roles: vec![admin()], catalogue: catalogue() };
    exceeds(&world, &manager, &group).await;
    let (join, leave) = (vec![member], vec![]);
    exceeds(&world, &manager, &ChangeGroupMembers { group: admins, join, leave, catalogue: catalogue() }).await;
    let (email, name, roles) = ("eve@example.com".to_owned(), None, vec![]);
    exceeds(&world, &manager, &InviteUser { email, name, roles, groups: vec![admins], catalogue: catalogue() }).await;
    // An auditor sees dead letters, which a manager does not.
    let auditor = GrantRole { user: member, role: "auditor".to_owned(), catalogue: catalogue() };
    exceeds(&world, &manager, &auditor).await;
    world.done_as(&manager, &GrantRole { user: member, role: "viewer".to_owned(), catalogue: catalogue() }).await;
}

#[tokio::test]
async fn a_manager_has_no_power_over_an_administrator() {
    let world = World::new().await;
    let manager = world.as_roles(&[Role::Manager]);
    let ada = world.user("ada", &["admin"]).await;
    let admins = world.group("Admins", &["admin"]).await;
    // Also an administrator by membership in a group only.
    let grace = world.user("grace", &["viewer"]).await;
    let join = ChangeGroupMembers { group: admins, join: vec![grace], leave: vec![], catalogue: catalogue() };
    world.done(&join).await;
    for user in [ada, grace] {
        exceeds(&world, &manager, &LockUser { user, reason: "x".to_owned(), catalogue: catalogue() }).await;
        exceeds(&world, &manager, &RemoveUser { user, catalogue: catalogue() }).await;
        // Changing a user's address would redirect the link that sets a password.
        let login = LoginFields { email: "eve@example.com".to_owned(), user_name: None };
        exceeds(&world, &manager, &ChangeLogin { user, login, catalogue: catalogue() }).await;
        let profile = ProfileFields { name: "Eve".to_owned(), ..ProfileFields::default() };
        exceeds(&world, &manager, &ChangeProfile { user, profile, catalogue: catalogue() }).await;
    }
    exceeds(&world, &manager, &RevokeRole { user: ada, role: "admin".to_owned(), catalogue: catalogue() }).await;
    exceeds(&world, &manager, &DissolveGroup { group: admins, catalogue: catalogue() }).await;
}

#[tokio::test]
async fn attack_109_a_manager_revives_and_revokes_no_invitation_of_an_administrator() {
    let world = World::new().await;
    let manager = world.as_roles(&[Role::Manager]);
    let admins = world.group("Admins", &["admin"]).await;
    let invite = |name: &str, roles: &[&str], groups: &[user_aggregates::GroupId]| InviteUser {
        email: format!("{name}@example.com"),
        name: None,
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        groups: groups.to_vec(),
        catalogue: catalogue(),
    };
    let by_role = world.done(&invite("ada", &["admin"], &[])).await;
    let by_group = world.done(&invite("grace", &["viewer"], &[admins])).await;
    let viewer = world.done(&invite("hedy", &["viewer"], &[])).await;
    // While their links are valid, and after that.
    for days in [0, 8] {
        world.clock.advance(chrono::Duration::days(days));
        for invitation in [by_role, by_group] {
            exceeds(&world, &manager, &ResendInvitation { invitation, catalogue: catalogue() }).await;
            exceeds(&world, &manager, &RevokeInvitation { invitation, catalogue: catalogue() }).await;
        }
        world.done_as(&manager, &ResendInvitation { invitation: viewer, catalogue: catalogue() }).await;
    }
    // Another process gave the role more permissions, which is not in this process's cache yet.
    let change = ChangeRole {
        name: "sales".to_owned(),
        fields: role("sales", &["user:user:erase"], &[]).fields,
        catalogue: catalogue(),
    };
    world.done(&role("sales", &["user:user:read"], &[])).await;
    let invitation = world.done(&invite("joan", &["sales"], &[])).await;
    world.done_as(&manager, &ResendInvitation { invitation, catalogue: catalogue() }).await;
    world.elsewhere().execute(&world.request, &change).await.unwrap();
    exceeds(&world, &manager, &ResendInvitation { invitation, catalogue: catalogue() }).await;
    world.done_as(&manager, &RevokeInvitation { invitation: viewer, catalogue: catalogue() }).await;
}

#[tokio::test]
async fn attack_113_a_manager_signs_no_administrator_out_by_taking_what_is_little() {
    let world = World::new().await;
    let manager = world.as_roles(&[Role::Manager]);
    let (ada, member) = (world.user("ada", &["admin", "viewer"]).await, world.user("member", &["viewer"]).await);
    let group = world.group("Lunch", &[]).await;
    let change = |join: &[kernel::UserId], leave: &[kernel::UserId]| ChangeGroupMembers {
        group,
        join: join.to_vec(),
        leave: leave.to_vec(),
        catalogue: catalogue(),
    };
    world.done_as(&manager, &change(&[ada, member], &[])).await;
    exceeds(&world, &manager, &change(&[], &[member, ada])).await;
    let revoke = |user| RevokeRole { user, role: "viewer".to_owned(), catalogue: catalogue() };
    exceeds(&world, &manager, &revoke(ada)).await;
    world.done_as(&manager, &change(&[], &[member])).await;
    world.done_as(&manager, &revoke(member)).await;
    world.done(&change(&[], &[ada])).await;
}

#[tokio::test]
async fn a_role_of_ones_own_allows_no_more_than_oneself_however_it_is_put_together() {
    let world = World::new().await;
    let few = world.with_permissions(&["user:role:write", "user:user:read", "user:role:grant"]);
    exceeds(&world, &few, &role("more", &["user:user:erase"], &[])).await;
    exceeds(&world, &few, &role("more", &[], &["admin"])).await;
    world.done(&role("eraser", &["user:user:erase"], &[])).await;
    exceeds(&world, &few, &role("more", &[], &["eraser"])).await;
    world.done_as(&few, &role("reader", &["user:user:read"], &[])).await;
    let change = |permissions: &[&str]| ChangeRole {
        name: "reader".to_owned(),
        fields: role("reader", permissions, &[]).fields,
        catalogue: catalogue(),
    };
    exceeds(&world, &few, &change(&["user:user:read", "user:user:erase"])).await;
    // An included role may get more permissions later: they are checked when the role is granted.
    world.done(&role("outer", &[], &["reader"])).await;
    world.done(&change(&["user:user:erase"])).await;
    let member = world.user("member", &[]).await;
    exceeds(&world, &few, &GrantRole { user: member, role: "outer".to_owned(), catalogue: catalogue() }).await;
}

#[tokio::test]
async fn roles_name_what_there_is_and_not_each_other_in_a_circle() {
    let world = World::new().await;
    let code = async |command: DefineRole| {
        let refusal = world.refused(&command).await;
        (refusal.code(), refusal.errors()[0].code, refusal.errors()[0].pointer.clone())
    };
    let pointer = |text: &str| text.to_owned();
    assert_eq!(
        code(role("x1", &["user:user:read", "user:user:fly"], &[])).await,
        ("validation_failed", "permission_unknown", pointer("/permissions/1"))
    );
    // The permission to accept an invitation belongs to no role.
    assert_eq!(code(role("x1", &["user:invitation:accept"], &[])).await.1, "permission_unknown");
    let unknown = code(role("x1", &[], &["nobody", "member"])).await;
    assert_eq!(unknown, ("reference_unknown", "not_found", pointer("/includes/0")));
    assert_eq!(code(role("admin", &[], &[])).await, ("validation_failed", "built_in", pointer("/name")));
    world.done(&role("inner", &["user:user:read"], &[])).await;
    world.done(&role("outer", &[], &["inner"])).await;
    let again = world.refused(&role("outer", &[], &[])).await;
    assert_eq!((again.code(), again.detail().contains("a role outer")), ("already_exists", true), "{again:?}");
    let circle =
        ChangeRole { name: "inner".to_owned(), fields: role("inner", &[], &["outer"]).fields, catalogue: catalogue() };
    assert_eq!(world.refused(&circle).await.errors()[0].code, "circular");
}

/// All commands that a manager may try with a group, a role and a member, which have few permissions according to this process's cache.
async fn tries(
    world: &World,
    manager: &Request,
    (group, member, idle): (user_aggregates::GroupId, kernel::UserId, kernel::UserId),
) {
    let (join, leave) = (vec![idle], vec![]);
    exceeds(world, manager, &ChangeGroupMembers { group, join, leave, catalogue: catalogue() }).await;
    exceeds(world, manager, &GrantRole { user: idle, role: "sales".to_owned(), catalogue: catalogue() }).await;
    exceeds(world, manager, &user("eve", &["sales"])).await;
    let in_group = RegisterUser { groups: vec![group], ..user("eve", &[]) };
    exceeds(world, manager, &in_group).await;
    let (email, name, roles) = ("eve@example.com".to_owned(), None, vec!["sales".to_owned()]);
    exceeds(world, manager, &InviteUser { email, name, roles, groups: vec![], catalogue: catalogue() }).await;
    let holders = CreateGroup { name: "Eves".to_owned(), roles: vec!["sales".to_owned()], catalogue: catalogue() };
    exceeds(world, manager, &holders).await;
    exceeds(world, manager, &LockUser { user: member, reason: "x".to_owned(), catalogue: catalogue() }).await;
    let login = LoginFields { email: "eve@example.com".to_owned(), user_name: None };
    exceeds(world, manager, &ChangeLogin { user: member, login, catalogue: catalogue() }).await;
}

#[tokio::test]
async fn attack_87_a_manager_knows_a_group_as_it_was_before_another_process_widened_it() {
    let world = World::new().await;
    let manager = world.as_roles(&[Role::Manager]);
    world.done(&role("sales", &["user:user:read"], &[])).await;
    let group = world.group("Staff", &["sales"]).await;
    let (member, idle) = (world.user("member", &[]).await, world.user("idle", &[]).await);
    // By now everything is in this process's cache.
    let (join, leave) = (vec![member], vec![]);
    let staff = ChangeGroupMembers { group, join, leave, catalogue: catalogue() };
    world.done_as(&manager, &staff).await;
    let elsewhere = world.elsewhere();
    // By the group.
    let grant = GrantGroupRole { group, role: "admin".to_owned(), catalogue: catalogue() };
    elsewhere.execute(&world.request, &grant).await.unwrap();
    let (join, leave) = (vec![idle], vec![]);
    exceeds(&world, &manager, &ChangeGroupMembers { group, join, leave, catalogue: catalogue() }).await;
    let take = RevokeGroupRole { group, role: "admin".to_owned(), catalogue: catalogue() };
    elsewhere.execute(&world.request, &take).await.unwrap();
    let viewer = || GrantRole { user: idle, role: "sales".to_owned(), catalogue: catalogue() };
    world.done_as(&manager, &viewer()).await;
    // By the role that it gives.
    let change = ChangeRole {
        name: "sales".to_owned(),
        fields: role("sales", &["user:user:erase"], &[]).fields,
        catalogue: catalogue(),
    };
    elsewhere.execute(&world.request, &change).await.unwrap();
    tries(&world, &manager, (group, member, idle)).await;
}

/// A command during whose first attempt another writer is faster.
struct Between<A, B> {
    command: A,
    meanwhile: B,
    other: (Executor, Request),
    was: AtomicBool,
}

impl<A: Command, B: Command> Command for Between<A, B> {
    const PERMISSION: &'static str = A::PERMISSION;
    type Answer = A::Answer;

    async fn run(&self, work: &mut Work<'_>) -> Result<A::Answer, Refusal> {
        let answer = self.command.run(work).await?;
        if !self.was.swap(true, Ordering::Relaxed) {
            self.other.0.execute(&self.other.1, &self.meanwhile).await?;
        }
        Ok(answer)
    }
}

#[tokio::test]
async fn attack_87_a_manager_is_as_fast_as_who_widens_a_group_or_a_role() {
    let world = World::new().await;
    let manager = world.as_roles(&[Role::Manager]);
    let raced = async |number: u32, widen: &str| {
        let name = format!("sales{number}");
        world.done(&role(&name, &["user:user:read"], &[])).await;
        let group = world.group(&format!("Staff {number}"), &[&name]).await;
        let member = world.user(&format!("member{number}"), &[]).await;
        let command = ChangeGroupMembers { group, join: vec![member], leave: vec![], catalogue: catalogue() };
        let (other, was) = ((world.elsewhere(), world.request.clone()), AtomicBool::new(false));
        let refused = if widen == "group" {
            let meanwhile = GrantGroupRole { group, role: "admin".to_owned(), catalogue: catalogue() };
            world.executor.execute(&manager, &Between { command, meanwhile, other, was }).await
        } else {
            let fields = role(&name, &["user:user:erase"], &[]).fields;
            let meanwhile = ChangeRole { name, fields, catalogue: catalogue() };
            world.executor.execute(&manager, &Between { command, meanwhile, other, was }).await
        };
        assert_eq!(refused.unwrap_err().code(), "exceeds_own_permissions", "{widen}");
        assert!(world.state(member).await.groups.is_empty(), "{widen}");
    };
    raced(1, "group").await;
    raced(2, "role").await;
}

#[tokio::test]
async fn attack_157_who_looks_after_roles_takes_by_them_nothing_that_they_may_not_themselves() {
    let world = World::new().await;
    let keeper = world.with_permissions(&["user:role:write", "user:user:read"]);
    let change = |name: &str, permissions: &[&str]| ChangeRole {
        name: name.to_owned(),
        fields: role(name, permissions, &[]).fields,
        catalogue: catalogue(),
    };
    let retire = |name: &str| RetireRole { name: name.to_owned(), catalogue: catalogue() };
    world.done(&role("eraser", &["user:user:erase"], &[])).await;
    world.done(&role("outer", &[], &["eraser"])).await;
    world.done(&role("reader", &["user:user:read"], &[])).await;
    for more in ["eraser", "outer"] {
        exceeds(&world, &keeper, &change(more, &[])).await;
        exceeds(&world, &keeper, &retire(more)).await;
    }
    world.done_as(&keeper, &change("reader", &[])).await;
    // A role that is given more at the same moment is out of reach, too.
    let (other, was) = ((world.elsewhere(), world.request.clone()), AtomicBool::new(false));
    let meanwhile = change("reader", &["user:user:erase"]);
    let raced = Between { command: retire("reader"), meanwhile, other, was };
    assert_eq!(world.executor.execute(&keeper, &raced).await.unwrap_err().code(), "exceeds_own_permissions");
    let reader = RoleId::of(world.request.caller.tenant(), "reader");
    assert!(!world.load::<user_aggregates::Role>(reader).await.retired);
    world.done(&change("reader", &["user:user:read"])).await;
    world.done_as(&keeper, &retire("reader")).await;
    world.done(&retire("outer")).await;
}

#[tokio::test]
async fn attack_175_a_role_that_includes_very_many_keeps_nobody_out_of_the_reach_of_administrators() {
    let world = World::new().await;
    let keeper = world.with_permissions(&["user:role:write"]);
    let manager = world.as_roles(&[Role::Manager]);
    world.done(&role("shield", &[], &[])).await;
    let eve = world.user("eve", &["shield"]).await;
    world.include_very_many(&keeper, "shield").await;
    let lock = LockUser { user: eve, reason: "x".to_owned(), catalogue: catalogue() };
    let refusal = world.refused_as(&manager, &lock).await;
    assert_eq!(refusal.code(), "too_many_roles", "what she may is not known: {refusal}");
    world.done(&lock).await;
    world.done(&RevokeRole { user: eve, role: "shield".to_owned(), catalogue: catalogue() }).await;
    world.done(&RetireRole { name: "shield".to_owned(), catalogue: catalogue() }).await;
}

#[tokio::test]
async fn attack_161_a_manager_passes_no_group_of_administrators_off_as_another_one() {
    let world = World::new().await;
    let manager = world.as_roles(&[Role::Manager]);
    let (admins, staff) = (world.group("Admins", &["admin", "viewer"]).await, world.group("Staff", &["viewer"]).await);
    let rename = |group, name: &str| RenameGroup { group, name: name.to_owned(), catalogue: catalogue() };
    let revise = |group, external_id: &str| ReviseGroup {
        group,
        name: None,
        external_id: Said::Is(external_id.to_owned()),
        join: vec![],
        leave: vec![],
        catalogue: catalogue(),
    };
    let revoke = |group| RevokeGroupRole { group, role: "viewer".to_owned(), catalogue: catalogue() };
    exceeds(&world, &manager, &rename(admins, "Everybody")).await;
    exceeds(&world, &manager, &revise(admins, "everybody")).await;
    exceeds(&world, &manager, &revoke(admins)).await;
    // What changes nothing, or a group that gives no more than they may.
    world.done(&revise(admins, "admins")).await;
    world.done_as(&manager, &rename(admins, "Admins")).await;
    world.done_as(&manager, &revise(admins, "admins")).await;
    world.done_as(&manager, &rename(staff, "Everybody")).await;
    world.done_as(&manager, &revise(staff, "everybody")).await;
    // One that gives more by now is out of reach, also if it got that at the same moment.
    let (other, was) = ((world.elsewhere(), world.request.clone()), AtomicBool::new(false));
    let meanwhile = GrantGroupRole { group: staff, role: "admin".to_owned(), catalogue: catalogue() };
    let raced = Between { command: rename(staff, "Staff"), meanwhile, other, was };
    assert_eq!(world.executor.execute(&manager, &raced).await.unwrap_err().code(), "exceeds_own_permissions");
    exceeds(&world, &manager, &revoke(staff)).await;
}
