//! Pipelines and stages; a stage in use is not removed, and nothing gets into one that is closed.

use crm_aggregates::{Pipeline, PipelineId, StageId};
use crm_commands::{
    AddStage, ChangeStage, CreatePipeline, MoveOpportunity, ReactivateStage, RemoveStage, RenamePipeline,
    ReorderStages, RetireStage, StageFields, WinOpportunity,
};
use futures::future::join_all;
use kernel::Kind;
use uuid::Uuid;

use super::support::{World, field, opportunity, stage, stages};

#[tokio::test]
async fn a_pipeline_is_set_up_and_changed() {
    let world = World::new().await;
    let ids = world.pipeline().await;
    let pipeline = ids.pipeline;
    let demo = world.done(&AddStage { pipeline, index: Some(1), stage: stage("Demo", 30) }).await.answer;
    let fields = StageFields { rotten_after_days: Some(14), ..stage("Closing", 95) };
    world.done(&ChangeStage { pipeline, stage: ids.stages[2], fields }).await;
    let order = vec![demo, ids.stages[0], ids.stages[2], ids.stages[1]];
    world.done(&ReorderStages { pipeline, order: order.clone() }).await;
    world.done(&RemoveStage { pipeline, stage: ids.stages[1] }).await;
    world.done(&RetireStage { pipeline, stage: demo }).await;
    assert_eq!(world.done(&RetireStage { pipeline, stage: demo }).await.version, 6, "retired is retired");
    world.done(&RenamePipeline { pipeline, name: "Renewals".to_owned() }).await;
    let state = world.state::<Pipeline>(pipeline).await;
    assert_eq!(state.stages.iter().map(|stage| stage.id).collect::<Vec<_>>(), order[..3]);
    assert_eq!((state.name.as_str(), state.stages[2].rotten_after_days), ("Renewals", Some(14)));
    assert!(state.retired.contains(&demo));
}

#[tokio::test]
async fn a_name_is_one_pipelines_whatever_its_case() {
    let world = World::new().await;
    let first = world.pipeline().await.pipeline;
    let create = |name: &str| CreatePipeline { name: name.to_owned(), stages: stages() };
    let refusal = world.refused(&create("NEW business")).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "pipeline_name_taken"));
    assert_eq!(refusal.extra()["holder"], first.to_string());
    let second = world.done(&create("Renewals")).await.answer.pipeline;
    let rename = |pipeline, name: &str| RenamePipeline { pipeline, name: name.to_owned() };
    assert_eq!(world.refused(&rename(second, "New Business")).await.code(), "pipeline_name_taken");
    world.done(&rename(first, "NEW BUSINESS")).await;
    world.done(&rename(first, "Old business")).await;
    world.done(&rename(second, "New business")).await;
    assert_eq!(world.refused(&create("old BUSINESS")).await.code(), "pipeline_name_taken");
}

#[tokio::test]
async fn names_that_look_the_same_are_the_same() {
    let world = World::new().await;
    // With the accent as a character of its own, and as part of its letter.
    let (parted, composed) = ("Cafe\u{301}", "Caf\u{e9}");
    let create = |name: &str, stages| CreatePipeline { name: name.to_owned(), stages };
    let made = world.done(&create(parted, vec![stage(parted, 10), stage("Offer", 50)])).await.answer;
    let kept = world.state::<Pipeline>(made.pipeline).await;
    assert_eq!((kept.name.as_str(), kept.stages[0].name.as_str()), (composed, composed));
    let refusal = world.refused(&create("CAF\u{c9}", stages())).await;
    assert_eq!(
        (refusal.code(), &refusal.extra()["holder"]),
        ("pipeline_name_taken", &made.pipeline.to_string().into())
    );
    let another = AddStage { pipeline: made.pipeline, index: None, stage: stage("CAFE\u{301}", 60) };
    assert_eq!(world.refused(&another).await.code(), "stage_name_taken");
    let both = create("Bars", vec![stage(parted, 10), stage(composed, 50)]);
    assert_eq!(world.refused(&both).await.code(), "stage_name_taken");
    // It keeps its name, and another one may have it afterwards.
    world.done(&RenamePipeline { pipeline: made.pipeline, name: composed.to_owned() }).await;
    world.done(&RenamePipeline { pipeline: made.pipeline, name: "Bars".to_owned() }).await;
    world.done(&create(parted, stages())).await;
}

