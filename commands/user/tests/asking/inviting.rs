//! Invitations, from the mail to the user.

use chrono::Duration;
use kernel::{IdSource, Kind, MachineStanding, SystemIds, UserId};
use user_aggregates::{Invitation, InvitationFault, InvitationStatus};
use user_commands::{
    AcceptInvitation, Acceptance, DissolveGroup, GrantRole, InviteUser, LockUser, RemoveUser, ResendInvitation,
    RevokeInvitation, RevokeRole, UnlockUser,
};

use super::support::*;

fn invite(name: &str) -> InviteUser {
    InviteUser {
        email: format!("{name}@example.com"),
        name: None,
        roles: vec!["member".to_owned()],
        groups: vec![],
        catalogue: catalogue(),
    }
}

#[tokio::test]
async fn an_invitation_is_accepted_once_and_makes_a_user_with_a_verified_address() {
    let world = World::new().await;
    let (kept, gone) = (world.group("Kept", &[]).await, world.group("Gone", &[]).await);
    let invitation = world.done(&InviteUser { groups: vec![kept, gone], ..invite("ada") }).await;
    world.done(&DissolveGroup { group: gone, catalogue: catalogue() }).await;
    let follower = world.with_permissions(&["user:invitation:accept"]);
    let Acceptance::Accepted { user } = world.done_as(&follower, &accept(invitation, 1)).await else {
        panic!("it was refused")
    };
    let state = world.state(user).await;
    assert!(state.email_verified && state.roles.contains("member"));
    assert_eq!(state.groups.into_iter().collect::<Vec<_>>(), [kept]);
    assert_eq!(state.login.email.reveal(), "ada@example.com");
    assert_eq!(world.load::<Invitation>(invitation).await.user, Some(user));
    let again = world.done_as(&follower, &accept(invitation, 1)).await;
    assert_eq!(again, Acceptance::Refused { reason: InvitationFault::Used });
}

#[tokio::test]
async fn attack_90_a_link_that_is_not_good_makes_nobody_and_leaves_one_record() {
    let world = World::new().await;
    let follower = world.with_permissions(&["user:invitation:accept"]);
    let expired = world.done(&invite("expired")).await;
    world.clock.advance(Duration::days(7));
    let resent = world.done(&invite("resent")).await;
    world.done(&ResendInvitation { invitation: resent, catalogue: catalogue() }).await;
    let revoked = world.done(&invite("revoked")).await;
    world.done(&RevokeInvitation { invitation: revoked, catalogue: catalogue() }).await;
    for (invitation, reason) in [
        (expired, InvitationFault::Expired),
        (resent, InvitationFault::Superseded),
        (revoked, InvitationFault::Revoked),
    ] {
        let before = world.store.head().await.unwrap();
        let answer = world.done_as(&follower, &accept(invitation, 1)).await;
        assert_eq!(answer, Acceptance::Refused { reason });
        assert_eq!(world.store.head().await.unwrap(), before.next(), "one record");
        assert_ne!(world.load::<Invitation>(invitation).await.status, InvitationStatus::Accepted);
        // Using the same link again writes nothing, even with another idempotency key.
        for key in ["a", "b"] {
            let request = executor::Request { command_id: Some(key.to_owned()), ..follower.clone() };
            assert_eq!(world.refused_as(&request, &accept(invitation, 1)).await.code(), "link_not_good");
        }
    }
}

#[tokio::test]
async fn nobody_is_invited_twice_or_who_is_a_user_already() {
    let world = World::new().await;
    world.user("ada", &["member"]).await;
    assert_eq!(world.refused(&invite("Ada")).await.code(), "login_taken");
    let grace = world.done(&invite("grace")).await;
    let refusal = world.refused(&invite("grace")).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "invited_already"));
    assert_eq!(refusal.extra()["holder"], grace.to_string());
    world.done(&RevokeInvitation { invitation: grace, catalogue: catalogue() }).await;
    let again = world.done(&invite("grace")).await;
    // The person was registered in another way in the meantime, so the invitation can't be accepted.
    world.user("grace", &["member"]).await;
    let follower = world.with_permissions(&["user:invitation:accept"]);
    assert_eq!(world.refused_as(&follower, &accept(again, 1)).await.code(), "login_taken");
}

/// Expects that the invitation can't be accepted because of its sender, and that nothing is written.
async fn withheld(world: &World, accept: &AcceptInvitation) {
    let follower = world.with_permissions(&["user:invitation:accept"]);
    let refusal = world.refused_as(&follower, accept).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "inviter_not_allowed"), "{refusal:?}");
}

async fn accepted(world: &World, accept: &AcceptInvitation) {
    let follower = world.with_permissions(&["user:invitation:accept"]);
    let answer = world.done_as(&follower, accept).await;
    assert!(matches!(answer, Acceptance::Accepted { .. }), "{answer:?}");
}

