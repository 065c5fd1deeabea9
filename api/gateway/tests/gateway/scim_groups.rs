//! Groups over SCIM: their members, who may see these, and how many are returned.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::issuers::Machine;
use crate::scim::{GROUP, Provider, patch};
use crate::world::{Answer, World};

#[tokio::test]
async fn groups_have_who_the_provider_says_and_give_the_roles_that_are_given_here() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let ids = provider.create_named(&["ada", "grace", "hedy"]).await;
    let member = |at: usize| json!({ "value": ids[at] });
    let made = provider
        .ask(Method::POST, "/Groups", json!({ "schemas": [GROUP], "displayName": "Sales", "members": [member(0)] }))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let path = format!("/Groups/{}", made.body["id"].as_str().unwrap());
    let who = async || {
        let group = provider.get(&path).await.body;
        let mut names: Vec<_> = group["members"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["display"].as_str().unwrap().to_owned())
            .collect();
        names.sort_unstable();
        names
    };
    assert_eq!(who().await, ["ada"]);
    let patched = async |operations: Value| {
        let patched = provider.patch(&path, operations).await;
        assert_eq!(patched.status, StatusCode::OK, "{patched:?}");
    };
    patched(json!([{ "op": "Add", "path": "members", "value": [member(1), member(2)] }])).await;
    assert_eq!(who().await, ["ada", "grace", "hedy"]);
    patched(json!([{ "op": "remove", "path": format!("members[value eq \"{}\"]", ids[0]) }])).await;
    patched(json!([{ "op": "Remove", "path": "members", "value": [member(1)] }, { "op": "replace", "value": { "displayName": "Sellers" } }])).await;
    assert_eq!(who().await, ["hedy"]);
    let user = provider.get(&format!("/Users/{}", ids[2])).await.body;
    assert_eq!(user["groups"][0]["display"], "Sellers", "{user}");
    let replaced =
        provider.ask(Method::PUT, &path, json!({ "displayName": "Sellers", "members": [member(0), member(1)] })).await;
    assert_eq!(replaced.status, StatusCode::OK, "{replaced:?}");
    assert_eq!(who().await, ["ada", "grace"]);

    // The tenant's administrator grants the group a role, which its members have then.
    let id = made.body["id"].as_str().unwrap();
    let granted = world.post(&format!("/v1/user/groups/{id}/grant-role"), json!({ "role": "viewer" })).await;
    assert_eq!(granted.status, StatusCode::OK, "{granted:?}");
    let reads = world.anonymous(Method::GET, "/v1/user/permissions").bearer_auth(world.token_of_user(&ids[0]));
    assert_eq!(Answer::of(reads).await.status, StatusCode::OK);

    // Case-insensitive, as the schema says.
    for name in ["sellers", "Sellers"] {
        let path = format!("/Groups?filter=displayName%20eq%20%22{name}%22&excludedAttributes=members");
        let list = provider.get(&path).await.body;
        assert!(list["totalResults"] == 1 && list["Resources"][0]["members"].is_null(), "{list}");
    }
    // The group now has a role that the provider does not have, so the provider can't change it.
    provider.refused(Method::DELETE, &path, Value::Null, StatusCode::FORBIDDEN, None).await;
    let revoked = world.post(&format!("/v1/user/groups/{id}/revoke-role"), json!({ "role": "viewer" })).await;
    assert_eq!(revoked.status, StatusCode::OK, "{revoked:?}");
    assert_eq!(provider.ask(Method::DELETE, &path, Value::Null).await.status, StatusCode::NO_CONTENT);
    provider.refused(Method::GET, &path, Value::Null, StatusCode::NOT_FOUND, None).await;
}

