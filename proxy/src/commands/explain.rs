//! `rungs explain`: the decision about a question, without asking anybody.

use std::{io::Write, process::ExitCode};

use anyhow::{Context, anyhow};
use rungs::{
    json::RawObject,
    model::{Call, CallContext, ModelRequest, Quality},
    route::Route,
};
use serde_json::json;

use super::{output::Output, world};
use crate::{
    cli::ExplainArgs,
    config::Catalog,
    http::{
        admission::{Wishes, hint},
        decision::decision_value,
    },
};

/// Prints who would be asked, in which order, and who would not and why.
pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let config = world::load_with_models(&args.config)?;
    for warning in &config.warnings {
        eprintln!("warning: {warning}");
    }
    let catalog = Catalog::new(&config);
    let targets = catalog.resolve(&args.model).ok_or_else(|| {
        let none = format!("there is no model `{}`", args.model);
        match (&config.nobody, catalog.nearest(&args.model)) {
            (Some(nobody), _) => anyhow!(nobody.clone()),
            (None, Some(name)) => anyhow!("{none}; did you mean `{name}`?"),
            (None, None) => anyhow!(none),
        }
    })?;
    let quality: Quality = serde_json::from_value(json!(args.quality))
        .with_context(|| format!("`{}` is none of normal, high, critical", args.quality))?;
    let body = RawObject::from_serialize(&json!({
        "model": args.model,
        "messages": [{ "role": "user", "content": args.question }],
    }))?;
    let ctx = CallContext::new(Call {
        quality,
        ..Call::new("explain")
    });
    let hint = hint(
        &config.routing,
        config.routing.max_tier,
        &args.model,
        targets.clone(),
        &Wishes::default(),
    )?;
    let route = config.routing.classify(Route::new([]));
    let decision = route.decide(&ModelRequest::chat(body, ctx).route(hint));
    let mut out = Output::default();
    if args.json {
        writeln!(out, "{:#}", decision_value(&decision))?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "task {:?}, complexity {:?}, starts on {}",
        decision.class.task, decision.class.complexity, decision.start
    )?;
    for (at, candidate) in decision.candidates.iter().enumerate() {
        let d = &candidate.deployment;
        let fallback = if candidate.fallback {
            "  (fallback)"
        } else {
            ""
        };
        writeln!(out, "{:>3}. {} {}{fallback}", at + 1, d.tier, d.id)?;
    }
    for (id, why) in &decision.skipped {
        writeln!(out, "  -  {id} {why}")?;
    }
    Ok(ExitCode::SUCCESS)
}
