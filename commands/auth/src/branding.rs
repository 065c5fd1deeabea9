//! The commands of a tenant's branding.

use auth_aggregates::{Branding, BrandingCommand, LogoSet};
use executor::{Command, Work};
use kernel::{Checks, Picture, Refusal};

/// Replaces the logo of a tenant's pages, in both variants.
#[derive(Clone, Debug)]
pub struct SetLogo {
    /// A PNG, JPEG or WebP file, in base64.
    pub light: String,
    /// The variant for dark mode.
    pub dark: Option<String>,
}

/// Removes the logo of a tenant's pages.
#[derive(Clone, Copy, Debug)]
pub struct RemoveLogo;

impl Command for SetLogo {
    const PERMISSION: &'static str = "auth:branding:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let light = Picture::check(&mut checks, "/light", &self.light);
        let dark = self.dark.as_ref().map(|dark| Picture::check(&mut checks, "/dark", dark));
        checks.finish()?;
        let tenant = work.caller().tenant();
        work.upsert::<Branding>(tenant, BrandingCommand::SetLogo(LogoSet { light, dark })).await
    }
}

impl Command for RemoveLogo {
    const PERMISSION: &'static str = "auth:branding:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let tenant = work.caller().tenant();
        work.upsert::<Branding>(tenant, BrandingCommand::RemoveLogo).await
    }
}
