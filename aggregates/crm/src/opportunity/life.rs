//! The state of an opportunity, with `decide` and `evolve`: its life cycle, and the consistency of its amounts.

use chrono::NaiveDate;
use kernel::{Aggregate, Currency, Money, Refusal};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    AccountId, ContactId, LineItem, OpportunityAccountChanged, OpportunityAmountChanged, OpportunityCloseDateChanged,
    OpportunityContactChanged, OpportunityEvent, OpportunityLost, OpportunityOpened, OpportunityReassigned,
    OpportunityRenamed, OpportunityReopened, OpportunityStageChanged, OpportunityStatus, OpportunityWon, PipelineId,
    StageId,
};

/// An opportunity, as it results from its events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opportunity {
    pub status: OpportunityStatus,
    pub name: String,
    pub account: Option<AccountId>,
    pub contact: Option<ContactId>,
    pub pipeline: PipelineId,
    pub stage: StageId,
    pub amount: Money,
    pub line_items: Vec<LineItem>,
    pub close_date: NaiveDate,
    pub owner: Option<String>,
    /// Why it was lost, while its status is lost.
    #[serde(default)]
    pub lost_reason: Option<String>,
}

/// The state before it is opened: nothing is set yet.
impl Default for Opportunity {
    fn default() -> Self {
        Self {
            status: OpportunityStatus::Open,
            name: String::new(),
            account: None,
            contact: None,
            pipeline: PipelineId::new(Uuid::nil()),
            stage: StageId::new(Uuid::nil()),
            amount: Money { minor: 0, currency: Currency::EUR },
            line_items: Vec::new(),
            close_date: NaiveDate::default(),
            owner: None,
            lost_reason: None,
        }
    }
}

/// Commands for an opportunity. The form of their values has been checked, and that stages admit opportunities.
#[derive(Clone, Debug, PartialEq)]
pub enum OpportunityCommand {
    Open(OpportunityOpened),
    Rename { name: String },
    Move { to: StageId },
    ChangeAmount { amount: Money, line_items: Vec<LineItem> },
    ChangeCloseDate { close_date: NaiveDate },
    Reassign { owner: String },
    ChangeAccount { account: Option<AccountId> },
    ChangeContact { contact: Option<ContactId> },
    Win,
    Lose { reason: String },
    Reopen { stage: StageId },
}

/// A step in an opportunity's life, by the name that a refusal lists it under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpportunityStep {
    Rename,
    Reassign,
    ChangeAccount,
    ChangeContact,
    Move,
    ChangeAmount,
    ChangeCloseDate,
    Win,
    Lose,
    Reopen,
}

impl OpportunityStep {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rename => "rename",
            Self::Reassign => "reassign",
            Self::ChangeAccount => "change_account",
            Self::ChangeContact => "change_contact",
            Self::Move => "move_stage",
            Self::ChangeAmount => "change_amount",
            Self::ChangeCloseDate => "change_close_date",
            Self::Win => "win",
            Self::Lose => "lose",
            Self::Reopen => "reopen",
        }
    }
}

impl OpportunityStatus {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Won => "won",
            Self::Lost => "lost",
        }
    }

    /// The steps that an opportunity of this status may take. Name, owner, account and contact can be corrected even after it is closed,
    /// but its amount, stage and close date can't.
    pub const fn allowed(self) -> &'static [OpportunityStep] {
        use OpportunityStep::{
            ChangeAccount, ChangeAmount, ChangeCloseDate, ChangeContact, Lose, Move, Reassign, Rename, Reopen, Win,
        };
        match self {
            Self::Open => {
                &[Rename, Reassign, ChangeAccount, ChangeContact, Move, ChangeAmount, ChangeCloseDate, Win, Lose]
            }
            Self::Won | Self::Lost => &[Rename, Reassign, ChangeAccount, ChangeContact, Reopen],
        }
    }
}