#[tokio::test]
async fn a_change_of_a_groups_members_is_held_against_the_version_that_it_names() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let ada = provider.create(json!({ "userName": "ada@example.com", "displayName": "ada" })).await;
    let member = json!([{ "value": ada["id"] }]);
    let made = provider.ask(Method::POST, "/Groups", json!({ "schemas": [GROUP], "displayName": "Sales" })).await;
    let path = format!("/Groups/{}", made.body["id"].as_str().unwrap());
    let renamed = json!([{ "op": "replace", "path": "displayName", "value": "Sellers" }]);
    assert_eq!(provider.patch(&path, renamed).await.header("etag"), "W/\"2\"");
    let joins = patch(json!([{ "op": "add", "path": "members", "value": member }]));
    let becomes = patch(json!([{ "op": "replace", "path": "members", "value": member }]));
    let same = patch(json!([{ "op": "replace", "path": "displayName", "value": "Sellers" }]));
    let whole = json!({ "displayName": "Sellers", "members": member });
    let before = world.head_of_all(world.of("user")).await;
    for (method, body) in [
        (Method::PATCH, &joins),
        (Method::PATCH, &becomes),
        (Method::PATCH, &same),
        (Method::PUT, &whole),
        (Method::DELETE, &Value::Null),
    ] {
        for stale in ["W/\"1\"", "\"3\""] {
            let request = provider.request(method.clone(), &path, body).header("if-match", stale);
            let answer = Answer::of(request).await;
            assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED, "{method} {body}: {answer:?}");
        }
    }
    // A malformed tag gets 400, not 412.
    for unreadable in ["2", "W/2", "\"2"] {
        let request = provider.request(Method::PUT, &path, &whole).header("if-match", unreadable);
        let answer = Answer::of(request).await;
        let said = (answer.status, &answer.body["scimType"]);
        assert_eq!(said, (StatusCode::BAD_REQUEST, &json!("invalidValue")), "{unreadable}: {answer:?}");
    }
    assert_eq!(world.head_of_all(world.of("user")).await, before, "something was written");
    // The changes of one request are not checked against each other's versions.
    let both = patch(json!([
        { "op": "replace", "path": "displayName", "value": "Sales" },
        { "op": "replace", "path": "displayName", "value": "Sellers" },
        { "op": "add", "path": "members", "value": member },
    ]));
    let request = provider.request(Method::PATCH, &path, &both).header("if-match", "W/\"1\", W/\"2\"");
    let answer = Answer::of(request).await;
    assert_eq!(
        (answer.status, answer.body["members"][0]["value"].clone()),
        (StatusCode::OK, ada["id"].clone()),
        "{answer:?}"
    );
}

#[tokio::test]
async fn names_of_members_are_shown_to_who_may_see_users() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let ada = provider.create(json!({ "userName": "ada@example.com", "displayName": "Ada" })).await;
    let group = json!({ "schemas": [GROUP], "displayName": "Sales", "members": [{ "value": ada["id"] }] });
    let made = provider.ask(Method::POST, "/Groups", group).await;
    let path = format!("/Groups/{}", made.body["id"].as_str().unwrap());
    let role = json!({ "name": "groups", "title": "Groups", "permissions": ["user:group:read", "user:group:write"] });
    assert_eq!(world.post("/v1/user/roles", role).await.status, StatusCode::CREATED);
    let (_, key) = Machine::register(&world, "groups", &["groups"]).await.api_key(&world, json!({})).await;
    let blind = Provider { world: &world, key };
    let leave_and_come = json!([{ "op": "add", "path": "members", "value": [{ "value": ada["id"] }] }]);
    for (shown, named) in [
        (provider.get(&path).await.body, true),
        (provider.get("/Groups").await.body["Resources"][0].clone(), true),
        (blind.get(&path).await.body, false),
        (blind.get("/Groups").await.body["Resources"][0].clone(), false),
        (blind.patch(&path, leave_and_come).await.body, false),
    ] {
        let member = &shown["members"][0];
        assert_eq!((&member["value"], member["display"] == "Ada"), (&ada["id"], named), "{shown}");
        assert!(named || !shown.to_string().contains("Ada"), "{shown}");
    }
}

