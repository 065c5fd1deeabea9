//! Every operation of the contract and every GraphQL query field, as an anonymous client, as each role, and as another tenant. A
//! handwritten table lists what each needs; one that is missing in it fails the test. (For the fields below, see
//! [`fields`](super::fields).)

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Grant, Role};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::authentication::walked;
use crate::schema::{Question, Schema};
use crate::unasked::schema_of;
use crate::world::{Answer, World};

/// The mark for operations that need a token, but no permission.
const ANY: &str = "";
/// The mark for operations that need no token.
const PUBLIC: &str = "public";

pub const ID: &str = "0197a8a0-0000-7000-8000-000000000001";

/// The body of a valid client.
const CLIENT: &str = r#"{"name":"app","confidential":true,"redirect_uris":["https://app.example.com/back"]}"#;

/// A cursor at which another page may begin.
const PAGE: &str = "?after=0197a8a0-0000-7000-8000-000000000002";

/// A picture of 16 × 16 pixels.
const PICTURE: &str =
    r#"{"picture":"iVBORw0KGgoAAAANSUhEUgAAABAAAAAQAQAAAAA3iMLMAAAADklEQVR42mP4/5+BFAQA/U4f4d7IdZcAAAAASUVORK5CYII="}"#;

/// The body of a connection to an identity provider, valid only in its form.
const SAML: &str = r#"{"name":"idp","metadata":"<x/>","domains":["example.com"]}"#;

