//! A layer of your own between ours: it counts what each team asks, and finds the team in the request's extensions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use rungs::{
    BoxError, Error,
    layers::{in_flight::InFlightLayer, trace::TraceLayer},
    model::{ModelRequest, ModelResponse, ModelService},
    testing::{Reply, Scripted, ask},
};
use tower::{Service, ServiceBuilder, ServiceExt, layer::layer_fn};

#[derive(Clone)]
struct Team(&'static str);

type Counts = Arc<Mutex<BTreeMap<&'static str, u32>>>;

#[derive(Clone)]
struct PerTeam<S>(S, Counts);

impl<S: ModelService> Service<ModelRequest> for PerTeam<S> {
    type Response = ModelResponse;
    type Error = Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> S::Future {
        let team = request.extensions.get().map_or("nobody", |Team(name)| name);
        *self.1.lock().expect("no panic").entry(team).or_default() += 1;
        self.0.call(request)
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let counts = Counts::default();
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new())
        .layer(layer_fn(|inner| PerTeam(inner, counts.clone())))
        .layer(InFlightLayer::new(8))
        .service(Scripted::new(Reply::text("42")));

    let mut request = ask("6 x 7?");
    request.extensions.insert(Team("physics"));
    service.oneshot(request).await?.body.collect(1000).await?;
    println!("{counts:?}");
    assert_eq!(counts.lock().expect("no panic")["physics"], 1);
    Ok(())
}

#[test]
fn runs() -> Result<(), BoxError> {
    main()
}