#[tokio::test]
async fn a_page_of_groups_shows_ten_thousand_members_in_all() {
    use sqlx::Connection;
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let ada = provider.create(json!({ "userName": "ada@example.com", "displayName": "Ada" })).await;
    let grace = provider.create(json!({ "userName": "grace@example.com", "displayName": "Grace" })).await;
    let mut paths = Vec::new();
    for (name, member) in [("A", &ada), ("B", &grace)] {
        let group = json!({ "schemas": [GROUP], "displayName": name, "members": [{ "value": member["id"] }] });
        let made = provider.ask(Method::POST, "/Groups", group).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        paths.push(format!("/Groups/{}", made.body["id"].as_str().unwrap()));
    }
    // Fills the read model as if so many users were in the first group.
    let mut tables = sqlx::PgConnection::connect_with(&world.of("user").superuser()).await.unwrap();
    let like_ada = async |tables: &mut sqlx::PgConnection, count: i32| {
        sqlx::query(
            "WITH alike AS (
                 INSERT INTO \"user\".person
                 SELECT (jsonb_populate_record(p, jsonb_build_object('user_id', gen_random_uuid(), 'email', gen_random_uuid()::text))).*
                 FROM \"user\".person p, generate_series(1, $2) WHERE p.user_id = $1::uuid
                 RETURNING user_id
             )
             INSERT INTO \"user\".person_word (tenant_id, word, present, name, user_id, registered_at, marks_1, marks_2)
             SELECT w.tenant_id, w.word, w.present, w.name, alike.user_id, w.registered_at, w.marks_1, w.marks_2
             FROM \"user\".person_word w, alike
             WHERE w.user_id = $1::uuid AND w.word LIKE ':group:%'",
        )
        .bind(ada["id"].as_str().unwrap())
        .bind(count)
        .execute(&mut *tables)
        .await
        .unwrap();
        // As autovacuum would do later; otherwise the planner assumes two people.
        sqlx::raw_sql("ANALYZE \"user\".person, \"user\".person_word").execute(tables).await.unwrap();
    };
    let shown = async || {
        let page = provider.get("/Groups").await.body;
        let of = |group: &Value| group["members"].as_array().map(Vec::len);
        (of(&page["Resources"][0]), of(&page["Resources"][1]), page["totalResults"].clone())
    };
    assert_eq!(shown().await, (Some(1), Some(1), json!(2)));
    like_ada(&mut tables, 9_998).await;
    assert_eq!(shown().await, (Some(9_999), Some(1), json!(2)));
    like_ada(&mut tables, 1).await;
    assert_eq!(shown().await, (Some(10_000), None, json!(2)), "left out, and not shown as empty");
    like_ada(&mut tables, 1).await;
    assert_eq!(shown().await, (None, None, json!(2)));
    assert_eq!(provider.get(&paths[1]).await.body["members"][0]["value"], grace["id"]);
    // The groups of a user are found without reading other members.
    let filter = format!("/Groups?filter=members.value%20eq%20%22{}%22", grace["id"].as_str().unwrap());
    let found = provider.get(&filter).await.body;
    assert_eq!((&found["totalResults"], &found["Resources"][0]["displayName"]), (&json!(1), &json!("B")), "{found}");
    assert_eq!(found["Resources"][0]["members"][0]["display"], "Grace");
    let nobody = provider.get("/Groups?filter=members.value%20eq%20%22nobody%22").await.body;
    assert_eq!(nobody["totalResults"], 0);
}

#[tokio::test]
async fn attack_160_who_may_only_write_is_shown_no_user_and_no_group_by_what_they_write() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let ada = provider.create(json!({ "userName": "ada@example.com", "displayName": "Ada" })).await;
    let group = json!({ "schemas": [GROUP], "displayName": "Sales", "members": [{ "value": ada["id"] }] });
    let made = provider.ask(Method::POST, "/Groups", group.clone()).await;
    let role = json!({ "name": "writer", "title": "Writer", "permissions": ["user:user:write", "user:group:write"] });
    assert_eq!(world.post("/v1/user/roles", role).await.status, StatusCode::CREATED);
    let (_, key) = Machine::register(&world, "writer", &["writer"]).await.api_key(&world, json!({})).await;
    let writer = Provider { world: &world, key };
    let operations = json!([{ "op": "replace", "path": "externalId", "value": "7" }]);
    let part = patch(operations);
    for (path, whole) in [("Users", ada.clone()), ("Groups", group)] {
        let id = if path == "Users" { &ada["id"] } else { &made.body["id"] };
        let path = format!("/{path}/{}", id.as_str().unwrap());
        writer.refused(Method::PATCH, &path, part.clone(), StatusCode::FORBIDDEN, None).await;
        writer.refused(Method::PUT, &path, whole, StatusCode::FORBIDDEN, None).await;
    }
}

