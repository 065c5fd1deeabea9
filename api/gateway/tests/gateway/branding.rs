//! A tenant's logo on the sign-in pages.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::world::{Answer, World};

/// A PNG of one colour, wider than high, as an encoder produces it.
pub fn png(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
    let chunk = |name: &[u8; 4], data: &[u8]| {
        let named = [name.as_slice(), data].concat();
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        [&length[..], &named, &crc32(&named).to_be_bytes()].concat()
    };
    let row = [vec![0], colour.repeat(width as usize)].concat();
    let raw = row.repeat(height as usize);
    // Deflate without compression: stored blocks in a zlib stream.
    let mut packed = vec![0x78, 0x01];
    let blocks: Vec<_> = raw.chunks(65_535).collect();
    for (place, block) in blocks.iter().enumerate() {
        let length = u16::try_from(block.len()).unwrap();
        packed.push(u8::from(place + 1 == blocks.len()));
        packed.extend(length.to_le_bytes());
        packed.extend((!length).to_le_bytes());
        packed.extend(*block);
    }
    packed.extend(adler32(&raw).to_be_bytes());
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let chunks = [chunk(b"IHDR", &header), chunk(b"IDAT", &packed), chunk(b"IEND", &[])].concat();
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunks].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1, 0), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    (b << 16) | a
}

/// Requests a page as a browser does.
async fn page(world: &World) -> Answer {
    Answer::of(world.anonymous(Method::GET, "/t/acme/login").header("accept", "text/html")).await
}

/// The URLs of images on a page, without its icon.
fn pictures(page: &Answer) -> Vec<String> {
    let body = page.body.as_str().unwrap().split("<main>").nth(1).unwrap();
    let parts = body.split("/t/acme/logo").skip(1);
    parts.map(|rest| format!("/t/acme/logo{}", rest.split('"').next().unwrap())).collect()
}

#[tokio::test]
async fn a_logo_is_on_the_pages_for_light_and_dark_and_is_kept_by_its_hash() {
    let world = World::start().await;
    let plain = page(&world).await;
    assert_eq!(pictures(&plain), [""; 0]);
    assert!(plain.body.as_str().unwrap().contains(r#"<link rel="icon" href="data:,">"#), "browsers look for an icon");
    assert_eq!(world.get("/v1/auth/branding").await.body, json!({ "logo": null }));
    let (light, dark) = (png(160, 40, [20, 60, 120]), png(160, 40, [220, 230, 240]));
    let body = json!({ "light": STANDARD.encode(&light), "dark": STANDARD.encode(&dark) });
    let set = world.post("/v1/auth/branding/set-logo", body.clone()).await;
    assert_eq!(set.status, StatusCode::OK, "{set:?}");
    let login = page(&world).await;
    let policy = login.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && policy.contains("img-src 'self'"), "{policy}");
    let html = login.body.as_str().unwrap();
    assert!(html.contains(r#"alt="Logo of Acme" width="160" height="40""#), "{html}");
    let at = pictures(&login);
    assert_eq!(at.len(), 2, "{html}");
    assert!(html.contains(&format!(r#"<link rel="icon" href="{}">"#, at[1])), "{html}");
    for (path, bytes) in [(&at[1], &light), (&at[0], &dark)] {
        let response = world.anonymous(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        for (name, value) in [
            ("content-type", "image/png"),
            ("cache-control", "public, max-age=31536000, immutable"),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; sandbox"),
        ] {
            assert_eq!(response.headers()[name], value);
        }
        assert_eq!(response.bytes().await.unwrap(), *bytes);
    }
    // A URL without the hash may be cached only for a short time, and is revalidated by its ETag.
    let plain = Answer::of(world.anonymous(Method::GET, "/t/acme/logo")).await;
    assert_eq!(plain.header("cache-control"), "public, max-age=300");
    let known = world.anonymous(Method::GET, "/t/acme/logo").header("if-none-match", plain.header("etag"));
    assert_eq!(Answer::of(known).await.status, StatusCode::NOT_MODIFIED);
    let shown = world.get("/v1/auth/branding").await;
    let hash = hex::encode(Sha256::digest(&light));
    assert_eq!(shown.body["logo"]["light"], json!({ "format": "png", "width": 160, "height": 40, "sha256": hash }));

    let before = world.head().await;
    assert_eq!(world.post("/v1/auth/branding/set-logo", body).await.status, StatusCode::OK);
    assert_eq!(world.head().await, before, "the same again is no event");
    let one = json!({ "light": STANDARD.encode(&light) });
    assert_eq!(world.post("/v1/auth/branding/set-logo", one).await.status, StatusCode::OK);
    let login = page(&world).await;
    assert_eq!(pictures(&login), [at[1].clone()]);
    assert!(login.body.as_str().unwrap().contains(r#"class="logo plated""#), "nothing is behind it where all is dark");
    assert_eq!(Answer::of(world.anonymous(Method::GET, &at[0])).await.status, StatusCode::NOT_FOUND);
    let removed = world.post("/v1/auth/branding/remove-logo", json!({})).await;
    assert_eq!(removed.status, StatusCode::OK, "{removed:?}");
    assert_eq!(pictures(&page(&world).await), [""; 0]);
    assert_eq!(Answer::of(world.anonymous(Method::GET, &at[1])).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_no_picture_or_not_an_administrators_is_refused_and_nothing_is_written() {
    let world = World::start().await;
    let good = json!({ "light": STANDARD.encode(png(64, 64, [0; 3])) });
    let set = |token: &str, body: &Value| {
        world.anonymous(Method::POST, "/v1/auth/branding/set-logo").bearer_auth(token).json(body)
    };
    let (admin, manager) = (world.token(&[Role::Admin]), world.token(&[Role::Manager]));
    let svg = json!({ "light": STANDARD.encode("<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>") });
    let wide = json!({ "light": STANDARD.encode(png(2_000, 16, [0; 3])) });
    let heavy = json!({ "light": STANDARD.encode([png(64, 64, [0; 3]), vec![0; 65_536]].concat()) });
    let half = json!({ "light": good["light"], "dark": "?" });
    let mut cases = vec![(set(&manager, &good), StatusCode::FORBIDDEN, "permission_missing")];
    for body in [&svg, &wide, &heavy, &half, &json!({ "light": "" })] {
        cases.push((set(&admin, body), StatusCode::BAD_REQUEST, "validation_failed"));
    }
    cases.push((
        set(&admin, &json!({ "url": "https://example.com/a.png" })),
        StatusCode::BAD_REQUEST,
        "validation_failed",
    ));
    world.refuses(cases).await;
    let refused = Answer::of(set(&admin, &half)).await;
    assert_eq!(
        (&refused.body["errors"][0]["pointer"], &refused.body["errors"][0]["code"]),
        (&json!("/dark"), &json!("base64"))
    );
}
