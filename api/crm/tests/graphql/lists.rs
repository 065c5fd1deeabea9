use crm_commands::{
    AccountFields, AssignLead, CaptureLead, ChangeContactAccount, ContactFields, CreateAccount, CreateContact,
    LeadFields, QualifyLead, ReassignAccount, ReassignContact,
};
use kernel::PostalAddress;
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_lead_is_seen_as_soon_as_its_command_was_answered() {
    let world = World::start().await;
    let lead = world.lead("ada").await;
    world.command(None, AssignLead { lead, owner: "grace".to_owned() }).await.unwrap();
    let seen = world
        .ask(&format!(
            "lead(id: \"{lead}\") {{ id name email source status owner version }}
             leadHistory(id: \"{lead}\") {{ version change actor status valid {{ to }} }}
             leadStanding(id: \"{lead}\") {{ status }}
             unknown: lead(id: \"00000000-0000-0000-0000-000000000000\") {{ id }}"
        ))
        .await;
    let expected = json!({
        "id": lead.to_string(), "name": "ada", "email": "ada@example.com", "source": "WEBSITE", "status": "ASSIGNED",
        "owner": "grace", "version": 2,
    });
    assert_eq!(seen["lead"], expected);
    assert_eq!(seen["leadHistory"][0]["change"], "captured");
    assert_eq!(seen["leadHistory"][1]["valid"]["to"], json!(null));
    assert_eq!(seen["leadHistory"][1]["actor"], "grace");
    assert_eq!(seen["leadStanding"], json!({ "status": "ASSIGNED" }));
    assert_eq!(seen["unknown"], json!(null));
}

#[tokio::test]
async fn contacts_and_accounts_have_a_history() {
    let world = World::start().await;
    let owner = || "grace".to_owned();
    let details = AccountFields { name: "Engines".to_owned(), ..AccountFields::default() };
    let account = world.command(None, CreateAccount { details, owner: None }).await.unwrap();
    world.command(None, ReassignAccount { account, owner: owner() }).await.unwrap();
    let details = ContactFields { name: "Ada".to_owned(), ..ContactFields::default() };
    let contact = world.command(None, CreateContact { details, ..CreateContact::default() }).await.unwrap();
    world.command(None, ChangeContactAccount { contact, account: Some(account) }).await.unwrap();
    world.command(None, ReassignContact { contact, owner: owner() }).await.unwrap();
    let seen = world
        .ask(&format!(
            "accountHistory(id: \"{account}\") {{ version change actor owner }}
             contactHistory(id: \"{contact}\", afterVersion: 1, first: 1) {{ version change accountId owner }}
             all: contactHistory(id: \"{contact}\") {{ change valid {{ to }} known {{ to }} }}
             unknown: contactHistory(id: \"{account}\") {{ change }}"
        ))
        .await;
    let expected = json!([
        { "version": 1, "change": "created", "actor": "grace", "owner": null },
        { "version": 2, "change": "reassigned", "actor": "grace", "owner": "grace" },
    ]);
    assert_eq!(seen["accountHistory"], expected);
    let expected = json!([
        { "version": 2, "change": "account_changed", "accountId": account.to_string(), "owner": null },
    ]);
    assert_eq!(seen["contactHistory"], expected);
    let open: Vec<_> = seen["all"].as_array().unwrap().iter().map(|row| row["valid"]["to"].is_null()).collect();
    assert_eq!(open, [false, false, true], "{seen}");
    assert_eq!(seen["unknown"], json!([]));
}

#[tokio::test]
async fn leads_and_contacts_show_their_addresses_and_null_where_there_is_none() {
    let world = World::start().await;
    let address = PostalAddress { locality: Some("London".to_owned()), ..PostalAddress::default() };
    let address = Some(PostalAddress { street: Some("12 St James's Square\nFlat 3".to_owned()), ..address });
    let details = LeadFields { name: "Ada".to_owned(), address: address.clone(), ..LeadFields::default() };
    let lead = world.command(None, CaptureLead { details, ..CaptureLead::default() }).await.unwrap();
    let details = ContactFields { name: "Ada".to_owned(), address, ..ContactFields::default() };
    let contact = world.command(None, CreateContact { details, ..CreateContact::default() }).await.unwrap();
    let other = world.lead("grace").await;
    let fields = "address { street locality region postalCode country }";
    let seen = world
        .ask(&format!(
            "lead(id: \"{lead}\") {{ {fields} }} contact(id: \"{contact}\") {{ {fields} }}
             other: lead(id: \"{other}\") {{ {fields} }}"
        ))
        .await;
    let expected = json!({
        "street": "12 St James's Square\nFlat 3", "locality": "London", "region": null, "postalCode": null, "country": null,
    });
    assert_eq!((&seen["lead"]["address"], &seen["contact"]["address"]), (&expected, &expected));
    assert_eq!(seen["other"], json!({ "address": null }));
}

#[tokio::test]
async fn a_list_is_paged_by_cursors_of_its_own_order() {
    let world = World::start().await;
    for name in ["ada", "grace", "joan", "mary", "jean"] {
        world.lead(name).await;
    }
    let (mut names, mut after) = (Vec::new(), "null".to_owned());
    loop {
        let page = world
            .ask(&format!(
                "leads(first: 2, after: {after}, orderBy: OLDEST) {{
                    nodes {{ name }} edges {{ cursor }} totalCount pageInfo {{ hasNextPage endCursor }}
                }}"
            ))
            .await;
        let page = &page["leads"];
        assert_eq!(page["totalCount"], 5);
        names.extend(page["nodes"].as_array().unwrap().iter().map(|node| node["name"].clone()));
        assert_eq!(page["edges"].as_array().unwrap().last().unwrap()["cursor"], page["pageInfo"]["endCursor"]);
        after = page["pageInfo"]["endCursor"].to_string();
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!(names, ["ada", "grace", "joan", "mary", "jean"]);

    let admin = || world.caller(&[kernel::Role::Admin]);
    for refused in [format!("leads(after: {after}) {{ totalCount }}"), "leads(first: 0) { totalCount }".to_owned()] {
        let (_, errors) = world.ask_as(admin(), &refused).await;
        assert_eq!(errors[0]["extensions"]["status"], 400, "{refused}: {errors}");
    }
}

#[tokio::test]
async fn filters_narrow_and_directories_are_searched() {
    let world = World::start().await;
    let lead = world.lead("ada").await;
    world.lead("grace").await;
    world.command(None, QualifyLead { lead, note: None }).await.err();
    world.command(None, AssignLead { lead, owner: "grace".to_owned() }).await.unwrap();
    let account = CreateAccount {
        details: AccountFields { name: "Analytical Engines".to_owned(), ..AccountFields::default() },
        owner: None,
    };
    let account = world.command(None, account).await.unwrap();
    let contact = CreateContact {
        details: ContactFields { name: "Ada Lovelace".to_owned(), ..ContactFields::default() },
        account: Some(account),
        owner: None,
        allow_duplicate: false,
    };
    world.command(None, contact).await.unwrap();
    let seen = world
        .ask(&format!(
            "leads(filter: {{ status: [ASSIGNED], owner: \"grace\" }}) {{ nodes {{ name }} }}
             opportunities(filter: {{ currency: \"eur\" }}, orderBy: LARGEST) {{ totalCount }}
             accounts(filter: {{ search: \"engin anal\" }}) {{ nodes {{ name contacts {{ name account {{ id }} }} }} }}
             nobody: contacts(filter: {{ search: \"lovelace grace\" }}) {{ totalCount }}
             contacts(filter: {{ accountId: \"{account}\" }}) {{ nodes {{ name }} totalCount }}"
        ))
        .await;
    assert_eq!(seen["leads"], json!({ "nodes": [{ "name": "ada" }] }));
    assert_eq!(seen["opportunities"], json!({ "totalCount": 0 }));
    let account = json!({ "id": account.to_string() });
    let contacts = json!([{ "name": "Ada Lovelace", "account": account }]);
    assert_eq!(seen["accounts"], json!({ "nodes": [{ "name": "Analytical Engines", "contacts": contacts }] }));
    assert_eq!(seen["nobody"], json!({ "totalCount": 0 }));
    assert_eq!(seen["contacts"], json!({ "nodes": [{ "name": "Ada Lovelace" }], "totalCount": 1 }));
}

#[tokio::test]
async fn a_currency_that_there_is_not_is_refused_and_not_one_in_which_nothing_is_worth_anything() {
    let world = World::start().await;
    let head = world.runtime.store.head().await.unwrap();
    for currency in ["", "euro", "€", "XXX"] {
        let asked = format!("opportunities(filter: {{ currency: \"{currency}\" }}) {{ totalCount }}");
        assert_eq!(world.refused(&asked).await, "value_not_allowed", "{currency:?}");
    }
    assert_eq!(world.runtime.store.head().await.unwrap(), head);
}

#[tokio::test]
async fn tables_of_another_version_are_said_to_be_some() {
    let world = World::start().await;
    world.sql("ALTER TABLE crm.account RENAME COLUMN industry TO sector").await;
    assert_eq!(world.refused("accounts { nodes { name } }").await, "read_model_outdated");
    world.sql("ALTER TABLE crm.contact RENAME TO person").await;
    assert_eq!(world.refused("contacts { nodes { name } }").await, "read_model_outdated");
}