/// Why an opportunity refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpportunityError {
    #[error("an opportunity that is {} can't take the step {}; allowed steps: {}", .status.as_str(), .step.as_str(), list(*.status))]
    StepNotAllowed { step: OpportunityStep, status: OpportunityStatus },
    #[error("the amount is {minor}; it must be at least 0")]
    AmountNegative { minor: i64 },
    #[error("line item {index}: the quantity is 0; it must be at least 1")]
    NoQuantity { index: usize },
    #[error("line item {index}: the unit price is {minor}; it must be at least 0")]
    PriceNegative { index: usize, minor: i64 },
    #[error("the sum of the line items is {sum} and the amount is {amount}; they must be equal")]
    SumDiffers { sum: i128, amount: i64 },
}

fn list(status: OpportunityStatus) -> String {
    status.allowed().iter().map(|step| step.as_str()).collect::<Vec<_>>().join(", ")
}

impl From<OpportunityError> for Refusal {
    fn from(error: OpportunityError) -> Self {
        let (pointer, code) = match error {
            OpportunityError::StepNotAllowed { step, status } => {
                return Self::conflict("opportunity_step_not_allowed", error.to_string())
                    .with("step", step.as_str())
                    .with("state", status.as_str())
                    .with("allowed", status.allowed().iter().map(|step| step.as_str()).collect::<Vec<_>>());
            }
            OpportunityError::AmountNegative { .. } => ("/amount/minor".to_owned(), "amount_negative"),
            OpportunityError::NoQuantity { index } => (format!("/line_items/{index}/quantity"), "no_quantity"),
            OpportunityError::PriceNegative { index, .. } => {
                (format!("/line_items/{index}/unit_price_minor"), "price_negative")
            }
            OpportunityError::SumDiffers { .. } => ("/amount/minor".to_owned(), "sum_differs"),
        };
        Self::field(pointer, code, error.to_string())
    }
}

/// Checks an amount and its line items: nothing negative, and with line items, their sum.
fn adds_up(amount: Money, line_items: &[LineItem]) -> Result<(), OpportunityError> {
    if amount.minor < 0 {
        return Err(OpportunityError::AmountNegative { minor: amount.minor });
    }
    let mut sum = 0_i128;
    for (index, item) in line_items.iter().enumerate() {
        if item.quantity == 0 {
            return Err(OpportunityError::NoQuantity { index });
        }
        if item.unit_price_minor < 0 {
            return Err(OpportunityError::PriceNegative { index, minor: item.unit_price_minor });
        }
        // u32 × i64 fits into i128, and so does the sum of as many as fit into memory.
        sum += i128::from(item.quantity) * i128::from(item.unit_price_minor);
    }
    if line_items.is_empty() || sum == i128::from(amount.minor) {
        return Ok(());
    }
    Err(OpportunityError::SumDiffers { sum, amount: amount.minor })
}

impl Opportunity {
    fn may(&self, step: OpportunityStep) -> Result<(), OpportunityError> {
        if self.status.allowed().contains(&step) {
            return Ok(());
        }
        Err(OpportunityError::StepNotAllowed { step, status: self.status })
    }
}

impl Aggregate for Opportunity {
    const TYPE: &'static str = "crm.opportunity";
    const FORM: u32 = 2;
    type Command = OpportunityCommand;
    type Event = OpportunityEvent;
    type Error = OpportunityError;

