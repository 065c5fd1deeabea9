//! Operations on the branding of a tenant's pages.

use auth_aggregates::Branding;
use auth_commands::{RemoveLogo, SetLogo};
use face::operation::{ChangeResult, UnstoredResult, change};
use face::{Authenticated, Command, Empty, Example, Resource, Runtime, Unstored, example, form};
use kernel::{Picture, PictureFormat};
use poem_openapi::OpenApi;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tag;

/// Operations on the branding of the tenant's pages.
pub struct Brandings {
    runtime: Runtime,
}

impl Brandings {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// A logo to be uploaded.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"light": example::PICTURE}))]
struct NewLogo {
    /// PNG, JPEG or WebP file of up to 64 KiB, base64-encoded; 16 to 1,024 pixels wide and high.
    #[schemars(with = "form::PictureFile")]
    light: String,
    /// The logo for dark mode, in the same formats. Without it, dark mode shows the other logo on a light background.
    #[serde(default)]
    #[schemars(with = "Option<form::PictureFile>")]
    dark: Option<String>,
}

/// Branding of the tenant's pages.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Branding")]
struct Shown {
    /// The logo, if there is one.
    logo: Option<ShownLogo>,
}

/// A logo to be uploaded.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Logo")]
struct ShownLogo {
    /// Logo for light mode, and for dark mode if it has none of its own.
    light: ShownPicture,
    /// Logo for dark mode.
    dark: Option<ShownPicture>,
}

/// A picture.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Picture")]
struct ShownPicture {
    /// File format.
    format: PictureFormat,
    /// Width in pixels.
    width: u32,
    /// Height in pixels.
    height: u32,
    /// SHA-256 hash of the file, hexadecimal.
    sha256: String,
}

impl From<&Picture> for ShownPicture {
    fn from(picture: &Picture) -> Self {
        Self { format: picture.format, width: picture.width, height: picture.height, sha256: picture.sha256.clone() }
    }
}

impl Example for Shown {
    fn example() -> Self {
        let light = ShownPicture {
            format: PictureFormat::Png,
            width: 320,
            height: 80,
            sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
        };
        Self { logo: Some(ShownLogo { light, dark: None }) }
    }
}

#[OpenApi(tag = "Tag::Branding")]
impl Brandings {
    /// Set the logo of the sign-in pages
    ///
    /// The format is detected from the file. The logo is then public at `/t/<tenant>/logo`.
    #[oai(path = "/v1/auth/branding/set-logo", method = "post", operation_id = "setLogo")]
    async fn set_logo(&self, command: Command<NewLogo>) -> ChangeResult {
        let tenant = command.request.caller.tenant().uuid();
        let NewLogo { light, dark } = command.body;
        change(&self.runtime, &command.request, tenant, SetLogo { light, dark }).await
    }

    /// Remove the logo of the sign-in pages
    ///
    /// Needs the permission `auth:branding:write`.
    #[oai(path = "/v1/auth/branding/remove-logo", method = "post", operation_id = "removeLogo")]
    async fn remove_logo(&self, command: Command<Empty>) -> ChangeResult {
        let tenant = command.request.caller.tenant().uuid();
        change(&self.runtime, &command.request, tenant, RemoveLogo).await
    }

    /// Get the branding of the sign-in pages
    ///
    /// Needs the permission `auth:branding:read`.
    #[oai(path = "/v1/auth/branding", method = "get", operation_id = "getBranding")]
    async fn get(&self, Authenticated(caller): Authenticated) -> UnstoredResult<Shown> {
        caller.require("auth:branding:read")?;
        let tenant = caller.tenant().to_string();
        let found = self.runtime.executor.load::<Branding>(&caller, &tenant).await?;
        let version = found.as_ref().map_or(0, |(_, version)| *version);
        let logo = found.and_then(|(branding, _)| {
            let logo = branding.logo.as_ref()?;
            Some(ShownLogo { light: (&logo.light).into(), dark: logo.dark.as_ref().map(Into::into) })
        });
        Ok(Unstored(Resource { body: Shown { logo }, version }))
    }
}
