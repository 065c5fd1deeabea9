//! The state of a pipeline, with `decide` and `evolve`: its stages, their order, and which of them admit opportunities.

use std::collections::BTreeSet;

use kernel::{Aggregate, Refusal, folded};
use serde::{Deserialize, Serialize};

use crate::{
    PipelineCreated, PipelineEvent, PipelineRenamed, PipelineStageAdded, PipelineStageChanged,
    PipelineStageReactivated, PipelineStageRemoved, PipelineStageRetired, PipelineStagesReordered, Stage, StageId,
};

/// Maximum stages of a pipeline.
pub const MAX_STAGES: usize = 50;

/// A pipeline, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pipeline {
    pub name: String,
    /// The stages in order, including the retired ones.
    pub stages: Vec<Stage>,
    /// The retired stages, which admit no opportunities.
    pub retired: BTreeSet<StageId>,
}

/// Commands for a pipeline. The form of names has been checked.
#[derive(Clone, Debug, PartialEq)]
pub enum PipelineCommand {
    Create {
        name: String,
        stages: Vec<Stage>,
    },
    Rename {
        name: String,
    },
    /// Adds a stage. `index`: `None` means last.
    AddStage {
        index: Option<u32>,
        stage: Stage,
    },
    ChangeStage {
        stage: Stage,
    },
    Reorder {
        order: Vec<StageId>,
    },
    RetireStage {
        stage: StageId,
    },
    ReactivateStage {
        stage: StageId,
    },
    /// Removes a stage. The caller has made sure that no opportunity was ever in it.
    RemoveStage {
        stage: StageId,
    },
}

/// Why a pipeline refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    #[error("the pipeline would have {count} stages; allowed are 1 to {MAX_STAGES}")]
    StageCount { count: usize },
    #[error("two stages would have the name {name:?}; the names of a pipeline's stages must differ, ignoring case")]
    StageNameTaken { name: String },
    #[error("the probability is {probability} per cent; allowed are 0 to 100")]
    Probability { probability: u8 },
    #[error("the pipeline has no stage {stage}")]
    StageUnknown { stage: StageId },
    #[error("the index is {index}; allowed are 0 to {stages} ({stages} is the last position)")]
    IndexOutOfRange { index: u32, stages: usize },
    #[error("the order must name each of the pipeline's {stages} stages exactly once")]
    OrderIncomplete { stages: usize },
    #[error("the stage {stage} is the last one that is not retired; add another stage first")]
    LastActiveStage { stage: StageId },
    #[error("the stage {stage} is retired; deals can't move into it any more")]
    StageRetired { stage: StageId, active: Vec<StageId> },
}

impl From<PipelineError> for Refusal {
    fn from(error: PipelineError) -> Self {
        let detail = error.to_string();
        let field = |pointer: &str, code| Self::field(pointer, code, detail.clone());
        match error {
            PipelineError::StageCount { .. } => field("/stages", "stage_count"),
            PipelineError::Probability { .. } => field("/probability", "probability"),
            PipelineError::IndexOutOfRange { .. } => field("/index", "out_of_range"),
            PipelineError::OrderIncomplete { .. } => field("/order", "order_incomplete"),
            PipelineError::StageNameTaken { .. } => Self::conflict("stage_name_taken", detail),
            PipelineError::StageUnknown { .. } => Self::not_found("stage_not_found", detail),
            PipelineError::LastActiveStage { .. } => Self::conflict("last_active_stage", detail),
            PipelineError::StageRetired { active, .. } => Self::conflict("stage_retired", detail)
                .with("allowed", active.iter().map(ToString::to_string).collect::<Vec<_>>()),
        }
    }
}

impl Pipeline {
    /// A stage by its id, retired or not.
    pub fn stage(&self, id: StageId) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.id == id)
    }

    /// The stages that admit opportunities, in order.
    pub fn active(&self) -> impl Iterator<Item = &Stage> {
        self.stages.iter().filter(|stage| !self.retired.contains(&stage.id))
    }

    /// The stage into which an opportunity moves: the named one, or the first that admits opportunities.
    pub fn admit(&self, stage: Option<StageId>) -> Result<StageId, PipelineError> {
        let Some(stage) = stage else {
            return self.active().next().map(|stage| stage.id).ok_or(PipelineError::StageCount { count: 0 });
        };
        self.known(stage)?;
        if self.retired.contains(&stage) {
            return Err(PipelineError::StageRetired { stage, active: self.active().map(|stage| stage.id).collect() });
        }
        Ok(stage)
    }

    fn known(&self, stage: StageId) -> Result<&Stage, PipelineError> {
        self.stage(stage).ok_or(PipelineError::StageUnknown { stage })
    }

    fn another_is_active(&self, stage: StageId) -> Result<(), PipelineError> {
        if self.active().any(|other| other.id != stage) {
            return Ok(());
        }
        Err(PipelineError::LastActiveStage { stage })
    }
}

