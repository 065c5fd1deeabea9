//! Invitations, from the mail to the user.

use chrono::Duration;
use kernel::Kind;
use user_aggregates::{Invitation, InvitationFault, InvitationId, InvitationStatus};
use user_commands::{AcceptInvitation, Acceptance, DissolveGroup, InviteUser, ResendInvitation, RevokeInvitation};

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

fn accept(invitation: InvitationId, turn: u32) -> AcceptInvitation {
    AcceptInvitation { invitation, turn, name: "Ada Lovelace".to_owned() }
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
async fn a_link_that_is_not_good_makes_nobody_and_leaves_one_record() {
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
