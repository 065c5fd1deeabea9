//! Domains that tenants prove to own, by DNS records that a real resolver looks up at a name server of the test.

use kernel::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use simple_dns::RCODE;
use sqlx::ConnectOptions;

use crate::name_server::NameServer;
use crate::users::ask;
use crate::world::{Answer, World};

async fn world(server: &NameServer) -> World {
    let address = server.address.to_string();
    World::start_with(|config| config.names.servers = vec![address]).await
}

/// A tenant's administrator, with their token.
struct Tenant<'w> {
    world: &'w World,
    token: String,
}

impl<'w> Tenant<'w> {
    fn own(world: &'w World) -> Self {
        Self { world, token: world.token(&[Role::Admin]) }
    }

    fn another(world: &'w World) -> Self {
        Self { world, token: world.stranger() }
    }

    fn request(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.world.anonymous(Method::POST, path).bearer_auth(&self.token).json(body)
    }

    async fn claim(&self, domain: &str) -> (String, Value) {
        let made = Answer::of(self.request("/v1/user/domains", &json!({ "domain": domain }))).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        let id = made.body["id"].as_str().unwrap().to_owned();
        assert_eq!(made.header("location"), format!("/v1/user/domains/{id}"));
        let record = self.get(&id).await["record"].clone();
        (id, record)
    }

    async fn get(&self, id: &str) -> Value {
        let request = self.world.anonymous(Method::GET, &format!("/v1/user/domains/{id}")).bearer_auth(&self.token);
        let got = Answer::of(request).await;
        assert_eq!(got.status, StatusCode::OK, "{got:?}");
        got.body
    }

    fn verifying(&self, id: &str) -> reqwest::RequestBuilder {
        self.request(&format!("/v1/user/domains/{id}/verify"), &json!({}))
    }

    async fn done(&self, id: &str, verb: &str) -> Answer {
        let done = Answer::of(self.request(&format!("/v1/user/domains/{id}/{verb}"), &json!({}))).await;
        assert_eq!(done.status, StatusCode::OK, "{verb}: {done:?}");
        done
    }

    async fn status(&self, id: &str) -> String {
        self.get(id).await["status"].as_str().unwrap().to_owned()
    }
}

/// The name and the value of the DNS record to publish.
fn of(record: &Value) -> (&str, &str) {
    (record["name"].as_str().unwrap(), record["value"].as_str().unwrap())
}

#[tokio::test]
async fn a_domain_is_verified_by_its_record_shown_when_that_is_missing_and_released() {
    let server = NameServer::start().await;
    let world = world(&server).await;
    let tenant = Tenant::own(&world);
    let (id, record) = tenant.claim(" Bücher.EXAMPLE. ").await;
    let (name, value) = of(&record);
    assert!(name == "_inopsio.xn--bcher-kva.example" && value.starts_with("inopsio-verification="), "{record}");
    assert!(!value.contains(&id), "a copy of the tenant has claims of the same ids: {record}");
    assert_eq!(tenant.status(&id).await, "claimed");
    let missing = || (tenant.verifying(&id), StatusCode::CONFLICT, "domain_record_missing");
    world.refuses(vec![missing()]).await;
    server.has(name, &[&["v=spf1 -all"], &["inopsio-verification=nonsense"], &["inopsio-verification="]]);
    world.refuses(vec![missing()]).await;
    let told = Answer::of(tenant.verifying(&id)).await;
    assert_eq!((&told.body["record"], &told.body["found"][0]), (&record, &json!("v=spf1 -all")), "{told:?}");
    // A failing name server does not mean that the record is missing.
    server.fails(name, RCODE::ServerFailure);
    let unknown = || (tenant.verifying(&id), StatusCode::SERVICE_UNAVAILABLE, "names_unavailable");
    world.refuses(vec![unknown()]).await;

    // A record of two strings, as long records are, beside other records.
    let (head, tail) = value.split_at(10);
    server.has(name, &[&["v=spf1 -all"], &[head, tail]]);
    tenant.done(&id, "verify").await;
    assert_eq!(tenant.status(&id).await, "verified");
    let before = world.head().await;
    tenant.done(&id, "verify").await;
    server.fails(name, RCODE::Refused);
    world.refuses(vec![unknown()]).await;
    assert_eq!(world.head().await, before, "seen again, nothing is new");
    assert_eq!(tenant.status(&id).await, "verified");

    server.forgets(name);
    let noted = tenant.done(&id, "verify").await;
    assert_eq!(tenant.status(&id).await, "record_missing");
    let seen =
        ask(&world, &noted, "domains { nodes { id domain status record { name value } verifiedAt missingSince } }")
            .await;
    let node = &seen["domains"]["nodes"][0];
    assert_eq!((&node["id"], &node["status"]), (&json!(id), &json!("RECORD_MISSING")), "{seen}");
    assert_eq!((&node["record"]["value"], node["verifiedAt"].is_string()), (&json!(value), true), "{seen}");
    // Behind an alias (CNAME), and in an answer that does not fit into a datagram.
    server.leads(name, "txt.example.net");
    server.has("txt.example.net", &[&["x".repeat(250).as_str(); 4], &[value]]);
    tenant.done(&id, "verify").await;
    assert_eq!(tenant.status(&id).await, "verified");

    let released = tenant.done(&id, "release").await;
    tenant.done(&id, "release").await;
    assert_eq!(tenant.status(&id).await, "released");
    assert_eq!(ask(&world, &released, "domains { nodes { id } }").await["domains"]["nodes"], json!([]));
    world.refuses(vec![(tenant.verifying(&id), StatusCode::CONFLICT, "domain_released")]).await;
    let (again, new) = tenant.claim("xn--bcher-kva.example").await;
    assert_ne!(of(&new).1, value, "an old record shows nothing new");
    world.refuses(vec![(tenant.verifying(&again), StatusCode::CONFLICT, "domain_record_missing")]).await;
    assert!(server.asked().iter().all(|asked| asked == name), "{:?}", server.asked());
}

