//! One layer around a provider: questions that were asked before are answered from memory.

use std::sync::Arc;

use rungs::{
    BoxError,
    catalog::Targets,
    layers::cache::{CacheLayer, CacheScope},
    model::RouteHint,
    provider::{Endpoint, HttpProvider, HyperTransport, TransportConfig, openai::OpenAi},
    store::memory::MemoryCache,
    testing::{Reply, Scripted, Upstream, ask},
};
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Stands in for https://api.openai.com/v1, which would also get `.key(Secret::new(..)?)`.
    let model = Scripted::new(Reply::text("42"));
    let upstream = Upstream::serve([model.clone()]).await?;

    let deployment = model.deployment();
    let transport = HyperTransport::new(&TransportConfig::default().allow_private())?;
    let endpoint = Endpoint::new("openai", &upstream.base_url())?;
    let provider = HttpProvider::new(
        transport,
        deployment.clone(),
        endpoint,
        Arc::new(OpenAi::new()),
    );
    let cache = CacheLayer::new(Arc::new(MemoryCache::new(64 << 20)), CacheScope::Tenant);
    let service = ServiceBuilder::new().layer(cache).service(provider);

    let question = ask("6 x 7?").route(RouteHint::to(Targets::new([deployment])));
    for _ in 0..2 {
        let answer = service.clone().oneshot(question.clone()).await?;
        let cache = answer.meta.cache;
        let document = answer.body.collect(1 << 20).await?.to_whole()?;
        println!("{}: {} bytes", cache.as_str(), document.len());
    }
    assert_eq!(model.calls(), 1);
    Ok(())
}

#[test]
fn runs() -> Result<(), BoxError> {
    main()
}