    fn decide(&self, command: OpportunityCommand) -> Result<Vec<OpportunityEvent>, OpportunityError> {
        let step = match &command {
            OpportunityCommand::Open(_) => None,
            OpportunityCommand::Rename { .. } => Some(OpportunityStep::Rename),
            OpportunityCommand::Move { .. } => Some(OpportunityStep::Move),
            OpportunityCommand::ChangeAmount { .. } => Some(OpportunityStep::ChangeAmount),
            OpportunityCommand::ChangeCloseDate { .. } => Some(OpportunityStep::ChangeCloseDate),
            OpportunityCommand::Reassign { .. } => Some(OpportunityStep::Reassign),
            OpportunityCommand::ChangeAccount { .. } => Some(OpportunityStep::ChangeAccount),
            OpportunityCommand::ChangeContact { .. } => Some(OpportunityStep::ChangeContact),
            OpportunityCommand::Win => Some(OpportunityStep::Win),
            OpportunityCommand::Lose { .. } => Some(OpportunityStep::Lose),
            OpportunityCommand::Reopen { .. } => Some(OpportunityStep::Reopen),
        };
        if let Some(step) = step {
            self.may(step)?;
        }
        Ok(match command {
            OpportunityCommand::Open(opened) => {
                adds_up(opened.amount, &opened.line_items)?;
                vec![opened.into()]
            }
            OpportunityCommand::Rename { name } if name == self.name => vec![],
            OpportunityCommand::Rename { name } => vec![OpportunityRenamed { name }.into()],
            OpportunityCommand::Move { to } if to == self.stage => vec![],
            OpportunityCommand::Move { to } => vec![OpportunityStageChanged { from: self.stage, to }.into()],
            OpportunityCommand::ChangeAmount { amount, line_items } => {
                adds_up(amount, &line_items)?;
                if amount == self.amount && line_items == self.line_items {
                    return Ok(vec![]);
                }
                vec![OpportunityAmountChanged { amount, line_items }.into()]
            }
            OpportunityCommand::ChangeCloseDate { close_date } if close_date == self.close_date => vec![],
            OpportunityCommand::ChangeCloseDate { close_date } => {
                vec![OpportunityCloseDateChanged { close_date }.into()]
            }
            OpportunityCommand::Reassign { owner } if self.owner.as_ref() == Some(&owner) => vec![],
            OpportunityCommand::Reassign { owner } => vec![OpportunityReassigned { owner }.into()],
            OpportunityCommand::ChangeAccount { account } if account == self.account => vec![],
            OpportunityCommand::ChangeAccount { account } => vec![OpportunityAccountChanged { account }.into()],
            OpportunityCommand::ChangeContact { contact } if contact == self.contact => vec![],
            OpportunityCommand::ChangeContact { contact } => vec![OpportunityContactChanged { contact }.into()],
            OpportunityCommand::Win => vec![OpportunityWon { last_stage: self.stage }.into()],
            OpportunityCommand::Lose { reason } => {
                vec![OpportunityLost { reason, last_stage: self.stage }.into()]
            }
            OpportunityCommand::Reopen { stage } => vec![OpportunityReopened { stage }.into()],
        })
    }

    fn evolve(&mut self, event: OpportunityEvent) {
        match event {
            OpportunityEvent::OpportunityOpened(opened) => {
                *self = Self {
                    status: OpportunityStatus::Open,
                    name: opened.name,
                    account: opened.account,
                    contact: opened.contact,
                    pipeline: opened.pipeline,
                    stage: opened.stage,
                    amount: opened.amount,
                    line_items: opened.line_items,
                    close_date: opened.close_date,
                    owner: opened.owner,
                    lost_reason: None,
                };
            }
            OpportunityEvent::OpportunityRenamed(renamed) => self.name = renamed.name,
            OpportunityEvent::OpportunityStageChanged(changed) => self.stage = changed.to,
            OpportunityEvent::OpportunityAmountChanged(changed) => {
                self.amount = changed.amount;
                self.line_items = changed.line_items;
            }
            OpportunityEvent::OpportunityCloseDateChanged(changed) => self.close_date = changed.close_date,
            OpportunityEvent::OpportunityReassigned(reassigned) => self.owner = Some(reassigned.owner),
            OpportunityEvent::OpportunityAccountChanged(changed) => self.account = changed.account,
            OpportunityEvent::OpportunityContactChanged(changed) => self.contact = changed.contact,
            OpportunityEvent::OpportunityWon(_) => {
                self.status = OpportunityStatus::Won;
                self.lost_reason = None;
            }
            OpportunityEvent::OpportunityLost(lost) => {
                self.status = OpportunityStatus::Lost;
                self.lost_reason = Some(lost.reason);
            }
            OpportunityEvent::OpportunityReopened(reopened) => {
                self.status = OpportunityStatus::Open;
                self.stage = reopened.stage;
                self.lost_reason = None;
            }
        }
    }
}

kernel::aggregate!(Opportunity);

#[cfg(test)]
mod tests;
