//! The branding of a tenant's pages: its logo, which is stored in the event itself ([`kernel::Picture`]). A tenant has one such stream.

use std::convert::Infallible;

use kernel::{Aggregate, Picture};
use serde::{Deserialize, Serialize};

kernel::events! {
    /// Events of the branding of a tenant's pages.
    pub enum BrandingEvent of "auth.branding" {
        /// The logo was set.
        LogoSet = "auth.branding.logo_set" @ 1 {
            /// Logo for light mode, and for dark mode if it has none of its own.
            pub light: Picture,
            /// Logo for dark mode.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub dark: Option<Picture>,
        },
        /// The logo was removed.
        LogoRemoved = "auth.branding.logo_removed" @ 1 {},
    }
}

/// The branding of a tenant's pages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Branding {
    /// Its logo.
    pub logo: Option<LogoSet>,
}

/// The commands of a tenant's branding.
#[derive(Clone, Debug, PartialEq)]
pub enum BrandingCommand {
    /// Sets the logo.
    SetLogo(LogoSet),
    /// Removes the logo.
    RemoveLogo,
}

impl Aggregate for Branding {
    const TYPE: &'static str = "auth.branding";
    type Command = BrandingCommand;
    type Event = BrandingEvent;
    type Error = Infallible;

    fn decide(&self, command: BrandingCommand) -> Result<Vec<BrandingEvent>, Infallible> {
        Ok(match command {
            BrandingCommand::SetLogo(logo) if self.logo.as_ref() == Some(&logo) => vec![],
            BrandingCommand::SetLogo(logo) => vec![logo.into()],
            BrandingCommand::RemoveLogo if self.logo.is_none() => vec![],
            BrandingCommand::RemoveLogo => vec![LogoRemoved {}.into()],
        })
    }

    fn evolve(&mut self, event: BrandingEvent) {
        match event {
            BrandingEvent::LogoSet(e) => self.logo = Some(e),
            BrandingEvent::LogoRemoved(_) => self.logo = None,
        }
    }
}

kernel::aggregate!(Branding);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;
    use kernel::PictureFormat;

    use super::*;

    fn logo(sha256: &str) -> LogoSet {
        let picture = |sha256: &str| Picture {
            format: PictureFormat::Png,
            width: 32,
            height: 32,
            sha256: sha256.to_owned(),
            base64: "iVBORw0KGgo=".to_owned(),
        };
        LogoSet { light: picture(sha256), dark: None }
    }

    #[test]
    fn a_logo_is_set_replaced_and_removed_and_what_changes_nothing_is_no_event() {
        let given = |events: Vec<BrandingEvent>| TestFramework::<Branding>::with(()).given(events);
        let set = |sha256| BrandingCommand::SetLogo(logo(sha256));
        given(vec![]).when(set("a")).then_expect_events(vec![logo("a").into()]);
        given(vec![logo("a").into()]).when(set("a")).then_expect_events(vec![]);
        given(vec![logo("a").into()]).when(set("b")).then_expect_events(vec![logo("b").into()]);
        let removed = || BrandingEvent::from(LogoRemoved {});
        given(vec![logo("a").into()]).when(BrandingCommand::RemoveLogo).then_expect_events(vec![removed()]);
        given(vec![]).when(BrandingCommand::RemoveLogo).then_expect_events(vec![]);
        given(vec![logo("a").into(), removed()]).when(set("a")).then_expect_events(vec![logo("a").into()]);
    }
}