#[tokio::test]
async fn attack_181_an_invitation_gives_nothing_that_its_sender_may_not_give_any_more() {
    let world = World::new().await;
    world.user("owner", &["admin"]).await;
    let sender = async |name: &str| -> UserId { world.user(name, &["manager", "member"]).await };
    let lock = |user| LockUser { user, reason: "left".to_owned(), catalogue: catalogue() };

    let locked = sender("locked").await;
    let invitation = world.done_as(&world.with_all_permissions(locked), &invite("ada")).await;
    // By another process, of which this one's cache knows nothing yet.
    world.elsewhere().execute(&world.request, &lock(locked)).await.unwrap();
    withheld(&world, &accept(invitation, 1)).await;
    world.done(&UnlockUser { user: locked, catalogue: catalogue() }).await;
    accepted(&world, &accept(invitation, 1)).await;

    // Members invite nobody.
    let demoted = sender("demoted").await;
    let invitation = world.done_as(&world.with_all_permissions(demoted), &invite("grace")).await;
    let role = || "manager".to_owned();
    world.done(&RevokeRole { user: demoted, role: role(), catalogue: catalogue() }).await;
    withheld(&world, &accept(invitation, 1)).await;
    world.done(&GrantRole { user: demoted, role: role(), catalogue: catalogue() }).await;
    accepted(&world, &accept(invitation, 1)).await;

    // They may invite still, but not an administrator.
    let lesser = world.user("lesser", &["admin", "manager"]).await;
    let admin = InviteUser { roles: vec!["admin".to_owned()], ..invite("joan") };
    let invitation = world.done_as(&world.with_all_permissions(lesser), &admin).await;
    world.done(&RevokeRole { user: lesser, role: "admin".to_owned(), catalogue: catalogue() }).await;
    withheld(&world, &accept(invitation, 1)).await;

    // Whoever sends it again stands for it.
    let removed = sender("removed").await;
    let invitation = world.done_as(&world.with_all_permissions(removed), &invite("hedy")).await;
    world.done(&RemoveUser { user: removed, catalogue: catalogue() }).await;
    withheld(&world, &accept(invitation, 1)).await;
    let another = sender("another").await;
    world.done_as(&world.with_all_permissions(another), &ResendInvitation { invitation, catalogue: catalogue() }).await;
    accepted(&world, &accept(invitation, 2)).await;
}

#[tokio::test]
async fn attack_181_a_machines_invitation_gives_what_the_machine_still_may() {
    let world = World::new().await;
    let (machine, machines) = (SystemIds.next(), MachinesDouble::default());
    let is = |active, roles: &[&str]| {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        *machines.0.lock().unwrap() = Some((machine, MachineStanding { active, roles }));
    };
    let invitation = world.done_as(&world.with_all_permissions(machine), &invite("ada")).await;
    let accept_it = AcceptInvitation { senders: subjects(machines.clone()), ..accept(invitation, 1) };
    for (active, roles) in [(false, &["manager"]), (true, &["member"])] {
        is(active, roles);
        withheld(&world, &accept_it).await;
    }
    is(true, &["manager"]);
    accepted(&world, &accept_it).await;
    // Of a token of another issuer, nothing can be looked up.
    let invitation = world.done_as(&world.with_all_permissions(SystemIds.next()), &invite("grace")).await;
    accepted(&world, &accept(invitation, 1)).await;
}

#[tokio::test]
async fn who_has_only_roles_of_the_tenants_own_gives_what_every_user_may() {
    let world = World::new().await;
    // A token also says what every user may, which these roles do not list.
    world.done(&role("desk", &of_members_and(&["user:invitation:write"]), &[])).await;
    let desk = world.user("desk", &["desk"]).await;
    let invitation = world.done_as(&world.with_all_permissions(desk), &invite("ada")).await;
    accepted(&world, &accept(invitation, 1)).await;
}

#[tokio::test]
async fn attack_186_a_role_that_includes_very_many_voids_no_invitation_of_an_administrator() {
    let world = World::new().await;
    let keeper = world.with_permissions(&["user:role:write"]);
    world.done(&role("badge", &[], &[])).await;
    let ada = world.user("ada", &["admin", "badge"]).await;
    let boss = world.user("boss", &["manager"]).await;
    let badge = |name: &str| InviteUser { roles: vec!["badge".to_owned()], ..invite(name) };
    let [plain, with_badge] = [invite("grace"), badge("hedy")];
    let plain = world.done_as(&world.with_all_permissions(ada), &plain).await;
    let with_badge = world.done_as(&world.with_all_permissions(ada), &with_badge).await;
    let of_boss = world.done_as(&world.with_all_permissions(boss), &badge("joan")).await;
    world.include_very_many(&keeper, "badge").await;
    for invitation in [plain, with_badge] {
        accepted(&world, &accept(invitation, 1)).await;
    }
    // What others give is not known any more, until an administrator stands for it.
    withheld(&world, &accept(of_boss, 1)).await;
    world
        .done_as(&world.with_all_permissions(ada), &ResendInvitation { invitation: of_boss, catalogue: catalogue() })
        .await;
    accepted(&world, &accept(of_boss, 2)).await;
}
