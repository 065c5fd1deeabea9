//! Owners: whoever is given a record can sign in.

use std::sync::Arc;

use chrono::TimeDelta;
use crm_aggregates::{Account, Contact, Lead, LeadId, Opportunity};
use crm_commands::{
    AccountFields, AssignLead, CaptureLead, ConvertLead, CreateAccount, CreateContact, GRANTS, LeadImport,
    OpenOpportunity, QualifyLead, ReassignAccount, ReassignContact, ReassignOpportunity, SetFollowUp, StartLeadWork,
    import_leads,
};
use executor::{Command, Executor, Request, Settings};
use importing::dry_run;
use kernel::{Caller, Clock, IdSource, Kind, ManualClock, Role, SystemClock, SystemIds};
use sagabed::Users;

use super::support::{World, contact, field, lead_fields, opportunity};

/// A tenant's log, and users who can be looked up.
struct Office {
    world: World,
    users: Users,
    /// The executor's clock.
    clock: Arc<ManualClock>,
}

impl Office {
    async fn open() -> Self {
        let mut world = World::new().await;
        let users = Users::default();
        // Behind the log's clock, also after it was moved by some seconds.
        let clock = Arc::new(ManualClock::at(SystemClock.now() - TimeDelta::minutes(1)));
        let settings = Settings { cache_bytes: 1 << 20, snapshot_events: 0, claim_key: [7; 32] };
        let executor = Executor::new(world.store.clone(), clock.clone(), Arc::new(SystemIds), settings);
        world.executor = executor.with_subjects(users.subjects());
        Self { world, users, clock }
    }

    /// A new user, who can sign in.
    fn user(&self) -> String {
        self.users.add().to_string()
    }

    fn lock_out(&self, user: &str) {
        self.users.lock_out(user.parse().unwrap());
    }

    /// How often somebody was looked up since the last call.
    fn lookups(&self) -> usize {
        self.users.lookups()
    }

    /// A request of an administrator with this subject.
    fn request_of(&self, subject: &str) -> Request {
        let caller = Caller::new(self.world.request.caller.tenant(), subject, &[Role::Admin], GRANTS);
        self.world.executor.internal_request(&caller, None)
    }

    /// Expects that the owner of a command is refused, and checks that nothing was written.
    async fn refuses<C: Command>(&self, command: &C) {
        assert_eq!(self.world.wrong(command).await, field("/owner", "cannot_sign_in"));
    }
}

fn capture(owner: &str) -> CaptureLead {
    CaptureLead { details: lead_fields(), owner: Some(owner.to_owned()), ..CaptureLead::default() }
}

fn assign(lead: LeadId, owner: &str) -> AssignLead {
    AssignLead { lead, owner: owner.to_owned() }
}

fn navy() -> AccountFields {
    AccountFields { name: "Navy".to_owned(), ..AccountFields::default() }
}

#[tokio::test]
async fn attack_234_who_left_or_is_named_in_a_way_that_no_token_has_is_given_nothing() {
    let office = Office::open().await;
    let world = &office.world;
    let (here, left) = (office.user(), office.user());
    office.lock_out(&left);
    let ids = world.pipeline().await;
    let lead = world.lead().await;
    let account = world.done(&CreateAccount { details: navy(), owner: None }).await.answer;
    let person = world.contact("grace@example.com").await;
    let deal = world.opportunity(ids.pipeline, ids.stages[0]).await;
    let otherwise = here.replace('-', "");
    for owner in [left, SystemIds.next().to_string(), otherwise] {
        let owner = || owner.clone();
        office.refuses(&capture(&owner())).await;
        office.refuses(&assign(lead, &owner())).await;
        office.refuses(&CreateAccount { details: navy(), owner: Some(owner()) }).await;
        office.refuses(&ReassignAccount { account, owner: owner() }).await;
        office.refuses(&CreateContact { owner: Some(owner()), ..contact("ada@example.com") }).await;
        office.refuses(&ReassignContact { contact: person, owner: owner() }).await;
        office.refuses(&OpenOpportunity { owner: Some(owner()), ..opportunity(ids.pipeline, None) }).await;
        office.refuses(&ReassignOpportunity { opportunity: deal, owner: owner() }).await;
        let follow_up = SetFollowUp {
            escalate_after_days: 1,
            escalate_to: here.clone(),
            reassign_after_days: 1,
            reassign_to: owner(),
        };
        assert_eq!(world.wrong(&follow_up).await, field("/reassign_to", "cannot_sign_in"));
    }

    let of = Some(here.as_str());
    let captured = world.done(&capture(&here)).await.answer;
    assert_eq!(world.state::<Lead>(captured).await.owner.as_deref(), of);
    world.done(&assign(lead, &here)).await;
    assert_eq!(world.state::<Lead>(lead).await.owner.as_deref(), of);
    world.done(&ReassignAccount { account, owner: here.clone() }).await;
    assert_eq!(world.state::<Account>(account).await.owner.as_deref(), of);
    world.done(&ReassignContact { contact: person, owner: here.clone() }).await;
    assert_eq!(world.state::<Contact>(person).await.owner.as_deref(), of);
    world.done(&ReassignOpportunity { opportunity: deal, owner: here.clone() }).await;
    assert_eq!(world.state::<Opportunity>(deal).await.owner.as_deref(), of);
}

