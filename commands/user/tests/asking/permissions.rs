//! The permission of each command, listed by hand; and that callers without it write nothing and learn nothing.

use executor::Command;
use kernel::{Kind, Role, UserId};
use user_commands::*;
use uuid::Uuid;

use super::support::*;

fn of<C: Command>() -> &'static str {
    C::PERMISSION
}

#[test]
fn every_command_needs_the_permission_that_is_meant() {
    let needed = [
        (of::<RegisterUser>(), "user:user:write"),
        (of::<ChangeLogin>(), "user:user:write"),
        (of::<ChangeProfile>(), "user:user:write"),
        (of::<ProvisionUser>(), "user:user:write"),
        (of::<ReplaceUser>(), "user:user:write"),
        (of::<AdmitUser>(), "user:user:admit"),
        (of::<ChangeOwnProfile>(), "user:self:write"),
        (of::<SetPicture>(), "user:user:write"),
        (of::<RemovePicture>(), "user:user:write"),
        (of::<SetOwnPicture>(), "user:self:write"),
        (of::<RemoveOwnPicture>(), "user:self:write"),
        (of::<RequestEmailVerification>(), "user:self:write"),
        (of::<VerifyEmail>(), "user:email:verify"),
        (of::<RequestPhoneVerification>(), "user:self:write"),
        (of::<VerifyPhone>(), "user:self:write"),
        (of::<ShowEmail>(), "user:email:verify"),
        (of::<ChooseOwnPreference>(), "user:self:write"),
        (of::<ResetOwnPreference>(), "user:self:write"),
        (of::<EraseOneself>(), "user:self:write"),
        (of::<ChooseTenantPreference>(), "user:preference:write"),
        (of::<ResetTenantPreference>(), "user:preference:write"),
        (of::<LockUser>(), "user:user:write"),
        (of::<UnlockUser>(), "user:user:write"),
        (of::<DeactivateUser>(), "user:user:write"),
        (of::<ReactivateUser>(), "user:user:write"),
        (of::<RemoveUser>(), "user:user:write"),
        (of::<EraseUser>(), "user:user:erase"),
        (of::<GrantRole>(), "user:role:grant"),
        (of::<RevokeRole>(), "user:role:grant"),
        (of::<DefineRole>(), "user:role:write"),
        (of::<ChangeRole>(), "user:role:write"),
        (of::<RetireRole>(), "user:role:write"),
        (of::<CreateGroup>(), "user:group:write"),
        (of::<RenameGroup>(), "user:group:write"),
        (of::<ProvisionGroup>(), "user:group:write"),
        (of::<ReviseGroup>(), "user:group:write"),
        (of::<GrantGroupRole>(), "user:role:grant"),
        (of::<RevokeGroupRole>(), "user:role:grant"),
        (of::<ChangeGroupMembers>(), "user:group:write"),
        (of::<DissolveGroup>(), "user:group:write"),
        (of::<CreateOrganization>(), "user:organization:write"),
        (of::<RenameOrganization>(), "user:organization:write"),
        (of::<ChangeOrganizationMembers>(), "user:organization:write"),
        (of::<CloseOrganization>(), "user:organization:write"),
        (of::<ClaimDomain>(), "user:domain:write"),
        (of::<VerifyDomain>(), "user:domain:write"),
        (of::<NoteDomainRecordMissing>(), "user:domain:write"),
        (of::<ReleaseDomain>(), "user:domain:write"),
        (of::<InviteUser>(), "user:invitation:write"),
        (of::<ResendInvitation>(), "user:invitation:write"),
        (of::<RevokeInvitation>(), "user:invitation:write"),
        (of::<AcceptInvitation>(), "user:invitation:accept"),
        (of::<RequestRegistration>(), "user:registration:request"),
        (of::<SetRegistrationPolicy>(), "user:registration_policy:write"),
        (of::<TakeUsers>(), "user:import:write"),
        (of::<CompleteUserImport>(), "user:import:write"),
        (of::<RequestTenant>(), "user:tenant:operate"),
        (of::<ActivateTenant>(), "user:tenant:operate"),
        (of::<AbandonTenant>(), "user:tenant:operate"),
        (of::<InviteOwner>(), "user:tenant:operate"),
        (of::<RevokeOwnerInvitation>(), "user:tenant:operate"),
        (of::<SuspendTenant>(), "user:tenant:operate"),
        (of::<ResumeTenant>(), "user:tenant:operate"),
        (of::<RequestTenantDeletion>(), "user:tenant:operate"),
        (of::<RestoreTenant>(), "user:tenant:operate"),
        (of::<DeleteTenant>(), "user:tenant:operate"),
    ];
    for (asked, expected) in needed {
        assert_eq!(asked, expected);
        assert!(GRANTS.iter().any(|grant| grant.permission == expected));
    }
}

#[tokio::test]
async fn who_only_reads_writes_nothing_and_learns_nothing() {
    let world = World::new().await;
    let ada = world.user("ada", &["member"]).await;
    let remove = |user| RemoveUser { user, catalogue: catalogue() };
    for role in [Role::Viewer, Role::Auditor, Role::Member] {
        let request = world.as_roles(&[role]);
        let known = world.refused_as(&request, &remove(ada)).await;
        let unknown = world.refused_as(&request, &remove(UserId::new(Uuid::nil()))).await;
        assert_eq!((known.kind(), known.code()), (Kind::Forbidden, "permission_missing"));
        assert_eq!(known, unknown);
    }
}