#[tokio::test]
async fn who_has_a_version_gets_it_again_only_with_what_it_does_not_cover() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let ada = provider.create(json!({ "userName": "ada@example.com", "displayName": "Ada" })).await;
    let made = provider.ask(Method::POST, "/Groups", json!({ "schemas": [GROUP], "displayName": "Sales" })).await;
    let group = format!("/Groups/{}", made.body["id"].as_str().unwrap());
    let alone = format!("{group}?excludedAttributes=members");
    let user = format!("/Users/{}", ada["id"].as_str().unwrap());
    let known = async |path: &str, tags: &str| {
        Answer::of(provider.request(Method::GET, path, &Value::Null).header("if-none-match", tags)).await
    };
    for path in [&user, &alone] {
        let shown = provider.get(path).await;
        let tag = shown.header("etag");
        assert_eq!(shown.body["meta"]["version"], tag, "{shown:?}");
        for tags in [tag, &format!("W/\"99\", {tag}"), "*"] {
            let same = known(path, tags).await;
            assert_eq!((same.status, same.header("etag")), (StatusCode::NOT_MODIFIED, tag), "{path}: {same:?}");
            assert_eq!((&same.body, same.header("content-type")), (&json!(""), ""), "{path}: {same:?}");
        }
        for tags in ["W/\"99\"", "99"] {
            assert_eq!(known(path, tags).await.body, shown.body, "{path}: {tags}");
        }
    }
    let tag = made.header("etag");
    assert_eq!(known(&group, tag).await.body, made.body, "a version does not cover the members");
    let joins = json!([{ "op": "add", "path": "members", "value": [{ "value": ada["id"] }] }]);
    assert_eq!(provider.patch(&group, joins).await.header("etag"), tag);
    assert_eq!(known(&group, tag).await.body["members"][0]["value"], ada["id"]);
    let renamed = json!([{ "op": "replace", "path": "displayName", "value": "Sellers" }]);
    assert_eq!(provider.patch(&group, renamed).await.status, StatusCode::OK);
    assert_eq!(known(&alone, tag).await.body["displayName"], "Sellers");
    // The group changes and ends without a new version of whoever is in it.
    let member = provider.get(&user).await;
    let seen = member.header("etag");
    let other = json!([{ "op": "replace", "path": "displayName", "value": "Vendors" }]);
    assert_eq!(provider.patch(&group, other).await.status, StatusCode::OK);
    let renamed = known(&user, seen).await;
    assert_eq!((renamed.header("etag"), &renamed.body["groups"][0]["display"]), (seen, &json!("Vendors")));
    let same = known(&format!("{user}?excludedAttributes=groups"), seen).await;
    assert_eq!(same.status, StatusCode::NOT_MODIFIED, "{same:?}");
    // Whoever may not read it learns no version either.
    let anonymous = world.anonymous(Method::GET, &format!("/scim/v2{user}")).header("if-none-match", "*");
    assert_eq!(Answer::of(anonymous).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn who_is_no_member_or_no_user_any_more_leaves_a_group_without_a_word() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let ids = provider.create_named(&["ada", "grace", "hedy"]).await;
    let members = json!([{ "value": ids[0] }, { "value": ids[1] }]);
    let group = json!({ "schemas": [GROUP], "displayName": "Sales", "members": members });
    let made = provider.ask(Method::POST, "/Groups", group).await;
    let path = format!("/Groups/{}", made.body["id"].as_str().unwrap());
    let removed = provider.ask(Method::DELETE, &format!("/Users/{}", ids[1]), Value::Null).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT, "{removed:?}");
    let nobody = "0197a8a0-0000-7000-8000-00000000000f";
    let leaves = |id: &str| json!({ "op": "remove", "path": format!("members[value eq \"{id}\"]") });
    let before = world.head_of(world.of("user")).await;
    for id in [&*ids[1], &*ids[2], nobody] {
        let answer = provider.patch(&path, json!([leaves(id)])).await;
        assert_eq!(
            (answer.status, &answer.body["members"][0]["value"]),
            (StatusCode::OK, &json!(ids[0])),
            "{answer:?}"
        );
    }
    assert_eq!(world.head_of(world.of("user")).await, before, "something was written");
    let joins = json!([{ "op": "add", "path": "members", "value": [{ "value": nobody }] }]);
    provider.refused(Method::PATCH, &path, patch(joins), StatusCode::BAD_REQUEST, Some("invalidValue")).await;
    let all = provider.patch(&path, json!([leaves(&ids[1]), leaves(&ids[0]), leaves(nobody)])).await;
    assert_eq!(all.status, StatusCode::OK, "{all:?}");
    assert!(all.body["members"].as_array().is_none_or(Vec::is_empty), "{all:?}");
}