#[tokio::test]
async fn what_is_no_domain_or_claimed_already_is_refused() {
    let server = NameServer::start().await;
    let world = world(&server).await;
    let tenant = Tenant::own(&world);
    let (id, _) = tenant.claim("example.com").await;
    let before = world.head().await;
    for (domain, code) in [
        ("com", "top_level"),
        ("localhost.", "top_level"),
        ("192.0.2.1", "ip_address"),
        ("[2001:db8::1]", "ip_address"),
        ("example.123", "top_level_number"),
        ("a..example", "domain"),
        ("*.example.com", "domain"),
        ("_dmarc.example.com", "domain"),
        (&format!("{}.example", "a".repeat(64)), "domain"),
        (&format!("{}example", "a.".repeat(120)), "domain"),
        ("ada@example.com", "domain"),
        ("exa\u{200b}mple.com", "domain"),
    ] {
        let refused = Answer::of(tenant.request("/v1/user/domains", &json!({ "domain": domain }))).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "validation_failed"), "{refused:?}");
        let error = &refused.body["errors"][0];
        assert_eq!((&error["pointer"], &error["code"]), (&json!("/domain"), &json!(code)), "{domain}: {refused:?}");
    }
    let again = tenant.request("/v1/user/domains", &json!({ "domain": "EXAMPLE.com" }));
    world
        .refuses(vec![
            (again, StatusCode::CONFLICT, "domain_claimed"),
            (tenant.verifying("0197a8a0-0000-7000-8000-000000000001"), StatusCode::NOT_FOUND, "not_found"),
            (Tenant::another(&world).verifying(&id), StatusCode::NOT_FOUND, "not_found"),
        ])
        .await;
    assert_eq!(world.head().await, before);
    assert_eq!(server.asked(), [] as [String; 0], "nobody was asked");
}

/// A refusal without the members that are specific to the request.
async fn told(request: reqwest::RequestBuilder, id: &str) -> Value {
    let mut answer = Answer::of(request).await;
    answer.assert_problem();
    answer.body["instance"] = Value::Null;
    serde_json::from_str(&answer.body.to_string().replace(id, "<id>")).unwrap()
}

#[tokio::test]
async fn attack_86_another_tenant_claims_a_domain_that_is_not_its_own() {
    let server = NameServer::start().await;
    let world = world(&server).await;
    let (tenant, attacker) = (Tenant::own(&world), Tenant::another(&world));
    let (id, record) = tenant.claim("example.com").await;
    let (name, value) = of(&record);
    let (theirs, their_record) = attacker.claim("example.com").await;
    assert_ne!(of(&their_record).1, value);
    // An attacker gets exactly the same answer before and after another tenant has verified the domain.
    server.has(name, &[&["v=spf1 -all"]]);
    let before = told(attacker.verifying(&theirs), &theirs).await;
    server.has(name, &[&[value]]);
    tenant.done(&id, "verify").await;
    server.has(name, &[&["v=spf1 -all"]]);
    let after = told(attacker.verifying(&theirs), &theirs).await;
    assert_eq!(before, after);
    assert_eq!(before["code"], "domain_record_missing");
    server.has(name, &[&[value]]);
    world.refuses(vec![(attacker.verifying(&theirs), StatusCode::CONFLICT, "domain_record_missing")]).await;
    assert_eq!(attacker.status(&theirs).await, "claimed");
    // Releasing a domain that one does not hold does not affect its holder.
    attacker.done(&theirs, "release").await;
    let (theirs, their_record) = attacker.claim("example.com").await;

    // A second tenant with a record is told that another tenant has the domain, as long as the holder's record exists, too …
    let their_value = of(&their_record).1.to_owned();
    server.has(name, &[&[value], &[&their_value]]);
    world.refuses(vec![(attacker.verifying(&theirs), StatusCode::CONFLICT, "domain_held")]).await;
    tenant.done(&id, "verify").await;
    // … and gets the domain once that record is gone.
    server.has(name, &[&[&their_value]]);
    attacker.done(&theirs, "verify").await;
    tenant.done(&id, "verify").await;
    assert_eq!(tenant.status(&id).await, "record_missing");
    server.has(name, &[&[value], &[&their_value]]);
    world.refuses(vec![(tenant.verifying(&id), StatusCode::CONFLICT, "domain_held")]).await;
    // A former holder's release does not affect the new holder; the holder's own release does.
    tenant.done(&id, "release").await;
    let (id, record) = tenant.claim("example.com").await;
    server.has(name, &[&[of(&record).1], &[&their_value]]);
    world.refuses(vec![(tenant.verifying(&id), StatusCode::CONFLICT, "domain_held")]).await;
    attacker.done(&theirs, "release").await;
    tenant.done(&id, "verify").await;
    assert_eq!(tenant.status(&id).await, "verified");
}

