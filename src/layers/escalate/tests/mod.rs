use std::{collections::HashMap, future::Future, pin::Pin};

use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt, service_fn};

use super::*;
use crate::{
    catalog::{Deployment, Targets, Tier},
    error::Error,
    model::{ModelRequest, ModelResponse, RouteHint},
    testing::{Reply, Scripted, chat},
};

mod climbs;
mod judges;
mod streams;

type Answering = Pin<Box<dyn Future<Output = Result<ModelResponse, Error>> + Send>>;

/// Scripted tiers behind the smallest router: the lowest tier that is allowed answers, each attempt is counted.
#[derive(Clone)]
struct Ladder {
    tiers: Vec<Scripted>,
    targets: Targets,
}

impl Ladder {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let tiers: Vec<_> = (0..)
            .zip(replies)
            .map(|(level, reply)| {
                let deployment = Deployment::new("p", &format!("m{level}"));
                Scripted::at(deployment.tier(Tier::new(level)), [reply])
            })
            .collect();
        let targets = Targets::new(tiers.iter().map(Scripted::deployment));
        Self { tiers, targets }
    }

    async fn ask(
        &self,
        layer: EscalateLayer,
        request: ModelRequest,
    ) -> Result<ModelResponse, Error> {
        let tiers = self.tiers.clone();
        let route = service_fn(move |mut request: ModelRequest| -> Answering {
            let found = tiers
                .iter()
                .find(|s| s.deployment().tier >= request.route.min_tier);
            let scripted = found.expect("a tier that exists").clone();
            request.attempt = request.ctx.begin_attempt().expect("an attempt is left");
            Box::pin(scripted.oneshot(request))
        });
        let targets = self.targets.clone();
        ServiceBuilder::new()
            .layer(layer)
            .service(route)
            .oneshot(request.route(RouteHint {
                max_tier: Tier::L2,
                ..RouteHint::to(targets)
            }))
            .await
    }

    fn calls(&self) -> Vec<usize> {
        self.tiers.iter().map(Scripted::calls).collect()
    }
}

fn layer() -> EscalateLayer {
    EscalateLayer::new(StandardJudge::new())
}

fn tier(answer: &ModelResponse) -> Tier {
    answer.meta.deployment.as_ref().unwrap().tier
}

async fn whole(answer: ModelResponse) -> Value {
    let collected = answer.body.collect(1 << 20).await.unwrap();
    serde_json::from_slice(&collected.to_whole().unwrap()).unwrap()
}

async fn text(answer: ModelResponse) -> String {
    let whole = whole(answer).await;
    whole["choices"][0]["message"]["content"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// A chat request with these members besides its question.
fn asking(more: Value) -> ModelRequest {
    let mut body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "q" }] });
    let members: HashMap<String, Value> = serde_json::from_value(more).unwrap();
    body.as_object_mut().unwrap().extend(members);
    chat(&body)
}
