//! Refusals because of what there is already: names that are taken, what has ended, limits, the life of a tenant. They write nothing.

use chrono::Duration;
use futures::future::join_all;
use kernel::{Kind, Refusal, UserId};
use user_aggregates::{MOST_GROUP_ROLES, PreferenceValue};
use user_commands::*;
use uuid::Uuid;

use super::support::*;

fn conflict(refusal: &Refusal, code: &str) {
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, code), "{refusal}");
}

fn create_group(name: &str) -> CreateGroup {
    CreateGroup { name: name.to_owned(), roles: vec![], catalogue: catalogue() }
}

fn create_organization(name: &str) -> CreateOrganization {
    CreateOrganization { name: name.to_owned(), parent: None }
}

fn change_role(name: &str) -> ChangeRole {
    let fields = RoleFields { title: "Changed".to_owned(), ..RoleFields::default() };
    ChangeRole { name: name.to_owned(), fields, catalogue: catalogue() }
}

#[tokio::test]
async fn a_name_belongs_to_one_group_whatever_its_case_until_that_is_dissolved() {
    let world = World::new().await;
    let (sales, other) = (world.group("Sales", &[]).await, world.group("Other", &[]).await);
    let rename = RenameGroup { group: other, name: "sales".to_owned(), catalogue: catalogue() };
    for refusal in [world.refused(&create_group("SALES")).await, world.refused(&rename).await] {
        conflict(&refusal, "group_name_taken");
        assert_eq!(refusal.extra()["holder"], sales.to_string());
    }
    world.done(&DissolveGroup { group: sales, catalogue: catalogue() }).await;
    world.done(&rename).await;
}

#[tokio::test]
async fn a_name_belongs_to_one_organization_whatever_its_case_until_that_is_closed() {
    let world = World::new().await;
    let north = world.done(&create_organization("North")).await;
    let other = world.done(&create_organization("Other")).await;
    let rename = RenameOrganization { organization: other, name: "north".to_owned() };
    for refusal in [world.refused(&create_organization("NORTH")).await, world.refused(&rename).await] {
        conflict(&refusal, "organization_name_taken");
        assert_eq!(refusal.extra()["holder"], north.to_string());
    }
    world.done(&CloseOrganization { organization: north }).await;
    world.done(&rename).await;
}

#[tokio::test]
async fn what_has_ended_is_changed_no_more() {
    let world = World::new().await;
    let (name, role_name) = ("Again".to_owned(), "viewer".to_owned());

    let group = world.group("Gone", &[]).await;
    world.done(&DissolveGroup { group, catalogue: catalogue() }).await;
    let rename = RenameGroup { group, name: name.clone(), catalogue: catalogue() };
    conflict(&world.refused(&rename).await, "group_dissolved");
    let grant = GrantGroupRole { group, role: role_name, catalogue: catalogue() };
    conflict(&world.refused(&grant).await, "group_dissolved");

    let organization = world.done(&create_organization("Gone")).await;
    world.done(&CloseOrganization { organization }).await;
    conflict(&world.refused(&RenameOrganization { organization, name }).await, "organization_closed");

    world.done(&role("gone", &[], &[])).await;
    world.done(&RetireRole { name: "gone".to_owned(), catalogue: catalogue() }).await;
    conflict(&world.refused(&change_role("gone")).await, "role_retired");

    let (email, groups) = ("ada@example.com".to_owned(), vec![]);
    let invite = InviteUser { email, name: None, roles: vec![], groups, catalogue: catalogue() };
    let invitation = world.done(&invite).await;
    world.done(&RevokeInvitation { invitation, catalogue: catalogue() }).await;
    let refusal = world.refused(&ResendInvitation { invitation, catalogue: catalogue() }).await;
    conflict(&refusal, "invitation_not_pending");
    assert_eq!(refusal.extra()["state"], "revoked");
}

#[tokio::test]
async fn a_user_is_in_so_many_organizations_and_no_more() {
    let world = World::new().await;
    let ada = world.user("ada", &[]).await;
    let (names, here) = ((0..201).map(|nth| format!("Part {nth}")).collect::<Vec<_>>(), &world);
    let created = names.iter().map(|name| async move { here.done(&create_organization(name)).await });
    let mut parts: Vec<_> = join_all(created).await;
    let join = |organization| ChangeOrganizationMembers { organization, join: vec![ada], leave: vec![] };
    let one_more = join(parts.remove(0));
    for part in parts {
        world.done(&join(part)).await;
    }
    conflict(&world.refused(&one_more).await, "too_many_memberships");
}

