//! What can be asked of how a tenant's pages look.

use auth_aggregates::{Branding, BrandingCommand, LogoSet};
use executor::{Command, Work};
use kernel::{Checks, Picture, Refusal};

/// Says which logo a tenant's pages show: this is all of it.
#[derive(Clone, Debug)]
pub struct SetLogo {
    /// A PNG, JPEG or WebP file, in base64.
    pub light: String,
    /// The same for where all is dark.
    pub dark: Option<String>,
}

/// A tenant's pages show no logo any more.
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