#[tokio::test]
async fn attack_158_a_domain_whose_verification_is_refused_is_not_held() {
    let server = NameServer::start().await;
    let world = world(&server).await;
    let policy = json!({ "open_to": "verified_domains", "roles": ["manager"] });
    assert_eq!(world.post("/v1/user/registration-policy/set", policy).await.status, StatusCode::OK);
    let permissions = ["user:domain:read", "user:domain:write"];
    let role = json!({ "name": "keeper", "title": "Keeper", "permissions": permissions });
    assert_eq!(world.post("/v1/user/roles", role).await.status, StatusCode::CREATED);
    let keeper = Tenant { world: &world, token: world.token_with(&["keeper"]) };
    let (id, record) = keeper.claim("example.com").await;
    server.has(of(&record).0, &[&[of(&record).1]]);
    world.refuses(vec![(keeper.verifying(&id), StatusCode::FORBIDDEN, "exceeds_own_permissions")]).await;
    assert_eq!(keeper.status(&id).await, "claimed");
    // Although the record of the first one exists, another tenant gets the domain.
    let other = Tenant::another(&world);
    let (theirs, their_record) = other.claim("example.com").await;
    server.has(of(&record).0, &[&[of(&record).1], &[of(&their_record).1]]);
    other.done(&theirs, "verify").await;
    assert_eq!(other.status(&theirs).await, "verified");
}

#[tokio::test]
async fn a_domain_that_was_verified_when_records_said_the_claims_id_is_given_back_too() {
    let server = NameServer::start().await;
    let world = world(&server).await;
    let (tenant, other) = (Tenant::own(&world), Tenant::another(&world));
    let [(id, record), (theirs, their_record)] = [tenant.claim("example.com").await, other.claim("example.com").await];
    server.has("_inopsio.example.com", &[&[of(&record).1], &[of(&their_record).1]]);
    tenant.done(&id, "verify").await;
    // The row as an older version of the program wrote it.
    let mut directory = world.directory.superuser().connect().await.unwrap();
    let noted = "UPDATE domains SET claim_id = $1::uuid WHERE domain = 'example.com'";
    assert_eq!(sqlx::query(noted).bind(&id).execute(&mut directory).await.unwrap().rows_affected(), 1);
    // A release by another tenant does not affect it.
    other.done(&theirs, "release").await;
    let held = "SELECT count(*) FROM domains WHERE domain = 'example.com'";
    assert_eq!(sqlx::query_scalar::<_, i64>(held).fetch_one(&mut directory).await.unwrap(), 1);
    tenant.done(&id, "release").await;
    assert_eq!(sqlx::query_scalar::<_, i64>(held).fetch_one(&mut directory).await.unwrap(), 0);
}

#[tokio::test]
async fn of_many_who_show_it_at_once_one_has_it() {
    let server = NameServer::start().await;
    let world = world(&server).await;
    let tenants: Vec<_> = (0..8).map(|_| Tenant::another(&world)).collect();
    let mut claims = Vec::new();
    for tenant in &tenants {
        claims.push(tenant.claim("example.com").await);
    }
    let values: Vec<_> = claims.iter().map(|(_, record)| vec![of(record).1]).collect();
    let values: Vec<&[&str]> = values.iter().map(Vec::as_slice).collect();
    server.has("_inopsio.example.com", &values);
    let asked = tenants.iter().zip(&claims).map(|(tenant, (id, _))| Answer::of(tenant.verifying(id)));
    let answers = futures::future::join_all(asked).await;
    let held = answers.iter().filter(|answer| answer.code() == "domain_held").count();
    let done = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    assert_eq!((done, held), (1, 7), "{answers:?}");
}