#[tokio::test]
async fn who_is_no_user_is_named_by_their_place_in_the_list_that_was_sent() {
    let world = World::new().await;
    let ada = world.user("ada", &[]).await;
    // The greatest id: in a sorted list it is the last one.
    let list = || vec![UserId::new(Uuid::max()), ada];
    let group = world.done(&create_group("Sales")).await;
    let group = ChangeGroupMembers { group, join: list(), leave: vec![], catalogue: catalogue() };
    let organization = world.done(&create_organization("North")).await;
    let organization = ChangeOrganizationMembers { organization, join: vec![], leave: list() };
    for (refusal, pointer) in
        [(world.refused(&group).await, "/join/0"), (world.refused(&organization).await, "/leave/0")]
    {
        assert_eq!((refusal.code(), refusal.errors()[0].pointer.as_str()), ("reference_unknown", pointer));
    }
}

#[tokio::test]
async fn a_group_has_so_many_roles_and_no_more() {
    let world = World::new().await;
    let names: Vec<_> = (0..=MOST_GROUP_ROLES).map(|nth| format!("role_{nth}")).collect();
    for name in &names {
        world.done(&role(name, &[], &[])).await;
    }
    let (one_more, roles) = names.split_last().unwrap();
    let group = world.done(&CreateGroup { roles: roles.to_vec(), ..create_group("Many") }).await;
    let grant = GrantGroupRole { group, role: one_more.clone(), catalogue: catalogue() };
    conflict(&world.refused(&grant).await, "too_many_roles");
}

#[tokio::test]
async fn a_preference_that_is_unknown_or_has_another_value_is_refused() {
    let world = World::new().await;
    let own = world.as_user(world.user("ada", &["member"]).await);
    let word = |word: &str| PreferenceValue::Word(word.to_owned());
    for (key, value, code) in [
        ("moon_phase", PreferenceValue::Flag(true), "preference_unknown"),
        ("theme", word("pink"), "preference_value"),
        ("rows_per_page", PreferenceValue::Number(9), "preference_value"),
        ("mail_notifications", word("yes"), "preference_value"),
    ] {
        let (key, of_tenant) = (key.to_owned(), ChooseTenantPreference { key: key.to_owned(), value: value.clone() });
        let chosen =
            [world.refused_as(&own, &ChooseOwnPreference { key, value }).await, world.refused(&of_tenant).await];
        for refusal in chosen {
            assert_eq!((refusal.kind(), refusal.errors()[0].code), (Kind::Invalid, code), "{refusal}");
        }
    }
    let key = || "moon_phase".to_owned();
    let reset = [
        world.refused_as(&own, &ResetOwnPreference { key: key() }).await,
        world.refused(&ResetTenantPreference { key: key() }).await,
    ];
    for refusal in reset {
        assert_eq!(refusal.errors()[0].code, "preference_unknown");
    }
}

#[tokio::test]
async fn a_tenant_takes_only_the_steps_of_its_state_and_is_deleted_when_that_is_due() {
    let world = World::new().await;
    let operator = world.with_permissions(&["user:tenant:operate"]);
    let not_allowed = |refusal: Refusal, state: &str| {
        conflict(&refusal, "tenant_step_not_allowed");
        assert_eq!(refusal.extra()["state"], state);
    };
    let (slug, name, reason) = ("acme".to_owned(), "Acme".to_owned(), || "unpaid".to_owned());
    world.done_as(&operator, &RequestTenant { slug, name, owner: None }).await;
    let suspend = SuspendTenant { reason: reason() };
    not_allowed(world.refused_as(&operator, &suspend).await, "requested");
    world.done_as(&operator, &ActivateTenant).await;
    not_allowed(world.refused_as(&operator, &DeleteTenant).await, "active");
    let delete = RequestTenantDeletion { reason: reason(), grace_days: 30 };
    let due_at = world.done_as(&operator, &delete).await;
    not_allowed(world.refused_as(&operator, &suspend).await, "deleting");
    let refusal = world.refused_as(&operator, &DeleteTenant).await;
    conflict(&refusal, "tenant_deletion_not_due");
    assert_eq!(refusal.extra()["due_at"], kernel::write_time(due_at));
    world.clock.advance(Duration::days(30));
    world.done_as(&operator, &DeleteTenant).await;
    not_allowed(world.refused_as(&operator, &RestoreTenant).await, "deleted");
}