/// Checks that stages can be together in a pipeline.
fn consistent<'a>(stages: impl IntoIterator<Item = &'a Stage>) -> Result<(), PipelineError> {
    let mut names = BTreeSet::new();
    let mut count = 0;
    for stage in stages {
        count += 1;
        if stage.probability > 100 {
            return Err(PipelineError::Probability { probability: stage.probability });
        }
        if !names.insert(folded(&stage.name)) {
            return Err(PipelineError::StageNameTaken { name: stage.name.clone() });
        }
    }
    if (1..=MAX_STAGES).contains(&count) { Ok(()) } else { Err(PipelineError::StageCount { count }) }
}

impl Aggregate for Pipeline {
    const TYPE: &'static str = "crm.pipeline";
    type Command = PipelineCommand;
    type Event = PipelineEvent;
    type Error = PipelineError;

    fn decide(&self, command: PipelineCommand) -> Result<Vec<PipelineEvent>, PipelineError> {
        Ok(match command {
            PipelineCommand::Create { name, stages } => {
                consistent(&stages)?;
                vec![PipelineCreated { name, stages }.into()]
            }
            PipelineCommand::Rename { name } if name == self.name => vec![],
            PipelineCommand::Rename { name } => vec![PipelineRenamed { name }.into()],
            PipelineCommand::AddStage { index, stage } => {
                let stages = self.stages.len();
                let index = index.unwrap_or(u32::try_from(stages).unwrap_or(u32::MAX));
                if index as usize > stages {
                    return Err(PipelineError::IndexOutOfRange { index, stages });
                }
                consistent(self.stages.iter().chain([&stage]))?;
                vec![PipelineStageAdded { index, stage }.into()]
            }
            PipelineCommand::ChangeStage { stage } => {
                let unchanged = *self.known(stage.id)? == stage;
                consistent(self.stages.iter().filter(|other| other.id != stage.id).chain([&stage]))?;
                if unchanged { vec![] } else { vec![PipelineStageChanged { stage }.into()] }
            }
            PipelineCommand::Reorder { order } => {
                let named: BTreeSet<_> = order.iter().copied().collect();
                let present: BTreeSet<_> = self.stages.iter().map(|stage| stage.id).collect();
                if named != present || order.len() != present.len() {
                    return Err(PipelineError::OrderIncomplete { stages: present.len() });
                }
                let unchanged = order.iter().eq(self.stages.iter().map(|stage| &stage.id));
                if unchanged { vec![] } else { vec![PipelineStagesReordered { order }.into()] }
            }
            PipelineCommand::RetireStage { stage } => {
                self.known(stage)?;
                if self.retired.contains(&stage) {
                    return Ok(vec![]);
                }
                self.another_is_active(stage)?;
                vec![PipelineStageRetired { stage }.into()]
            }
            PipelineCommand::ReactivateStage { stage } => {
                self.known(stage)?;
                if self.retired.contains(&stage) { vec![PipelineStageReactivated { stage }.into()] } else { vec![] }
            }
            PipelineCommand::RemoveStage { stage } => {
                self.known(stage)?;
                self.another_is_active(stage)?;
                vec![PipelineStageRemoved { stage }.into()]
            }
        })
    }

    fn evolve(&mut self, event: PipelineEvent) {
        match event {
            PipelineEvent::PipelineCreated(created) => {
                self.name = created.name;
                self.stages = created.stages;
            }
            PipelineEvent::PipelineRenamed(renamed) => self.name = renamed.name,
            PipelineEvent::PipelineStageAdded(added) => {
                let index = (added.index as usize).min(self.stages.len());
                self.stages.insert(index, added.stage);
            }
            PipelineEvent::PipelineStageChanged(changed) => {
                if let Some(stage) = self.stages.iter_mut().find(|stage| stage.id == changed.stage.id) {
                    *stage = changed.stage;
                }
            }
            PipelineEvent::PipelineStagesReordered(reordered) => {
                let place = |stage: &Stage| reordered.order.iter().position(|id| *id == stage.id);
                self.stages.sort_by_key(place);
            }
            PipelineEvent::PipelineStageRetired(retired) => {
                self.retired.insert(retired.stage);
            }
            PipelineEvent::PipelineStageReactivated(reactivated) => {
                self.retired.remove(&reactivated.stage);
            }
            PipelineEvent::PipelineStageRemoved(removed) => {
                self.stages.retain(|stage| stage.id != removed.stage);
                self.retired.remove(&removed.stage);
            }
        }
    }
}

