//! A small domain to execute: lamps that are bought, lit and dimmed.

use executor::{ClaimKind, Command, Work};
use kernel::{Aggregate, Refusal};
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

kernel::events! {
    /// What can happen to a lamp.
    pub enum LampEvent of "demo.lamp" {
        /// It was bought.
        Bought = "demo.lamp.bought" @ 1 { pub label: String },
        /// It was switched on.
        Lit = "demo.lamp.lit" @ 1 {},
        /// It was switched off.
        Dimmed = "demo.lamp.dimmed" @ 1 {},
        /// Somebody dusted it.
        Dusted = "demo.lamp.dusted" @ 1 {},
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lamp {
    #[serde(serialize_with = "written")]
    pub label: String,
    pub lit: bool,
    pub dusted: u32,
}

/// The label of a lamp whose state can't be written: a mistake of the program.
pub const UNWRITABLE: &str = "unwritable";

fn written<S: Serializer>(label: &str, serializer: S) -> Result<S::Ok, S::Error> {
    assert_ne!(label, UNWRITABLE, "as the test wants it");
    serializer.serialize_str(label)
}

pub enum LampCommand {
    Buy {
        label: String,
    },
    /// Refused when it is lit.
    Light,
    /// Nothing to do when it is dim.
    Dim,
    Dust,
}

#[derive(Debug, thiserror::Error)]
#[error("the lamp is lit")]
pub struct LampError;

impl From<LampError> for Refusal {
    fn from(error: LampError) -> Self {
        Self::conflict("lamp_lit", error.to_string())
    }
}

impl Aggregate for Lamp {
    const TYPE: &'static str = "demo.lamp";
    type Command = LampCommand;
    type Event = LampEvent;
    type Error = LampError;

    fn decide(&self, command: LampCommand) -> Result<Vec<LampEvent>, LampError> {
        Ok(match command {
            LampCommand::Buy { label } => vec![Bought { label }.into()],
            LampCommand::Light if self.lit => return Err(LampError),
            LampCommand::Light => vec![Lit {}.into()],
            LampCommand::Dim if self.lit => vec![Dimmed {}.into()],
            LampCommand::Dim => vec![],
            LampCommand::Dust => vec![Dusted {}.into()],
        })
    }

    fn evolve(&mut self, event: LampEvent) {
        match event {
            LampEvent::Bought(bought) => self.label = bought.label,
            LampEvent::Lit(_) => self.lit = true,
            LampEvent::Dimmed(_) => self.lit = false,
            LampEvent::Dusted(_) => self.dusted += 1,
        }
    }
}

pub static LABEL: ClaimKind =
    ClaimKind { name: "demo.lamp.label", code: "label_taken", detail: "another lamp has this label" };
pub static IN_USE: ClaimKind =
    ClaimKind { name: "demo.lamp.use", code: "lamp_in_use", detail: "the lamp was lit once" };

/// Buys a lamp; its label is its own.
#[derive(Clone, Default)]
pub struct Buy {
    pub label: String,
}

impl Command for Buy {
    const PERMISSION: &'static str = "demo:lamp:write";
    type Answer = Uuid;

    async fn run(&self, work: &mut Work<'_>) -> Result<Uuid, Refusal> {
        let lamp: Uuid = work.new_id();
        work.take(&LABEL, &self.label, lamp);
        work.create::<Lamp>(lamp, LampCommand::Buy { label: self.label.clone() })?;
        Ok(lamp)
    }
}

/// Buys a lamp under an id of the caller's.
pub struct BuyAs(pub String);

impl Command for BuyAs {
    const PERMISSION: &'static str = "demo:lamp:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.create::<Lamp>(&self.0, LampCommand::Buy { label: "desk".to_owned() })
    }
}

/// Sends one command to one lamp.
macro_rules! simple {
    ($($name:ident => $command:expr),+ $(,)?) => {$(
        #[derive(Clone)]
        pub struct $name(pub Uuid);

        impl Command for $name {
            const PERMISSION: &'static str = "demo:lamp:write";
            type Answer = ();

            async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
                work.update::<Lamp>(self.0, $command).await
            }
        }
    )+};
}

simple! { Light => LampCommand::Light, Dim => LampCommand::Dim, Dust => LampCommand::Dust }

/// Lights a lamp and notes that it was in use.
pub struct LightForUse(pub Uuid);

impl Command for LightForUse {
    const PERMISSION: &'static str = "demo:lamp:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<Lamp>(self.0, LampCommand::Light).await?;
        work.mark(&IN_USE, &self.0.to_string(), "somebody");
        Ok(())
    }
}

/// Dusts a lamp that was never in use.
pub struct DustUnused(pub Uuid);

impl Command for DustUnused {
    const PERMISSION: &'static str = "demo:lamp:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.absent(&IN_USE, &self.0.to_string(), "nobody");
        work.update::<Lamp>(self.0, LampCommand::Dust).await
    }
}

/// Gives a lamp's label to a new lamp.
pub struct Replace(pub Uuid);

impl Command for Replace {
    const PERMISSION: &'static str = "demo:lamp:write";
    type Answer = Uuid;

    async fn run(&self, work: &mut Work<'_>) -> Result<Uuid, Refusal> {
        let label = work.read::<Lamp>(self.0).await?.label.clone();
        let lamp: Uuid = work.new_id();
        work.update::<Lamp>(self.0, LampCommand::Dust).await?;
        work.release(&LABEL, &label, self.0);
        work.take(&LABEL, &label, lamp);
        work.create::<Lamp>(lamp, LampCommand::Buy { label })?;
        Ok(lamp)
    }
}

/// Lights several lamps together.
pub struct LightAll(pub Vec<Uuid>);

impl Command for LightAll {
    const PERMISSION: &'static str = "demo:lamp:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        for lamp in &self.0 {
            work.update::<Lamp>(lamp, LampCommand::Light).await?;
        }
        Ok(())
    }
}

/// Dusts the house's only chandelier, which the first dusting creates.
pub struct DustChandelier;

impl Command for DustChandelier {
    const PERMISSION: &'static str = "demo:lamp:write";
    type Answer = u32;

    async fn run(&self, work: &mut Work<'_>) -> Result<u32, Refusal> {
        work.upsert::<Lamp>("chandelier", LampCommand::Dust).await?;
        Ok(work.read::<Lamp>("chandelier").await?.dusted)
    }
}