#[tokio::test]
async fn a_domain_that_is_released_while_its_record_is_looked_for_is_nobodys() {
    let server = NameServer::start().await;
    let world = world(&server).await;
    let (tenant, another) = (Tenant::own(&world), Tenant::another(&world));
    let (id, record) = tenant.claim("example.com").await;
    let (theirs, their_record) = another.claim("example.com").await;
    server.has(of(&record).0, &[&[of(&record).1], &[of(&their_record).1]]);
    let hesitating = server.hesitates().await;
    let released = async {
        testbed::eventually("the name server is asked", async || (!server.asked().is_empty()).then_some(())).await;
        tenant.done(&id, "release").await;
        drop(hesitating);
    };
    let (verified, ()) = tokio::join!(Answer::of(tenant.verifying(&id)), released);
    assert_eq!((verified.status, verified.code()), (StatusCode::CONFLICT, "domain_released"), "{verified:?}");
    // The former holder's record still exists, but does not prevent this.
    another.done(&theirs, "verify").await;
    assert_eq!(
        (another.status(&theirs).await, tenant.status(&id).await),
        ("verified".to_owned(), "released".to_owned())
    );
}

/// A document that was signed by an identity provider, with its certificate.
const SIGNED: &str = include_str!("../../../../saml/tests/fixtures/rsa.xml");

/// The request body that connects that provider.
fn connection(domains: &[&str]) -> Value {
    let (_, rest) = SIGNED.split_once("X509Certificate>").unwrap();
    let certificate = rest.split_once('<').unwrap().0;
    let metadata = format!(
        "<EntityDescriptor xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\" entityID=\"https://idp.example.com\"><IDPSSODescriptor \
         protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\"><KeyDescriptor use=\"signing\"><KeyInfo \
         xmlns=\"http://www.w3.org/2000/09/xmldsig#\"><X509Data><X509Certificate>{certificate}</X509Certificate></X509Data></KeyInfo>\
         </KeyDescriptor><SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" \
         Location=\"https://idp.example.com/sso\"/></IDPSSODescriptor></EntityDescriptor>"
    );
    json!({ "name": "Example Inc.", "metadata": metadata, "domains": domains })
}

#[tokio::test]
async fn providers_speak_for_verified_domains_only_where_the_installation_says_so_and_those_of_before_go_on() {
    let server = NameServer::start().await;
    let mut world = world(&server).await;
    let made = world
        .post("/v1/auth/saml-connections", connection(&["old.example", "bücher.example", "xn--mller-kva.example"]))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "as ever: {made:?}");
    let old = format!("/v1/auth/saml-connections/{}", made.body["id"].as_str().unwrap());

    world.restart(|config| config.names.verified_domains_only = true).await;
    let tenant = Tenant::own(&world);
    let refused = |path: &str, domains: &[&str]| {
        (world.request(Method::POST, path).json(&connection(domains)), StatusCode::BAD_REQUEST, "validation_failed")
    };
    let change = format!("{old}/change");
    world
        .refuses(vec![
            refused("/v1/auth/saml-connections", &["example.com"]),
            refused(&change, &["old.example", "example.com"]),
        ])
        .await;
    let told = world.post("/v1/auth/saml-connections", connection(&["example.com"])).await;
    let error = &told.body["errors"][0];
    assert_eq!((&error["pointer"], &error["code"]), (&json!("/domains/0"), &json!("domain_not_verified")), "{told:?}");
    // A domain that another tenant has verified does not count.
    let another = Tenant::another(&world);
    let (theirs, record) = another.claim("example.com").await;
    server.has(of(&record).0, &[&[of(&record).1]]);
    another.done(&theirs, "verify").await;
    world.refuses(vec![refused(&change, &["old.example", "example.com"])]).await;
    // Domains that the connection already had remain.
    let renamed = world.post(&change, connection(&["Old.Example", "Bücher.example", "Müller.example"])).await;
    assert_eq!(renamed.status, StatusCode::OK, "{renamed:?}");
    let spelled = connection(&["old.example", "xn--bcher-kva.example", "xn--mller-kva.example"]);
    let renamed = world.post(&change, spelled).await;
    assert_eq!(renamed.status, StatusCode::OK, "in whichever spelling: {renamed:?}");
    let (id, record) = tenant.claim("example.com").await;
    server.has(of(&record).0, &[&[of(&record).1]]);
    tenant.done(&id, "verify").await;
    let added = world.post(&change, connection(&["old.example", "example.com"])).await;
    assert_eq!(added.status, StatusCode::OK, "{added:?}");
}