/// Each operation, the permission that it needs, and a body with which a request reaches the check of permissions.
pub const OPERATIONS: &[(&str, &str, &str)] = &[
    ("captureLead", "crm:lead:write", r#"{"name":"Ada"}"#),
    ("getLead", "crm:lead:read", ""),
    ("changeLeadDetails", "crm:lead:write", r#"{"name":"Ada"}"#),
    ("assignLead", "crm:lead:write", r#"{"owner":"ada"}"#),
    ("startLeadWork", "crm:lead:write", "{}"),
    ("qualifyLead", "crm:lead:write", "{}"),
    ("recycleLead", "crm:lead:write", r#"{"reason":"later"}"#),
    ("disqualifyLead", "crm:lead:write", r#"{"reason":"spam"}"#),
    ("convertLead", "crm:lead:write", "{}"),
    ("eraseLead", "crm:contact:erase", r#"{"reason":"requested"}"#),
    ("eraseContact", "crm:contact:erase", r#"{"reason":"requested"}"#),
    ("getLeadErasure", "crm:contact:erase", ""),
    ("getContactErasure", "crm:contact:erase", ""),
    ("getImport", "crm:import:read", ""),
    ("revertImport", "crm:import:write", r#"{"reason":"wrong file"}"#),
    ("importLeads", "crm:import:write", "csv"),
    ("startImport", "crm:import:write", "csv"),
    ("exportLeads", "crm:lead:export", "{}"),
    ("getUserImport", "user:import:read", ""),
    ("importUsers", "user:import:write", "csv"),
    ("startUserImport", "user:import:write", "csv"),
    ("createContact", "crm:contact:write", r#"{"name":"Ada"}"#),
    ("getContact", "crm:contact:read", ""),
    ("changeContactDetails", "crm:contact:write", r#"{"name":"Ada"}"#),
    ("changeContactAccount", "crm:contact:write", r#"{"account":null}"#),
    ("reassignContact", "crm:contact:write", r#"{"owner":"ada"}"#),
    ("createAccount", "crm:account:write", r#"{"name":"Acme"}"#),
    ("getAccount", "crm:account:read", ""),
    ("changeAccountDetails", "crm:account:write", r#"{"name":"Acme"}"#),
    ("reassignAccount", "crm:account:write", r#"{"owner":"ada"}"#),
    (
        "openOpportunity",
        "crm:opportunity:write",
        r#"{"name":"A deal","pipeline":"0197a8a0-0000-7000-8000-000000000001","amount":{"minor":1,"currency":"EUR"},"close_date":"2030-01-01"}"#,
    ),
    ("getOpportunity", "crm:opportunity:read", ""),
    ("renameOpportunity", "crm:opportunity:write", r#"{"name":"A deal"}"#),
    ("moveOpportunity", "crm:opportunity:write", r#"{"stage":"0197a8a0-0000-7000-8000-000000000001"}"#),
    ("changeOpportunityAmount", "crm:opportunity:write", r#"{"amount":{"minor":1,"currency":"EUR"}}"#),
    ("changeOpportunityCloseDate", "crm:opportunity:write", r#"{"close_date":"2030-01-01"}"#),
    ("reassignOpportunity", "crm:opportunity:write", r#"{"owner":"ada"}"#),
    ("changeOpportunityAccount", "crm:opportunity:write", r#"{"account":null}"#),
    ("changeOpportunityContact", "crm:opportunity:write", r#"{"contact":null}"#),
    ("winOpportunity", "crm:opportunity:write", "{}"),
    ("loseOpportunity", "crm:opportunity:write", r#"{"reason":"too dear"}"#),
    ("reopenOpportunity", "crm:opportunity:write", "{}"),
    ("createPipeline", "crm:pipeline:write", r#"{"name":"Sales","stages":[{"name":"Open","probability":10}]}"#),
    ("getPipeline", "crm:pipeline:read", ""),
    ("renamePipeline", "crm:pipeline:write", r#"{"name":"Sales"}"#),
    ("addStage", "crm:pipeline:write", r#"{"name":"Open","probability":10}"#),
    ("reorderStages", "crm:pipeline:write", r#"{"order":[]}"#),
    ("changeStage", "crm:pipeline:write", r#"{"name":"Open","probability":10}"#),
    ("retireStage", "crm:pipeline:write", "{}"),
    ("removeStage", "crm:pipeline:write", "{}"),
    ("getCurrencies", "crm:currency:read", ""),
    ("setBaseCurrency", "crm:currency:write", r#"{"base":"EUR"}"#),
    ("setExchangeRate", "crm:currency:write", r#"{"from":"USD","to":"EUR","day":"2026-01-01","rate_nanos":1}"#),
    (
        "setFollowUp",
        "crm:follow_up:write",
        r#"{"escalate_after_days":1,"escalate_to":"ada","reassign_after_days":1,"reassign_to":"ada"}"#,
    ),
    ("stopFollowUp", "crm:follow_up:write", "{}"),
    ("getFollowUp", "crm:follow_up:read", ""),
    ("listEventTypes", ANY, ""),
    ("getEventType", ANY, ""),
    // The permission is checked for each service; a caller who has it for none is refused.
    ("followEvents", "crm:history:read", ""),
    ("listWebhooks", "events:webhook:read", ""),
    ("createWebhook", "events:webhook:write", r#"{"service":"crm","url":"https://example.com/"}"#),
    ("getWebhook", "events:webhook:read", ""),
    ("changeWebhook", "events:webhook:write", r#"{"url":"https://example.com/"}"#),
    ("enableWebhook", "events:webhook:write", "{}"),
    ("disableWebhook", "events:webhook:write", "{}"),
    ("rotateWebhookSecret", "events:webhook:write", "{}"),
    ("replayWebhook", "events:webhook:write", r#"{"after":0}"#),
    ("removeWebhook", "events:webhook:write", "{}"),
    ("pingWebhook", "events:webhook:write", "{}"),
    ("listWebhookDeliveries", "events:webhook:read", ""),
    ("listWebhookChanges", "events:webhook:read", ""),
    ("listSagas", "crm:saga:read", ""),
    ("getSaga", "crm:saga:read", ""),
    ("resumeSaga", "crm:saga:write", "{}"),
    ("cancelSaga", "crm:saga:write", r#"{"reason":"wrong"}"#),
    ("listDeadLetters", "crm:dead_letter:read", ""),
    ("getDeadLetter", "crm:dead_letter:read", ""),
    ("previewDeadLetter", "crm:dead_letter:write", "{}"),
    ("redriveDeadLetters", "crm:dead_letter:write", "{}"),
    ("redriveDeadLetter", "crm:dead_letter:write", "{}"),
    ("editDeadLetter", "crm:dead_letter:write", r#"{"payload":{},"reason":"mended"}"#),
    ("discardDeadLetter", "crm:dead_letter:write", r#"{"reason":"of no use"}"#),
    ("listJobs", "crm:job:read", ""),
    ("createJob", "crm:job:write", r#"{"kind":"export_leads"}"#),
    ("getJob", "crm:job:read", ""),
    ("getJobOutput", "crm:job:read", ""),
    ("cancelJob", "crm:job:write", "{}"),
    ("retryJob", "crm:job:write", "{}"),
    ("getJobLog", "crm:job:read", ""),
    ("listJobSchedules", "crm:job:read", ""),
    // It also needs the permission for this kind of job, which the same roles have.
    ("createJobSchedule", "crm:job:write", r#"{"kind":"export_leads","cron":"0 6 1 1 *"}"#),
    ("getJobSchedule", "crm:job:read", ""),
    ("changeJobSchedule", "crm:job:write", "{}"),
    ("pauseJobSchedule", "crm:job:write", "{}"),
    ("resumeJobSchedule", "crm:job:write", "{}"),
    ("removeJobSchedule", "crm:job:write", "{}"),
    ("listJobQueues", "crm:job:read", ""),
    ("pauseJobQueue", "crm:job:write", "{}"),
    ("resumeJobQueue", "crm:job:write", "{}"),
    ("limitJobQueue", "crm:job:write", "{}"),
    ("createJobBatch", "crm:job:write", r#"{"jobs":[{"kind":"export_leads"}]}"#),
    ("getJobBatch", "crm:job:read", ""),
    ("cancelJobBatch", "crm:job:write", "{}"),
    ("registerUser", "user:user:write", r#"{"name":"Ada","email":"ada@example.com"}"#),
    ("getUser", "user:user:read", ""),
    ("changeUserProfile", "user:user:write", r#"{"name":"Ada"}"#),
    ("setUserPicture", "user:user:write", PICTURE),
    ("removeUserPicture", "user:user:write", "{}"),
    ("changeUserLogin", "user:user:write", r#"{"email":"ada@example.com"}"#),
    ("grantUserRole", "user:role:grant", r#"{"role":"member"}"#),
    ("revokeUserRole", "user:role:grant", r#"{"role":"viewer"}"#),
    ("lockUser", "user:user:write", r#"{"reason":"phishing"}"#),
    ("unlockUser", "user:user:write", "{}"),
    ("deactivateUser", "user:user:write", "{}"),
    ("reactivateUser", "user:user:write", "{}"),
    ("removeUser", "user:user:write", "{}"),
    ("eraseUser", "user:user:erase", "{}"),
    ("registerMachine", "auth:machine:write", r#"{"name":"sensor","roles":[]}"#),
    ("getMachine", "auth:machine:read", ""),
    ("changeMachine", "auth:machine:write", r#"{"name":"sensor","roles":[]}"#),
    ("setMachineSecret", "auth:machine:write", "{}"),
    ("setMachineKeys", "auth:machine:write", r#"{"keys":[]}"#),
    ("deactivateMachine", "auth:machine:write", "{}"),
    ("reactivateMachine", "auth:machine:write", "{}"),
    ("issueApiKey", "auth:machine:write", r#"{"machine":"0197a8a0-0000-7000-8000-000000000001","name":"nightly"}"#),
    ("getApiKey", "auth:machine:read", ""),
    ("revokeApiKey", "auth:machine:write", "{}"),
    ("registerClient", "auth:client:write", CLIENT),
    ("getClient", "auth:client:read", ""),
    ("changeClient", "auth:client:write", CLIENT),
    ("setClientSecret", "auth:client:write", "{}"),
    ("deactivateClient", "auth:client:write", "{}"),
    ("reactivateClient", "auth:client:write", "{}"),
    ("createSamlConnection", "auth:saml_connection:write", SAML),
    ("getSamlConnection", "auth:saml_connection:read", ""),
    ("changeSamlConnection", "auth:saml_connection:write", SAML),
    ("deactivateSamlConnection", "auth:saml_connection:write", "{}"),
    ("reactivateSamlConnection", "auth:saml_connection:write", "{}"),
    ("revokeSession", "auth:session:write", "{}"),
    ("endSessions", "auth:session:write", "{}"),
    ("sendPasswordLink", "auth:account:write", "{}"),
    ("resetSecondFactor", "auth:account:write", "{}"),
    ("listSigningKeys", "auth:key:read", ""),
    ("rotateSigningKey", "auth:key:write", "{}"),
    ("retireSigningKey", "auth:key:write", "{}"),
    ("listConsents", "auth:grant:read", ""),
    ("withdrawConsent", "auth:grant:write", "{}"),
    ("withdrawGrant", "auth:grant:write", "{}"),
    ("setSignInPolicy", "auth:policy:write", r#"{"second_factor":"off"}"#),
    ("getSignInPolicy", "auth:policy:read", ""),
    ("setLogo", "auth:branding:write", r#"{"light":"AAAA"}"#),
    ("removeLogo", "auth:branding:write", "{}"),
    ("getBranding", "auth:branding:read", ""),
    ("getMe", "user:self:write", ""),
    ("changeMyProfile", "user:self:write", r#"{"name":"Ada"}"#),
    ("setMyPicture", "user:self:write", PICTURE),
    ("removeMyPicture", "user:self:write", "{}"),
    ("requestEmailVerification", "user:self:write", "{}"),
    ("requestPhoneVerification", "user:self:write", "{}"),
    ("verifyPhone", "user:self:write", r#"{"code":"123456"}"#),
    ("exportMe", "user:self:write", ""),
    ("eraseMe", "user:self:write", r#"{"email":"ada@example.com"}"#),
    ("getUserErasure", "user:user:erase", ""),
    ("getMyPreferences", "user:self:write", ""),
    ("chooseMyPreference", "user:self:write", r#"{"key":"theme","value":"dark"}"#),
    ("resetMyPreference", "user:self:write", r#"{"key":"theme"}"#),
    ("getTenantPreferences", "user:preference:read", ""),
    ("chooseTenantPreference", "user:preference:write", r#"{"key":"theme","value":"dark"}"#),
    ("resetTenantPreference", "user:preference:write", r#"{"key":"theme"}"#),
    ("inviteUser", "user:invitation:write", r#"{"email":"grace@example.com"}"#),
    ("getInvitation", "user:invitation:read", ""),
    ("resendInvitation", "user:invitation:write", "{}"),
    ("revokeInvitation", "user:invitation:write", "{}"),
    ("setRegistrationPolicy", "user:registration_policy:write", r#"{"open_to":"nobody"}"#),
    ("getRegistrationPolicy", "user:registration_policy:read", ""),
    ("acceptInvitation", PUBLIC, r#"{"link":"x","name":"Eve"}"#),
    ("verifyEmail", PUBLIC, r#"{"link":"x"}"#),
    ("listPermissions", "user:role:read", ""),
    ("defineRole", "user:role:write", r#"{"name":"support","title":"Support"}"#),
    ("getRole", "user:role:read", ""),
    ("changeRole", "user:role:write", r#"{"title":"Sales"}"#),
    ("retireRole", "user:role:write", "{}"),
    ("createGroup", "user:group:write", r#"{"name":"Sales"}"#),
    ("getGroup", "user:group:read", ""),
    ("renameGroup", "user:group:write", r#"{"name":"Sales"}"#),
    ("grantGroupRole", "user:role:grant", r#"{"role":"viewer"}"#),
    ("revokeGroupRole", "user:role:grant", r#"{"role":"viewer"}"#),
    ("changeGroupMembers", "user:group:write", "{}"),
    ("dissolveGroup", "user:group:write", "{}"),
    ("createOrganization", "user:organization:write", r#"{"name":"North"}"#),
    ("getOrganization", "user:organization:read", ""),
    ("renameOrganization", "user:organization:write", r#"{"name":"North"}"#),
    ("changeOrganizationMembers", "user:organization:write", "{}"),
    ("closeOrganization", "user:organization:write", "{}"),
    ("claimDomain", "user:domain:write", r#"{"domain":"example.com"}"#),
    ("getDomain", "user:domain:read", ""),
    ("verifyDomain", "user:domain:write", "{}"),
    ("releaseDomain", "user:domain:write", "{}"),
];

/// Each GraphQL query field, and the permission that it needs.
pub const QUESTIONS: &[(&str, &str)] = &[
    ("events.webhook", "events:webhook:read"),
    ("events.webhooks", "events:webhook:read"),
    ("deadLetters.letters", "crm:dead_letter:read"),
    ("deadLetters.letter", "crm:dead_letter:read"),
    ("jobs.jobs", "crm:job:read"),
    ("jobs.job", "crm:job:read"),
    ("jobs.schedules", "crm:job:read"),
    ("jobs.schedule", "crm:job:read"),
    ("jobs.queues", "crm:job:read"),
    ("jobs.batch", "crm:job:read"),
    ("crm.lead", "crm:lead:read"),
    ("crm.leads", "crm:lead:read"),
    ("crm.leadHistory", "crm:history:read"),
    ("crm.leadStanding", "crm:history:read"),
    ("crm.funnel", "crm:lead:read"),
    ("crm.contact", "crm:contact:read"),
    ("crm.contacts", "crm:contact:read"),
    ("crm.contactHistory", "crm:history:read"),
    ("crm.account", "crm:account:read"),
    ("crm.accounts", "crm:account:read"),
    ("crm.accountHistory", "crm:history:read"),
    ("crm.opportunity", "crm:opportunity:read"),
    ("crm.opportunities", "crm:opportunity:read"),
    ("crm.pipeline", "crm:pipeline:read"),
    ("crm.pipelines", "crm:pipeline:read"),
    ("crm.pipelineBoard", "crm:opportunity:read"),
    ("crm.pipelineMovement", "crm:opportunity:read"),
    ("auth.machine", "auth:machine:read"),
    ("auth.machines", "auth:machine:read"),
    ("auth.client", "auth:client:read"),
    ("auth.clients", "auth:client:read"),
    ("auth.samlConnections", "auth:saml_connection:read"),
    ("auth.sessions", "auth:history:read"),
    ("auth.refusedSignIns", "auth:history:read"),
    ("auth.deniedAccesses", "auth:history:read"),
    ("user.me", ANY),
    ("user.user", "user:user:read"),
    ("user.users", "user:user:read"),
    ("user.userHistory", "user:history:read"),
    ("user.roles", "user:role:read"),
    ("user.group", "user:group:read"),
    ("user.groups", "user:group:read"),
    ("user.organization", "user:organization:read"),
    ("user.organizations", "user:organization:read"),
    ("user.domains", "user:domain:read"),
    ("user.invitations", "user:invitation:read"),
    ("user.access", "user:access:read"),
    ("user.accessChanges", "user:access:read"),
    ("user.policyDryRun", "user:access:read"),
];

pub fn grants() -> Vec<Grant> {
    gateway::domains().iter().flat_map(|domain| domain.grants).chain(webhooks::GRANTS).copied().collect()
}

/// Whether a role has the needed permission.
pub fn may(grants: &[Grant], role: Role, permission: &str) -> bool {
    if permission == ANY || permission == PUBLIC {
        return true;
    }
    let found: Vec<_> = grants.iter().filter(|grant| grant.permission == permission).collect();
    let [grant] = found[..] else { panic!("{permission:?} is in no permission table, or twice") };
    grant.roles.contains(&role)
}

/// Whoever has all permissions of administrators is taken to lack none.
#[test]
fn administrators_have_every_permission_that_a_role_can_have() {
    let others: Vec<_> = grants().into_iter().filter(|grant| !grant.roles.contains(&Role::Admin)).collect();
    assert!(others.iter().all(|grant| grant.roles.is_empty()), "{others:?}");
}

#[tokio::test]
async fn every_operation_is_allowed_to_whom_the_table_says_and_to_nobody_else() {
    let world = World::unlimited().await;
    let contract = world.get("/openapi.json").await.body;
    let listed: BTreeMap<&str, (&str, &str)> =
        OPERATIONS.iter().map(|(id, needs, body)| (*id, (*needs, *body))).collect();
    let (grants, mut walked_ids) = (grants(), BTreeSet::new());
    for (pattern, operations) in contract["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters")
        {
            let id = operation["operationId"].as_str().unwrap();
            let (needs, body) = listed.get(id).unwrap_or_else(|| {
                panic!("{method} {pattern} ({id}) is not in OPERATIONS: say there which permission it needs")
            });
            walked_ids.insert(id.to_owned());
            let method: Method = method.to_uppercase().parse().unwrap();
            let ask = async |token: Option<String>| {
                let request = world.anonymous(method.clone(), &walked(pattern));
                let request = match *body {
                    "" => request,
                    "csv" => request.header("content-type", "text/csv").body("name\nAda\n"),
                    json => request.header("content-type", "application/json").body(json),
                };
                let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
                // A feed has no end, so the body of a success is not read.
                let answer = request.send().await.unwrap();
                let status = answer.status();
                let code = if status.is_success() { Value::Null } else { answer.json::<Value>().await.unwrap() };
                (status, code["code"].as_str().unwrap_or_default().to_owned())
            };
            let (anonymous, code) = ask(None).await;
            if *needs == PUBLIC {
                assert_ne!(anonymous, StatusCode::UNAUTHORIZED, "{id} is public");
            } else {
                assert_eq!((anonymous, code.as_str()), (StatusCode::UNAUTHORIZED, "token_missing"), "{id}");
            }
            for role in Role::ALL {
                let (status, code) = ask(Some(world.token(&[role]))).await;
                let refused = (status, code.as_str()) == (StatusCode::FORBIDDEN, "permission_missing");
                assert_eq!(!refused, may(&grants, role, needs), "{id} as {role}: {status} {code}");
                assert!(!status.is_server_error(), "{id} as {role}: {status} {code}");
            }
            let (status, _) = ask(Some(world.token(&[]))).await;
            let open = *needs == PUBLIC || *needs == ANY;
            assert_eq!(status == StatusCode::FORBIDDEN, !open, "{id} without any role: {status}");
            // The id in the path does not exist: its own tenant and a stranger get the same answer.
            if pattern.contains('{') && *needs != ANY {
                let (own, stranger) = (ask(Some(world.token(&[Role::Admin]))).await, ask(Some(world.stranger())).await);
                assert_eq!(own, stranger, "{id}");
            }
        }
    }
    let gone: Vec<_> = listed.keys().filter(|id| !walked_ids.contains(**id)).collect();
    assert!(gone.is_empty(), "OPERATIONS lists what is not in the contract: {gone:?}");
}

/// Path parameters that are not ids of a tenant's resources: services and event types are the same for all.
const EVERYBODYS: &[&str] = &["{service}", "{type}", "{version}"];

#[tokio::test]
async fn what_the_path_names_and_is_not_there_is_404_for_each_operation_and_each_page_of_each_list() {
    let world = World::unlimited().await;
    let contract = world.get("/openapi.json").await.body;
    let bodies: BTreeMap<&str, &str> = OPERATIONS.iter().map(|(id, _, body)| (*id, *body)).collect();
    let mut asked = 0;
    for (pattern, operations) in contract["paths"].as_object().unwrap() {
        if !pattern.split('/').any(|part| part.starts_with('{') && !EVERYBODYS.contains(&part)) {
            continue;
        }
        for (method, operation) in operations.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            // The metadata are parsed before the connection is looked up.
            if id == "changeSamlConnection" {
                continue;
            }
            // A further page of a list of an unknown resource gets 404, too, whatever cursor is sent.
            let after = operation["parameters"].as_array().unwrap().iter().find(|one| one["name"] == "after");
            let pages = after.map(|after| if after["schema"]["type"] == "integer" { "?after=1" } else { PAGE });
            for page in [""].into_iter().chain(pages) {
                let path = format!("{}{page}", walked(pattern));
                for token in [world.token(&[Role::Admin]), world.stranger()] {
                    let request = world.anonymous(method.to_uppercase().parse().unwrap(), &path).bearer_auth(token);
                    let request = match bodies[id] {
                        "" => request,
                        json => request.header("content-type", "application/json").body(json),
                    };
                    let answer = Answer::of(request).await;
                    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{id} {path}: {answer:?}");
                    answer.assert_problem();
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 200, "{asked}");
}

#[tokio::test]
async fn a_header_that_the_contract_names_is_understood_and_with_one_that_it_does_not_name_nothing_is_done() {
    let world = World::unlimited().await;
    let contract = world.get("/openapi.json").await.body;
    let bodies: BTreeMap<&str, (&str, &str)> =
        OPERATIONS.iter().map(|(id, needs, body)| (*id, (*needs, *body))).collect();
    let (mut named, mut unnamed) = (0, 0);
    for (pattern, operations) in contract["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap().iter().filter(|(method, _)| *method == "post") {
            let id = operation["operationId"].as_str().unwrap();
            let (needs, body) = bodies[id];
            if needs == PUBLIC {
                continue;
            }
            for (header, value) in [("Occurred-At", "2020-01-01T00:00:00Z"), ("If-Match", "\"7\"")] {
                let request = world.request(method.to_uppercase().parse().unwrap(), &walked(pattern));
                let request = match body {
                    "csv" => request.header("content-type", "text/csv").body("name\nAda\n"),
                    json => request.header("content-type", "application/json").body(json),
                };
                let answer = Answer::of(request.header(header, value)).await;
                let parameters = operation["parameters"].as_array().unwrap();
                if parameters.iter().any(|parameter| parameter["name"] == header) {
                    named += 1;
                    let refused = ["header_invalid", "permission_missing"].contains(&answer.code());
                    assert!(!refused, "{id} is said to understand {header}: {answer:?}");
                } else {
                    unnamed += 1;
                    assert!(!answer.status.is_success(), "{id} is not said to understand {header}: {answer:?}");
                }
            }
        }
    }
    assert!(named > 120 && unnamed > 50, "{named} named, {unnamed} not");
}

#[tokio::test]
async fn every_example_of_the_contract_is_a_body_that_is_taken() {
    let world = World::unlimited().await;
    let contract = world.get("/openapi.json").await.body;
    let mut sent = 0;
    for (pattern, operations) in contract["paths"].as_object().unwrap() {
        for operation in operations.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            // The metadata are an XML document, which is abbreviated in the example.
            if operation["requestBody"]["content"].get("application/json").is_none() || id.ends_with("SamlConnection") {
                continue;
            }
            let request = world.request(Method::POST, &walked(pattern));
            let answer = Answer::of(request.json(&schema_of(&contract, operation)["example"])).await;
            assert_ne!(answer.code(), "validation_failed", "{id}: {answer:?}");
            assert_ne!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{id}: {answer:?}");
            sent += 1;
        }
    }
    assert!(sent > 120, "{sent}");
}

#[tokio::test]
async fn every_question_is_answered_to_whom_the_table_says_and_to_nobody_else() {
    let world = World::unlimited().await;
    let listed: BTreeMap<&str, &str> = QUESTIONS.iter().copied().collect();
    let (grants, mut walked) = (grants(), BTreeSet::new());
    for Question { name, text, .. } in Schema::of(&world).await.questions("queryType", |_, _| None) {
        let needs = listed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} is not in QUESTIONS: say there which permission it needs"));
        let asked = json!({ "query": text.replace('@', "__typename") });
        let anonymous = Answer::of(world.anonymous(Method::POST, "/graphql").json(&asked)).await;
        assert_eq!((anonymous.status, anonymous.code()), (StatusCode::UNAUTHORIZED, "token_missing"), "{name}");
        for role in Role::ALL {
            let request = world.anonymous(Method::POST, "/graphql").bearer_auth(world.token(&[role]));
            let answer = Answer::of(request.json(&asked)).await;
            assert_eq!(answer.status, StatusCode::OK, "{text}: {answer:?}");
            let errors = answer.body["errors"].as_array().cloned().unwrap_or_default();
            let refused = errors.iter().any(|error| error["extensions"]["code"] == "permission_missing");
            assert_eq!(!refused, may(&grants, role, needs), "{name} as {role}: {errors:?}");
            assert!(refused || errors.is_empty(), "{name} as {role}: {errors:?}");
        }
        walked.insert(name);
    }
    let gone: Vec<_> = listed.keys().filter(|question| !walked.contains(**question)).collect();
    assert!(gone.is_empty(), "QUESTIONS lists what GraphQL does not have: {gone:?}");
}