kernel::aggregate!(Pipeline);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    fn id(number: u128) -> StageId {
        StageId::new(uuid::Uuid::from_u128(number))
    }

    fn stage(number: u128, name: &str, probability: u8) -> Stage {
        Stage { id: id(number), name: name.to_owned(), probability, rotten_after_days: None }
    }

    fn created() -> PipelineEvent {
        let stages = vec![stage(1, "Prospect", 10), stage(2, "Offer", 50), stage(3, "Signing", 90)];
        PipelineCreated { name: "New business".to_owned(), stages }.into()
    }

    fn retired(number: u128) -> PipelineEvent {
        PipelineStageRetired { stage: id(number) }.into()
    }

    fn when(history: Vec<PipelineEvent>, command: PipelineCommand) -> Result<Vec<PipelineEvent>, PipelineError> {
        TestFramework::<Pipeline>::with(()).given(history).when(command).inspect_result()
    }

    fn after(history: Vec<PipelineEvent>) -> Pipeline {
        let mut pipeline = Pipeline::default();
        for event in history {
            pipeline.evolve(event);
        }
        pipeline
    }

    fn order(pipeline: &Pipeline) -> Vec<&str> {
        pipeline.stages.iter().map(|stage| stage.name.as_str()).collect()
    }

    #[test]
    fn a_pipeline_begins_with_stages_that_fit_together() {
        let create = |stages| when(vec![], PipelineCommand::Create { name: "P".to_owned(), stages });
        assert_eq!(create(vec![]), Err(PipelineError::StageCount { count: 0 }));
        let many: Vec<_> = (0..=MAX_STAGES as u128).map(|n| stage(n, &format!("Stage {n}"), 1)).collect();
        assert_eq!(create(many), Err(PipelineError::StageCount { count: MAX_STAGES + 1 }));
        assert_eq!(create(vec![stage(1, "A", 101)]), Err(PipelineError::Probability { probability: 101 }));
        assert_eq!(
            create(vec![stage(1, "Offer", 1), stage(2, "OFFER", 2)]),
            Err(PipelineError::StageNameTaken { name: "OFFER".to_owned() })
        );
        assert_eq!(
            create(vec![stage(1, "Caf\u{e9}", 1), stage(2, "CAFE\u{301}", 2)]),
            Err(PipelineError::StageNameTaken { name: "CAFE\u{301}".to_owned() })
        );
        let stages = vec![stage(1, "A", 0), stage(2, "B", 100)];
        assert_eq!(create(stages.clone()), Ok(vec![PipelineCreated { name: "P".to_owned(), stages }.into()]));
    }

    #[test]
    fn a_stage_goes_in_where_it_is_wanted() {
        let add = |index| PipelineCommand::AddStage { index, stage: stage(4, "Demo", 30) };
        for (index, at, expected) in [
            (Some(0), 0, ["Demo", "Prospect", "Offer", "Signing"]),
            (Some(1), 1, ["Prospect", "Demo", "Offer", "Signing"]),
            (None, 3, ["Prospect", "Offer", "Signing", "Demo"]),
        ] {
            let event: PipelineEvent = PipelineStageAdded { index: at, stage: stage(4, "Demo", 30) }.into();
            assert_eq!(when(vec![created()], add(index)), Ok(vec![event.clone()]));
            assert_eq!(order(&after(vec![created(), event])), expected);
        }
        assert_eq!(when(vec![created()], add(Some(4))), Err(PipelineError::IndexOutOfRange { index: 4, stages: 3 }));
    }

    #[test]
    fn stage_names_stay_unique() {
        let taken = Err(PipelineError::StageNameTaken { name: "offer".to_owned() });
        let add = PipelineCommand::AddStage { index: None, stage: stage(4, "offer", 30) };
        let change = PipelineCommand::ChangeStage { stage: stage(1, "offer", 30) };
        assert_eq!(when(vec![created()], add), taken);
        assert_eq!(when(vec![created()], change), taken);
    }

    #[test]
    fn a_stage_changes_or_is_unknown() {
        let change = |stage| when(vec![created()], PipelineCommand::ChangeStage { stage });
        let changed = stage(2, "Proposal", 55);
        assert_eq!(change(changed.clone()), Ok(vec![PipelineStageChanged { stage: changed }.into()]));
        assert_eq!(change(stage(2, "Offer", 50)), Ok(vec![]));
        assert_eq!(change(stage(9, "X", 50)), Err(PipelineError::StageUnknown { stage: id(9) }));
        assert_eq!(change(stage(2, "Offer", 255)), Err(PipelineError::Probability { probability: 255 }));
    }

    #[test]
    fn an_order_names_each_stage_once() {
        let reorder = |ids: &[u128]| {
            when(vec![created()], PipelineCommand::Reorder { order: ids.iter().copied().map(id).collect() })
        };
        for bad in [&[1, 2][..], &[1, 2, 2], &[1, 2, 3, 3], &[1, 2, 4], &[]] {
            assert_eq!(reorder(bad), Err(PipelineError::OrderIncomplete { stages: 3 }), "{bad:?}");
        }
        assert_eq!(reorder(&[1, 2, 3]), Ok(vec![]));
        let events = reorder(&[3, 1, 2]).unwrap();
        assert_eq!(order(&after([vec![created()], events].concat())), ["Signing", "Prospect", "Offer"]);
    }

    #[test]
    fn nothing_moves_into_a_stage_that_is_retired_or_gone() {
        let pipeline = after(vec![created(), retired(1), PipelineStageRemoved { stage: id(3) }.into()]);
        assert_eq!(pipeline.admit(None), Ok(id(2)));
        assert_eq!(pipeline.admit(Some(id(2))), Ok(id(2)));
        assert_eq!(pipeline.admit(Some(id(1))), Err(PipelineError::StageRetired { stage: id(1), active: vec![id(2)] }));
        assert_eq!(pipeline.admit(Some(id(3))), Err(PipelineError::StageUnknown { stage: id(3) }));
    }

    #[test]
    fn a_retired_stage_that_is_reactivated_is_as_it_was() {
        let reactivate = || PipelineCommand::ReactivateStage { stage: id(1) };
        let reactivated = PipelineEvent::from(PipelineStageReactivated { stage: id(1) });
        assert_eq!(when(vec![created(), retired(1)], reactivate()), Ok(vec![reactivated.clone()]));
        assert_eq!(after(vec![created(), retired(1), reactivated]), after(vec![created()]));
        assert_eq!(when(vec![created()], reactivate()), Ok(vec![]));
    }

    #[test]
    fn the_last_active_stage_stays() {
        let history = vec![created(), retired(1), retired(3)];
        let last = Err(PipelineError::LastActiveStage { stage: id(2) });
        assert_eq!(when(history.clone(), PipelineCommand::RetireStage { stage: id(2) }), last);
        assert_eq!(when(history.clone(), PipelineCommand::RemoveStage { stage: id(2) }), last);
        let gone = PipelineEvent::from(PipelineStageRemoved { stage: id(1) });
        assert_eq!(when(history, PipelineCommand::RemoveStage { stage: id(1) }), Ok(vec![gone]));
    }

    #[test]
    fn retiring_twice_and_renaming_to_the_same_are_no_events() {
        let history = vec![created(), retired(1)];
        assert_eq!(when(history.clone(), PipelineCommand::RetireStage { stage: id(1) }), Ok(vec![]));
        assert_eq!(when(history.clone(), PipelineCommand::Rename { name: "New business".to_owned() }), Ok(vec![]));
        let renamed = PipelineEvent::from(PipelineRenamed { name: "Renewals".to_owned() });
        assert_eq!(when(history, PipelineCommand::Rename { name: "Renewals".to_owned() }), Ok(vec![renamed]));
    }

    #[test]
    fn unknown_stages_are_neither_retired_nor_reactivated_nor_removed() {
        let unknown = Err(PipelineError::StageUnknown { stage: id(9) });
        assert_eq!(when(vec![created()], PipelineCommand::RetireStage { stage: id(9) }), unknown);
        assert_eq!(when(vec![created()], PipelineCommand::ReactivateStage { stage: id(9) }), unknown);
        assert_eq!(when(vec![created()], PipelineCommand::RemoveStage { stage: id(9) }), unknown);
    }
}