#[tokio::test]
async fn stages_are_checked() {
    let world = World::new().await;
    let create = |stages| CreatePipeline { name: "P".to_owned(), stages };
    let odd = StageFields { name: String::new(), probability: 101, rotten_after_days: Some(0) };
    let at = |prefix: &str| {
        [("name", "empty"), ("probability", "probability"), ("rotten_after_days", "rotten_after_days")]
            .map(|(name, code)| (format!("{prefix}/{name}"), code))
    };
    assert_eq!(world.wrong(&create(vec![stage("A", 1), odd.clone()])).await, at("/stages/1"));
    assert_eq!(world.wrong(&create(vec![])).await, field("/stages", "stage_count"));
    let many = (0..51).map(|n| stage(&format!("Stage {n}"), 1)).collect();
    assert_eq!(world.wrong(&create(many)).await, field("/stages", "stage_count"));
    assert_eq!(world.refused(&create(vec![stage("A", 1), stage("a", 2)])).await.code(), "stage_name_taken");
    let nameless = CreatePipeline { name: " ".to_owned(), stages: stages() };
    assert_eq!(world.wrong(&nameless).await, field("/name", "empty"));

    let ids = world.pipeline().await;
    let pipeline = ids.pipeline;
    assert_eq!(world.wrong(&AddStage { pipeline, index: None, stage: odd.clone() }).await, at(""));
    assert_eq!(world.wrong(&ChangeStage { pipeline, stage: ids.stages[0], fields: odd }).await, at(""));
    let far = AddStage { pipeline, index: Some(4), stage: stage("Demo", 1) };
    assert_eq!(world.wrong(&far).await, field("/index", "out_of_range"));
    let twice = AddStage { pipeline, index: None, stage: stage("offer", 1) };
    assert_eq!(world.refused(&twice).await.code(), "stage_name_taken");
    let partly = ReorderStages { pipeline, order: ids.stages[1..].to_vec() };
    assert_eq!(world.wrong(&partly).await, field("/order", "order_incomplete"));
    assert_eq!(world.wrong(&RenamePipeline { pipeline, name: String::new() }).await, field("/name", "empty"));
}

#[tokio::test]
async fn unknown_pipelines_and_stages_are_not_found() {
    let world = World::new().await;
    let ids = world.pipeline().await;
    let (nowhere, nothing) = (PipelineId::new(Uuid::nil()), StageId::new(Uuid::nil()));
    let refusal = world.refused(&RetireStage { pipeline: nowhere, stage: ids.stages[0] }).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::NotFound, "not_found"));
    let pipeline = ids.pipeline;
    for refusal in [
        world.refused(&RetireStage { pipeline, stage: nothing }).await,
        world.refused(&ReactivateStage { pipeline, stage: nothing }).await,
        world.refused(&RemoveStage { pipeline, stage: nothing }).await,
        world.refused(&ChangeStage { pipeline, stage: nothing, fields: stage("X", 1) }).await,
    ] {
        assert_eq!((refusal.kind(), refusal.code()), (Kind::NotFound, "stage_not_found"));
    }
    let theirs = world.refused_as(&world.stranger(), &RetireStage { pipeline, stage: ids.stages[0] }).await;
    assert_eq!((theirs.kind(), theirs.code()), (Kind::NotFound, "not_found"));
}