#[tokio::test]
async fn nobody_is_looked_up_who_is_the_caller_or_has_the_record_already() {
    let office = Office::open().await;
    let world = &office.world;
    let (me, colleague) = (office.user(), office.user());
    let request = office.request_of(&me);
    let captured = world.executor.execute(&request, &capture(&me)).await.unwrap();
    assert_eq!(world.state::<Lead>(captured.answer).await.owner, Some(me.clone()));
    let lead = world.lead().await;
    world.executor.execute(&request, &assign(lead, &me)).await.unwrap();
    assert_eq!(world.state::<Lead>(lead).await.owner, Some(me));
    assert_eq!(office.lookups(), 0);

    let assigned = world.done(&assign(lead, &colleague)).await;
    assert_eq!(office.lookups(), 1);
    office.lock_out(&colleague);
    let again = world.done(&assign(lead, &colleague)).await;
    assert_eq!((again.version, office.lookups()), (assigned.version, 0), "nothing changes");
}

#[tokio::test]
async fn a_repeated_request_gets_its_answer_although_the_owner_left_meanwhile() {
    let office = Office::open().await;
    let (world, colleague) = (&office.world, office.user());
    let request = world.keyed("the first lead");
    let first = world.executor.execute(&request, &capture(&colleague)).await.unwrap();
    office.lock_out(&colleague);
    let again = world.executor.execute(&request, &capture(&colleague)).await.unwrap();
    assert_eq!((again.answer, again.repeated), (first.answer, true));
    office.refuses(&capture(&colleague)).await;
}

#[tokio::test]
async fn the_lead_of_somebody_who_left_is_converted_all_the_same() {
    let office = Office::open().await;
    let (world, colleague) = (&office.world, office.user());
    let lead = world.done(&capture(&colleague)).await.answer;
    world.done(&StartLeadWork { lead }).await;
    world.done(&QualifyLead { lead, note: None }).await;
    office.lock_out(&colleague);
    let (account, account_name, contact, opportunity) = (None, None, None, None);
    let convert = ConvertLead { lead, account, account_name, contact, opportunity, allow_duplicate: false };
    let to = world.done(&convert).await.answer;
    assert_eq!(world.state::<Account>(to.account).await.owner, Some(colleague));
}

#[tokio::test]
async fn while_users_cannot_be_looked_up_only_commands_that_name_one_are_refused() {
    let world = World::new().await;
    let (lead, colleague) = (world.lead().await, SystemIds.next().to_string());
    let refusal = world.refused(&assign(lead, &colleague)).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Unavailable, "powers_unavailable"));
    let csv = format!("name,owner\nAda,{colleague}\n");
    let before = world.head().await;
    let refusal = import_leads(&world.executor, &world.request, csv.as_bytes(), &LeadImport::default()).await;
    assert_eq!(refusal.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(world.head().await, before, "a refusal writes nothing");
    // Not an id: a subject of which only the tokens of the installation tell.
    world.done(&assign(lead, "grace")).await;
}

#[tokio::test]
async fn attack_235_a_file_of_many_rows_costs_one_lookup_for_each_owner() {
    let office = Office::open().await;
    let world = &office.world;
    let (here, left, nobody) = (office.user(), office.user(), SystemIds.next().to_string());
    office.lock_out(&left);
    // The caller is called ada.
    let owners = [here.as_str(), left.as_str(), nobody.as_str(), "ada", ""];
    let csv = (0..200).fold("name,owner\n".to_owned(), |csv, row| csv + &format!("Lead {row},{}\n", owners[row % 5]));
    let options = LeadImport::default();
    let dry = dry_run(&world.executor, &world.request, csv.as_bytes(), &options).await.unwrap().answer;
    assert_eq!((dry.taken, dry.refused, office.lookups()), (120, 80, 3));
    let report = import_leads(&world.executor, &world.request, csv.as_bytes(), &options).await.unwrap().answer;
    assert_eq!((report.taken, report.refused, report.error_count), (120, 80, 80));
    let errors: Vec<_> =
        report.errors.iter().map(|error| (error.line, error.column.as_deref(), &*error.code)).collect();
    assert_eq!(errors[..2], [(3, Some("owner"), "cannot_sign_in"), (4, Some("owner"), "cannot_sign_in")]);
    assert_eq!(dry.errors, report.errors, "a dry run tells the same");
    assert_eq!(office.lookups(), 0, "the import knows them from its dry run, a moment ago");

    // Not for ever: an import may take hours.
    office.lock_out(&here);
    office.clock.advance(TimeDelta::seconds(10));
    let report = import_leads(&world.executor, &world.request, csv.as_bytes(), &options).await.unwrap().answer;
    assert_eq!((report.taken, report.refused, office.lookups()), (80, 120, 3));
}

#[tokio::test]
async fn a_file_all_of_whose_owners_cannot_sign_in_is_refused() {
    let office = Office::open().await;
    let (world, nobody) = (&office.world, SystemIds.next().to_string());
    let csv = (0..120).fold("name,owner\n".to_owned(), |csv, row| csv + &format!("Lead {row},{nobody}\n"));
    let before = world.head().await;
    let refusal = import_leads(&world.executor, &world.request, csv.as_bytes(), &LeadImport::default()).await;
    let refusal = refusal.unwrap_err();
    assert_eq!((refusal.code(), &refusal.extra()["error_count"]), ("csv_no_row_taken", &120_u64.into()));
    assert_eq!((world.head().await, office.lookups()), (before, 1), "a refusal writes nothing");
}
