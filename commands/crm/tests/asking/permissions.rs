//! The permission table, and that each command requires its permission.

use std::collections::BTreeSet;

use crm_aggregates::LeadId;
use crm_commands::{
    AddStage, AssignLead, CaptureLead, ChangeAccountDetails, ChangeContactAccount, ChangeContactDetails,
    ChangeLeadDetails, ChangeOpportunityAccount, ChangeOpportunityAmount, ChangeOpportunityCloseDate,
    ChangeOpportunityContact, ChangeStage, ChooseBaseCurrency, CompleteImportRevert, ConvertLead, CreateAccount,
    CreateContact, CreatePipeline, DisqualifyLead, EraseContact, EraseLead, EscalateLead, GRANTS, HandLeadOver,
    LoseOpportunity, MoveOpportunity, OpenOpportunity, QualifyLead, ReactivateStage, ReassignAccount, ReassignContact,
    ReassignOpportunity, RecycleLead, RemoveStage, RenameOpportunity, RenamePipeline, ReopenOpportunity, ReorderStages,
    RequestImportRevert, RestoreLeads, RetireStage, SetExchangeRate, SetFollowUp, StartLeadWork, StopFollowUp,
    WinOpportunity, WithdrawImportRevert, WithdrawLeadEscalation, WithdrawLeads,
};
use executor::Command;
use kernel::{Kind, Role};
use uuid::Uuid;

use super::support::World;

#[test]
fn each_permission_stands_once_and_admins_have_all() {
    let names: BTreeSet<_> = GRANTS.iter().map(|grant| grant.permission).collect();
    assert_eq!(names.len(), GRANTS.len());
    for grant in GRANTS {
        assert!(grant.permission.starts_with("crm:") && grant.permission.split(':').count() == 3);
        assert!(grant.roles.contains(&Role::Admin), "{}", grant.permission);
        let writes = grant.permission.ends_with(":write");
        assert!(!(writes && grant.roles.contains(&Role::Viewer)), "{}", grant.permission);
        assert!(!(writes && grant.roles.contains(&Role::Auditor)), "{}", grant.permission);
    }
}

#[test]
fn each_command_needs_a_permission_of_the_table() {
    fn of<C: Command>() -> &'static str {
        C::PERMISSION
    }
    let needed = [
        (of::<CaptureLead>(), "crm:lead:write"),
        (of::<ChangeLeadDetails>(), "crm:lead:write"),
        (of::<AssignLead>(), "crm:lead:write"),
        (of::<StartLeadWork>(), "crm:lead:write"),
        (of::<QualifyLead>(), "crm:lead:write"),
        (of::<ConvertLead>(), "crm:lead:write"),
        (of::<RecycleLead>(), "crm:lead:write"),
        (of::<DisqualifyLead>(), "crm:lead:write"),
        (of::<CreateContact>(), "crm:contact:write"),
        (of::<ChangeContactDetails>(), "crm:contact:write"),
        (of::<ChangeContactAccount>(), "crm:contact:write"),
        (of::<ReassignContact>(), "crm:contact:write"),
        (of::<EraseLead>(), "crm:contact:erase"),
        (of::<EraseContact>(), "crm:contact:erase"),
        (of::<CreateAccount>(), "crm:account:write"),
        (of::<ChangeAccountDetails>(), "crm:account:write"),
        (of::<ReassignAccount>(), "crm:account:write"),
        (of::<OpenOpportunity>(), "crm:opportunity:write"),
        (of::<RenameOpportunity>(), "crm:opportunity:write"),
        (of::<MoveOpportunity>(), "crm:opportunity:write"),
        (of::<ChangeOpportunityAmount>(), "crm:opportunity:write"),
        (of::<ChangeOpportunityCloseDate>(), "crm:opportunity:write"),
        (of::<ReassignOpportunity>(), "crm:opportunity:write"),
        (of::<ChangeOpportunityAccount>(), "crm:opportunity:write"),
        (of::<ChangeOpportunityContact>(), "crm:opportunity:write"),
        (of::<WinOpportunity>(), "crm:opportunity:write"),
        (of::<LoseOpportunity>(), "crm:opportunity:write"),
        (of::<ReopenOpportunity>(), "crm:opportunity:write"),
        (of::<CreatePipeline>(), "crm:pipeline:write"),
        (of::<RenamePipeline>(), "crm:pipeline:write"),
        (of::<AddStage>(), "crm:pipeline:write"),
        (of::<ChangeStage>(), "crm:pipeline:write"),
        (of::<ReorderStages>(), "crm:pipeline:write"),
        (of::<RetireStage>(), "crm:pipeline:write"),
        (of::<ReactivateStage>(), "crm:pipeline:write"),
        (of::<RemoveStage>(), "crm:pipeline:write"),
        (of::<ChooseBaseCurrency>(), "crm:currency:write"),
        (of::<SetExchangeRate>(), "crm:currency:write"),
        (of::<SetFollowUp>(), "crm:follow_up:write"),
        (of::<StopFollowUp>(), "crm:follow_up:write"),
        (of::<EscalateLead>(), "crm:lead:write"),
        (of::<WithdrawLeadEscalation>(), "crm:lead:write"),
        (of::<HandLeadOver>(), "crm:lead:write"),
        (of::<RequestImportRevert>(), "crm:import:write"),
        (of::<WithdrawImportRevert>(), "crm:import:write"),
        (of::<CompleteImportRevert>(), "crm:import:write"),
        (of::<WithdrawLeads>(), "crm:import:write"),
        (of::<RestoreLeads>(), "crm:import:write"),
    ];
    for (asked, expected) in needed {
        assert_eq!(asked, expected);
        assert!(GRANTS.iter().any(|grant| grant.permission == expected));
    }
}

#[tokio::test]
async fn who_only_reads_writes_nothing_and_learns_nothing() {
    let world = World::new().await;
    let lead = world.lead().await;
    for role in [Role::Viewer, Role::Auditor] {
        let request = world.role(role);
        let known = world.refused_as(&request, &StartLeadWork { lead }).await;
        let unknown = world.refused_as(&request, &StartLeadWork { lead: LeadId::new(Uuid::nil()) }).await;
        assert_eq!((known.kind(), known.code()), (Kind::Forbidden, "permission_missing"));
        assert_eq!(known, unknown);
    }
    let pipeline = CreatePipeline::default();
    let refusal = world.refused_as(&world.role(Role::Member), &pipeline).await;
    assert_eq!(refusal.extra()["permission"], "crm:pipeline:write");
}