#[tokio::test]
async fn a_stage_that_was_ever_in_use_is_retired_not_removed() {
    let world = World::new().await;
    let ids = world.pipeline().await;
    let pipeline = ids.pipeline;
    let deal = world.opportunity(pipeline, ids.stages[0]).await;
    world.done(&MoveOpportunity { opportunity: deal, stage: ids.stages[1] }).await;
    world.done(&WinOpportunity { opportunity: deal }).await;
    for used in &ids.stages[..2] {
        let refusal = world.refused(&RemoveStage { pipeline, stage: *used }).await;
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "stage_in_use"));
        assert!(refusal.detail().contains("retire it"));
    }
    world.done(&RemoveStage { pipeline, stage: ids.stages[2] }).await;
    world.done(&RetireStage { pipeline, stage: ids.stages[0] }).await;
    let refusal = world.refused(&RetireStage { pipeline, stage: ids.stages[1] }).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "last_active_stage"));
}

#[tokio::test]
async fn a_stage_that_is_reactivated_is_entered_again_and_a_removed_one_is_not() {
    let world = World::new().await;
    let ids = world.pipeline().await;
    let (pipeline, stage) = (ids.pipeline, ids.stages[1]);
    let deal = world.opportunity(pipeline, ids.stages[0]).await;
    let enter = MoveOpportunity { opportunity: deal, stage };
    world.done(&RetireStage { pipeline, stage }).await;
    assert_eq!(world.refused(&enter).await.code(), "stage_retired");
    // Not by this process, whose cache still has it as retired.
    world.elsewhere().execute(&world.request, &ReactivateStage { pipeline, stage }).await.unwrap();
    world.done(&enter).await;
    assert_eq!(world.done(&ReactivateStage { pipeline, stage }).await.version, 3, "active is active");
    // It can be retired anew, in all processes.
    world.done(&RetireStage { pipeline, stage }).await;
    world.done(&MoveOpportunity { opportunity: deal, stage: ids.stages[0] }).await;
    assert_eq!(world.refused(&enter).await.code(), "stage_retired");
    world.done(&RemoveStage { pipeline, stage: ids.stages[2] }).await;
    let refusal = world.refused(&ReactivateStage { pipeline, stage: ids.stages[2] }).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::NotFound, "stage_not_found"));
}

#[tokio::test]
async fn a_cache_that_is_behind_lets_nothing_into_a_stage_that_is_gone() {
    let world = World::new().await;
    let ids = world.pipeline().await;
    // This process has the old state in its cache; another process removes two stages.
    let elsewhere = world.elsewhere();
    let [_, retired, removed] = ids.stages[..] else { panic!("three stages") };
    elsewhere.execute(&world.request, &RetireStage { pipeline: ids.pipeline, stage: retired }).await.unwrap();
    let refusal = world.refused(&opportunity(ids.pipeline, Some(retired))).await;
    assert_eq!(refusal.code(), "stage_retired");
    elsewhere.execute(&world.request, &RemoveStage { pipeline: ids.pipeline, stage: removed }).await.unwrap();
    let wrong = world.wrong(&opportunity(ids.pipeline, Some(removed))).await;
    assert_eq!(wrong, field("/stage", "stage_not_found"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stage_is_either_entered_or_removed() {
    let world = World::new().await;
    for round in 0..20 {
        let create = CreatePipeline { name: format!("Pipeline {round}"), stages: stages() };
        let ids = world.done(&create).await.answer;
        let (pipeline, stage) = (ids.pipeline, ids.stages[1]);
        let (here, there, request) = (world.executor.clone(), world.elsewhere(), world.request.clone());
        let again = request.clone();
        let enter =
            tokio::spawn(async move { here.execute(&request, &opportunity(pipeline, Some(stage))).await.map(|_| ()) });
        let remove =
            tokio::spawn(async move { there.execute(&again, &RemoveStage { pipeline, stage }).await.map(|_| ()) });
        let outcomes: Vec<_> = join_all([enter, remove]).await.into_iter().map(Result::unwrap).collect();
        let codes: Vec<_> =
            outcomes.iter().map(|o| o.as_ref().map_or_else(kernel::Refusal::code, |()| "done")).collect();
        let one_of_the_two = matches!(codes[..], ["done", "stage_in_use"] | ["reference_unknown", "done"]);
        assert!(one_of_the_two, "{codes:?}");
    }
}
